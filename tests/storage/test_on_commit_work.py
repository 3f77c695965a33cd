"""Work that is announced inside the transaction that writes the rows: it is there with them, or neither is."""

from collections.abc import Sequence

import pytest
from made_rows import NOW, add_reader, add_source, entry, issue, record
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from paperround.errors import StorageError
from paperround.models import DeliveryState, MailKind
from paperround.records import NewDelivery
from paperround.storage.sql_storage import open_storage


async def test_rows_to_work_on_are_announced_with_their_ids(url: str) -> None:
    told: list[tuple[str, list[int]]] = []

    async def hear(connection: AsyncConnection, kind: str, ids: Sequence[int]) -> None:
        assert connection.in_transaction()
        told.append((kind, list(ids)))

    storage = await open_storage(url)
    storage.db.on_commit_work = hear
    source = await add_source(storage)
    await record(storage, source, [entry(1), entry(2)])
    found = await storage.works_seen(NOW.replace(year=2025), NOW)
    await record(storage, source, [entry(1), entry(2, version=2, title="Other words")])
    reader = await add_reader(storage)
    (made,) = await storage.record_digests([issue(reader, found)])
    await storage.record_digests([issue(reader, found)])
    answer = NewDelivery(kind=MailKind.ANSWER, subscriber_id=None, recipient="a@example.org", message_id="m@example.org", values={})
    queued = await storage.queue(answer, now=NOW)
    first, second = (work.id for work in found)
    (mail,) = [each for each in await storage.deliveries_of(reader.id, limit=9) if each.digest_id == made.id]
    await storage.close()
    assert told == [("works", [first, second]), ("texts", [reader.id]), ("deliveries", [mail.id]), ("deliveries", [queued.id])]


async def test_what_is_announced_and_the_rows_are_there_together_or_not_at_all(url: str) -> None:
    async def write_and_fail(connection: AsyncConnection, _kind: str, _ids: Sequence[int]) -> None:
        await connection.execute(text("INSERT INTO matters (key, told_at) VALUES ('x', '2026-01-01 00:00:00')"))
        await connection.execute(text("SELECT * FROM nothing_of_that_name"))

    plain = await open_storage(url)
    reader = await add_reader(plain)
    failing = await open_storage(url)
    failing.db.on_commit_work = write_and_fail
    with pytest.raises(StorageError):
        await failing.record_digests([issue(reader, [])])
    assert (await plain.digests_of(reader.id, limit=9), await plain.count_deliveries(), await plain.matters()) == ([], {}, {})
    await plain.record_digests([issue(reader, [])])
    assert await plain.count_deliveries() == {DeliveryState.QUEUED: 1}
    await failing.close()
    await plain.close()
