"""The tasks of a worker, one by one: a job stands or falls with its rows, and a task that runs twice changes nothing."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import psycopg
import pytest
from tests.integration.conftest import Home, home_on

from paperround.config import load_settings
from paperround.models import MailKind
from paperround.records import NewDelivery
from paperround.storage import job_queue
from paperround.wiring import Parts, open_parts
from paperround.worker import Worker, cron

pytestmark = pytest.mark.database
NOW = datetime(2026, 3, 2, 8, tzinfo=UTC)


@dataclass
class Room:
    """A worker that takes no jobs by itself, and what it works with."""

    parts: Parts
    worker: Worker
    address: str

    def sql(self, statement: str) -> list[tuple[Any, ...]]:
        with psycopg.connect(self.address) as connection:
            done = connection.execute(statement)
            return done.fetchall() if done.description else []

    def jobs(self) -> list[str]:
        return [row[0] for row in self.sql("SELECT task_name FROM procrastinate_jobs WHERE status = 'todo' ORDER BY id")]

    async def run_all(self) -> None:
        await self.worker.app.run_worker_async(wait=False, install_signal_handlers=False, delete_jobs="successful")


@pytest.fixture(scope="module")
def home(postgres: str, tmp_path_factory: pytest.TempPathFactory) -> Home:
    made = home_on(postgres, tmp_path_factory.mktemp("home"))
    readers = "".join(f"{name}@example.org,robots,daily 00:00\n" for name in ("ada", "ben", "eve"))
    made.run("subscribers", "import", str(made.write("readers.csv", f"email,interests,schedule\n{readers}")), "--active")
    return made


@pytest.fixture
async def room(home: Home) -> AsyncIterator[Room]:
    """Without the jobs that were put by making the home and by earlier tests."""
    settings = load_settings(home.folder / "paperround.toml", home.environment)
    async with open_parts(settings, serving=True, embeds=True) as parts:
        worker = Worker(parts, asyncio.Event())
        worker.app.periodic_registry.periodic_tasks.clear()
        async with worker.app.open_async():
            found = Room(parts, worker, home.environment["PAPERROUND_DATABASE"].replace("+psycopg", ""))
            found.sql("DELETE FROM procrastinate_jobs")
            yield found


def a_mail(number: int) -> NewDelivery:
    return NewDelivery(kind=MailKind.ANSWER, subscriber_id=None, recipient=f"r{number}@example.org", message_id=f"{uuid4()}@x", values={})


async def test_a_job_is_put_with_its_rows_and_a_second_one_only_once_the_first_is_taken(room) -> None:
    await room.parts.storage.queue(a_mail(1), now=NOW)
    await room.parts.storage.queue(a_mail(2), now=NOW)
    assert room.jobs() == ["deliver"]
    room.sql("UPDATE procrastinate_jobs SET status = 'doing'")
    await room.parts.storage.queue(a_mail(3), now=NOW)
    assert room.jobs() == ["deliver"]


async def test_rows_that_are_taken_back_leave_no_job(room) -> None:
    with suppress(ZeroDivisionError):
        async with room.parts.queue.db.writing() as connection:
            await room.parts.queue.announced(connection, "works", [1])
            raise ZeroDivisionError
    assert room.jobs() == []


async def test_readers_are_composed_by_ranges_and_twice_the_same_job_composes_nothing_twice(room) -> None:
    await room.parts.steps.read()
    room.sql("UPDATE subscribers SET next_due_at = now() - interval '1 hour'")
    room.sql("DELETE FROM procrastinate_jobs")
    await room.worker.plan_shards()
    await room.worker.plan_shards()
    assert room.jobs() == ["shard"]
    await asyncio.gather(room.worker.shard(0), room.worker.shard(0))
    assert room.sql("SELECT count(*), count(DISTINCT subscriber_id) FROM digests") == [(3, 3)]
    assert room.jobs() == ["shard", "deliver"]
    await room.run_all()
    assert room.sql("SELECT count(*) FROM deliveries WHERE kind = 'issue' AND state = 'sent'") == [(3,)]
    assert room.jobs() == []


async def test_a_host_is_asked_by_one_worker_at_a_time(room) -> None:
    room.sql("UPDATE sources SET next_poll_at = NULL")
    await room.worker.plan_polls()
    await room.worker.plan_polls()
    assert room.sql("SELECT task_name, lock FROM procrastinate_jobs") == [("poll", "host ")]
    await room.run_all()
    assert room.sql("SELECT count(*) FROM works") == [(3,)]


async def test_the_jobs_of_a_dead_worker_are_given_to_others(room) -> None:
    await room.parts.storage.queue(a_mail(1), now=NOW)
    await room.parts.storage.queue(a_mail(2), now=NOW)
    room.sql("INSERT INTO procrastinate_workers (last_heartbeat) VALUES (now() - interval '1 hour')")
    room.sql("UPDATE procrastinate_jobs SET status = 'doing', worker_id = (SELECT max(id) FROM procrastinate_workers)")
    await room.worker.sweep()
    assert room.jobs() == ["deliver"]


async def test_a_dead_workers_job_that_waits_again_already_is_not_doubled(room) -> None:
    await room.worker.plan_polls()
    await room.worker._put_once("shard", "shard 7", number=7)
    room.sql("INSERT INTO procrastinate_workers (last_heartbeat) VALUES (now() - interval '1 hour')")
    room.sql("UPDATE procrastinate_jobs SET status = 'doing', worker_id = (SELECT max(id) FROM procrastinate_workers)")
    await room.worker._put_once("shard", "shard 7", number=7)
    await room.worker.sweep()
    assert room.sql("SELECT status::text FROM procrastinate_jobs WHERE task_name = 'shard'") == [("todo",)]


async def test_somebody_elses_words_are_read_before_everything_else(room) -> None:
    await room.parts.queue.put("embed", queue="embed")
    await room.parts.queue.ask_for_words(["robots in the rain"])
    assert room.sql("SELECT task_name FROM procrastinate_jobs ORDER BY priority DESC LIMIT 1") == [("words",)]
    await room.run_all()
    assert set(await room.parts.storage.text_vectors(room.parts.embedder.model, ["robots in the rain"])) == {"robots in the rain"}


async def test_status_tells_what_waits_and_who_works(room) -> None:
    await room.parts.storage.queue(a_mail(1), now=NOW)
    room.sql("DELETE FROM procrastinate_workers")
    room.sql("INSERT INTO procrastinate_workers DEFAULT VALUES")
    told = await room.parts.queue.state()
    (queue,), (worker,) = told["queues"], told["workers"]
    assert (queue["queue"], queue["waiting"], queue["running"]) == ("deliver", 1, 0)
    assert queue["oldest_seconds"] >= 0
    assert worker["doing"] == []


async def test_a_database_that_saw_an_older_queue_gets_the_scripts_that_it_lacks(room) -> None:
    async with room.parts.queue.db.engine.begin() as connection:
        assert await connection.run_sync(job_queue.missing) == []
        await connection.exec_driver_sql("COMMENT ON TABLE procrastinate_jobs IS '03.04.00_01_pre_add_retry_failed_job_procedure.sql'")
        newer = await connection.run_sync(job_queue.missing)
        assert [each.name for each in newer][:1] == ["03.04.00_50_post_add_retry_failed_job_procedure.sql"]
        await connection.run_sync(job_queue.bring_up_to_date, newer)
        assert await connection.run_sync(job_queue.missing) == []


@pytest.mark.parametrize(
    ("seconds", "written"),
    [(10, "* * * * * */10"), (60, "*/1 * * * *"), (900, "*/15 * * * *"), (3600, "0 */1 * * *")],
)
def test_an_interval_is_written_as_the_queue_reads_it(seconds: int, written: str) -> None:
    assert cron(seconds) == written
