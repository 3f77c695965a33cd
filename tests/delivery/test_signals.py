"""A program that is told to end lets the mails under way end first."""

import asyncio
import os
import signal
import sqlite3
import sys
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from types import ModuleType

from paperround.models import MailKind
from paperround.records import NewDelivery
from paperround.storage.sql_storage import open_storage
from paperround.subscribers.signed_links import fold_address


async def test_sigterm_finishes_what_is_under_way_and_leaves_the_rest_queued(tmp_path: Path, smtp_server: ModuleType) -> None:
    database = f"sqlite:///{tmp_path}/paperround.db"
    storage = await open_storage(database, fold=fold_address)
    now = datetime(2026, 3, 2, 8, tzinfo=UTC)
    words = {"subject": "A notice", "lines": ["hello"]}
    for number in range(200):
        new = NewDelivery(
            kind=MailKind.NOTICE, subscriber_id=None, recipient=f"r{number}@example.org", message_id=f"{number}@x.example", values=words
        )
        await storage.queue(new, now=now)
    await storage.close()
    (tmp_path / "paperround.toml").touch()
    (tmp_path / "paperround.key").write_text("k" * 64, encoding="ascii")
    async with smtp_server.ScriptedServer(latency=0.02) as server:
        environment = {
            **os.environ,
            "PAPERROUND_CONFIG": str(tmp_path / "paperround.toml"),
            "PAPERROUND_TRANSPORT": f"smtp://127.0.0.1:{server.port}?starttls=never",
            "PAPERROUND_EMBEDDING_MODEL": "hashing",
        }
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "paperround", "deliver"), env=environment, stderr=asyncio.subprocess.PIPE
        )
        async with asyncio.timeout(30):
            while len(server.accepted) < 3:  # noqa: ASYNC110  (the server has no event to wait for)
                await asyncio.sleep(0.01)
        process.send_signal(signal.SIGTERM)
        _, told = await process.communicate()
        assert (process.returncode, told.decode().strip().splitlines()[-1:]) == (
            1,
            ["paperround: stopped; what was done is kept, run the same command again to go on"],
        )
    with closing(sqlite3.connect(tmp_path / "paperround.db")) as connection:
        states = dict(connection.execute("SELECT state, count(*) FROM deliveries GROUP BY state"))
    assert states == {"sent": len(server.accepted), "queued": 200 - len(server.accepted)}
    assert len(set(server.message_ids)) == len(server.message_ids)
