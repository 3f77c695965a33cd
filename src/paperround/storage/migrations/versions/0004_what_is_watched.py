"""How long each step took, and what the administrator was told of."""

import sqlalchemy as sa
from alembic import op

from paperround.storage.schema import Id, UtcDateTime

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    op.create_table(
        "runs",
        sa.Column("id", Id, primary_key=True),
        sa.Column("step", sa.String(20), nullable=False),
        sa.Column("at", UtcDateTime(), nullable=False, index=True),
        sa.Column("seconds", sa.Float(), nullable=False),
        sa.Column("count", sa.Integer(), nullable=False),
        sa.Column("fault", sa.Text()),
    )
    op.create_table("matters", sa.Column("key", sa.Text(), primary_key=True), sa.Column("told_at", UtcDateTime(), nullable=False))
