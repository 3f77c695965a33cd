"""The same story on PostgreSQL with two workers: they do all steps, one of them dies, nobody notices."""

import signal
import subprocess
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import psycopg
import pytest
from procrastinate import App, SyncPsycopgConnector
from tests.integration.test_acceptance import free_port, mail, reader

NEWS = "\n\n".join(
    (
        "byAK and the research community",
        "Mar 2",
        "A Second Grammar for Small Robots",
        "Robots that share a language of gestures teach it to robots of another make. Half a day of play is enough for the grammar.",
        "Storms in Plain Sentences",
        "Speech recognition in noise and forecasts in plain words meet: warnings that are heard in a storm. Readers understood every one.",
    )
)


def until(condition: Callable[[], object], what: str, seconds: float = 60.0) -> None:
    ends = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < ends, what
        time.sleep(0.2)


def sql(many, statement: str) -> list[tuple]:
    with psycopg.connect(many.environment["PAPERROUND_DATABASE"].replace("+psycopg", "")) as connection:
        done = connection.execute(statement)
        return done.fetchall() if done.description else []


def wake(many, *tasks: str) -> None:
    """What is done every minute or so, now: a job more, as procrastinate takes it from anybody."""
    app = App(connector=SyncPsycopgConnector(conninfo=many.environment["PAPERROUND_DATABASE"].replace("+psycopg", "")))
    with app.open():
        for task in tasks:
            app.configure_task(task, queue=task).defer()


def embedded(many) -> int:
    return sql(many, "SELECT count(*) FROM work_vectors")[0][0]


def issues_sent(many) -> int:
    return sql(many, "SELECT count(*) FROM deliveries WHERE kind = 'issue' AND state = 'sent'")[0][0]


def make_due(many) -> None:
    """Every reader's hour has struck: a day later than that of the last issue."""
    sql(many, "UPDATE subscribers SET next_due_at = now() - interval '3 days' + issues * interval '1 day' WHERE state = 'active'")


@contextmanager
def running(many, *commands: tuple[str, ...]) -> Iterator[list[subprocess.Popen[str]]]:
    processes = [many.start(*words) for words in commands]
    try:
        yield processes
    finally:
        for each in processes:
            each.kill()
            each.wait()


def told(many) -> str:
    return (many.folder / "stderr.txt").read_text()


@pytest.mark.database
def test_two_workers_do_all_steps_one_dies_and_every_reader_gets_each_issue_once(many, relay) -> None:
    port = free_port()
    many.environment |= {
        "PAPERROUND_TRANSPORT": relay.url,
        "PAPERROUND_DELIVERY_SILENT_AFTER": "2",
        "PAPERROUND_WEB_PORT": str(port),
        "PAPERROUND_BASE_URL": f"http://127.0.0.1:{port}",
        "PAPERROUND_LIST_ADDRESS": "paper@localhost",
    }
    reader(many, "ada@example.org", "--interest", "speech recognition in noise")
    reader(many, "ben@example.org", "--interest", "robots that share a language of gestures")
    with running(many, ("worker",), ("worker",), ("serve", "--no-scheduler", "--no-delivery")) as (first, second, web):
        until(lambda: embedded(many) == 3, "nothing was collected and embedded")
        make_due(many)
        wake(many, "compose")
        until(lambda: issues_sent(many) == 2, "two issues")
        found = urllib.request.urlopen(f"http://127.0.0.1:{port}/?q=gestures", timeout=20).read().decode()
        assert "A Grammar for Small Robots" in found, "words typed on a page are embedded by a worker"
        state = many.json("status")
        assert len(state["workers"]) == 2
        first.kill()
        many.write("news.txt", NEWS)
        many.run("sources", "add", "news.txt")
        (many.folder / "inbox/new/1").write_text(mail("ben@example.org", "paper@localhost", "Re: today's paper", "stop\n"))
        wake(many, "inbox", "collect")
        until(lambda: sql(many, "SELECT id FROM subscribers WHERE state = 'unsubscribed'"), "a mail that says stop")
        until(lambda: embedded(many) == 5, "the news were not collected and embedded")
        make_due(many)
        wake(many, "compose")
        until(lambda: issues_sent(many) == 3, "a second issue for the one who stayed")
        for each in (second, web):
            each.send_signal(signal.SIGTERM)
        assert [second.wait(timeout=15), web.wait(timeout=15)] == [0, 0], told(many)
    assert len(set(relay.accepted)) == len(relay.accepted) == 4, "three issues and a farewell"
    assert many.json("status")["deliveries"] == {"sent": 4}


@pytest.mark.parametrize(
    ("engine", "words", "told"),
    [
        ("scheduler", ("worker",), "engine"),
        ("queue", ("serve",), "--no-scheduler --no-delivery"),
        ("queue", ("serve", "--no-scheduler", "--no-delivery"), "PostgreSQL"),
        ("queue", ("worker", "--queues", "deliver,sending"), "sending"),
    ],
)
def test_what_would_own_a_step_twice_or_not_at_all_does_not_start_and_says_so_in_one_line(home, engine: str, words, told: str) -> None:
    home.environment["PAPERROUND_ENGINE"] = engine
    done = home.run(*words, status=2)
    assert told in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
