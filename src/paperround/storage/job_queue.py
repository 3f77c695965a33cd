"""Job queue: procrastinate's tables beside ours. Its schema, jobs that are put there in our transactions, and what waits in it."""

from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection, text
from sqlalchemy.ext.asyncio import AsyncConnection

from paperround.errors import StorageError

if TYPE_CHECKING:
    from paperround.storage.database import Database

AWAITED = {"deliveries": "deliver", "works": "embed", "texts": "embed"}  # the task that rows of a kind wait for; its queue is of that name
NOTED = text("SELECT obj_description(to_regclass('procrastinate_jobs'))")
WAITING = text("SELECT EXISTS (SELECT FROM procrastinate_jobs WHERE task_name = :task AND status = 'todo' AND scheduled_at IS NULL)")
QUEUES = text("""
    SELECT queue_name AS queue, count(*) FILTER (WHERE status = 'todo') AS waiting, count(*) FILTER (WHERE status = 'doing') AS running,
           count(*) FILTER (WHERE status = 'failed') AS failed,
           extract(epoch FROM now() - min(greatest(put.at, scheduled_at)) FILTER (WHERE status = 'todo'))::float AS oldest_seconds
    FROM procrastinate_jobs
    LEFT JOIN LATERAL (SELECT min(at) AS at FROM procrastinate_events WHERE job_id = procrastinate_jobs.id) AS put ON true
    GROUP BY queue_name ORDER BY queue_name""")
WORKERS = text("""
    SELECT workers.id AS worker, extract(epoch FROM now() - last_heartbeat)::float AS silent_seconds,
           coalesce(array_agg(task_name ORDER BY task_name) FILTER (WHERE task_name IS NOT NULL), '{}') AS doing
    FROM procrastinate_workers AS workers LEFT JOIN procrastinate_jobs ON worker_id = workers.id AND status = 'doing'
    GROUP BY workers.id ORDER BY workers.id""")


# ---------------------------------------------------------------- the schema


def missing(connection: Connection) -> list[Path]:
    """The scripts of procrastinate that this PostgreSQL database has not seen yet, in order. The last one seen is noted at its table."""
    spec = find_spec("procrastinate")
    if spec is None or not spec.submodule_search_locations:
        raise StorageError("PostgreSQL needs procrastinate beside the driver: install paperround[postgres]")
    sql = Path(spec.submodule_search_locations[0]) / "sql"
    scripts = sorted((sql / "migrations").glob("*.sql"))
    noted = connection.execute(NOTED).scalar()
    if noted is None:
        return [sql / "schema.sql"]
    return [script for script in scripts if script.name > noted]


def bring_up_to_date(connection: Connection, scripts: Sequence[Path]) -> None:
    """Run them and note it, in the transaction of the caller."""
    raw = connection.connection.cursor()
    for script in scripts:
        raw.execute(script.read_text(encoding="utf-8"))  # several statements at once: only the driver's own call takes them
    if scripts:
        newest = max(scripts[0].parent.glob("migrations/*.sql")) if scripts[0].name == "schema.sql" else scripts[-1]
        connection.exec_driver_sql(f"COMMENT ON TABLE procrastinate_jobs IS '{newest.name}'")


# ---------------------------------------------------------------- jobs


class JobQueue:
    """The queue of an installation on PostgreSQL."""

    def __init__(self, db: "Database") -> None:
        """From now on rows to work on put their jobs there themselves."""
        from procrastinate import App, PsycopgConnector

        self.db = db
        address = db.engine.url.set(drivername="postgresql").render_as_string(hide_password=False)
        connector = PsycopgConnector(conninfo=address, min_size=1, max_size=8, timeout=10, kwargs={"application_name": "paperround worker"})
        self.app: App = App(connector=connector)
        db.on_commit_work = self.announced

    async def announced(self, connection: AsyncConnection, kind: str, _ids: Sequence[int]) -> None:
        """A job for rows that are being written. None where one waits already: whoever takes it looks for all that is due. (A queueing
        lock would make transactions wait for one another, and a refused one ends the transaction.)"""
        task = AWAITED[kind]
        if not (await connection.execute(WAITING, {"task": task})).scalar_one():
            await self._put(connection, task, queue=task, lock="embed" if task == "embed" else None)

    async def put(self, task: str, *, queue: str, priority: int = 0, **arguments: Any) -> None:
        """A job in a transaction of its own. Raises StorageError."""
        with self.db.explained():
            async with self.db.engine.begin() as connection:
                await self._put(connection, task, queue=queue, priority=priority, **arguments)

    async def ask_for_words(self, texts: list[str]) -> None:
        """A short task before all others: somebody waits for these words."""
        await self.put("words", queue="embed", priority=10, texts=texts)

    async def _put(
        self, connection: AsyncConnection, task: str, *, queue: str, lock: str | None = None, priority: int = 0, **arguments: Any
    ) -> None:
        from procrastinate.exceptions import ConnectorException

        raw = (await connection.get_raw_connection()).driver_connection
        configured = self.app.configure_task(task, queue=queue, lock=lock, priority=priority, connection=raw)
        try:
            await configured.defer_async(**arguments)
        except ConnectorException as error:
            raise StorageError(f"{self.db.shown}: {error.__cause__ or error}") from error

    async def state(self) -> dict[str, Any]:
        """Per queue how many jobs wait, run and failed and for how many seconds the oldest has waited; per worker how many seconds it has
        been silent and what it does."""
        return {
            "queues": [row._asdict() for row in await self.db.rows(QUEUES)],
            "workers": [row._asdict() for row in await self.db.rows(WORKERS)],
        }
