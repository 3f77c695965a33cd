"""When a feed without a mail address was last read: one that nobody reads ends."""

import sqlalchemy as sa
from alembic import op

from paperround.storage.schema import UtcDateTime

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    op.add_column("subscribers", sa.Column("feed_read_at", UtcDateTime(), nullable=True))
