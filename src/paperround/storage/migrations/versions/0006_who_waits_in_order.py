"""Mails that wait, in the order they are claimed: without it every claim sorts the whole queue."""

from alembic import op

from paperround.storage.schema import WAITING, deliveries

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    columns = [deliveries.c.next_attempt_at.name, deliveries.c.id.name]
    op.create_index("ix_deliveries_waiting", "deliveries", columns, postgresql_where=WAITING, sqlite_where=WAITING)
