"""What a feed asks for of its readers, since a 304 does not say it again; and where its list of feeds had it."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    op.add_column("sources", sa.Column("hints", sa.JSON(), nullable=True))
    op.add_column("sources", sa.Column("outline", sa.JSON(), nullable=True))
