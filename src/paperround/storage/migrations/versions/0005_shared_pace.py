"""When the next mail may go and a host may be asked again, for all processes together."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    op.create_table("paces", sa.Column("name", sa.Text(), primary_key=True), sa.Column("free_at", sa.Float(53), nullable=False))
