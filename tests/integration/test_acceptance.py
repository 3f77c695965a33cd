"""A user's story through the command line: add a source and readers, run, run again, crash, serve, leave."""

import signal
import socket
import subprocess
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path

import pytest

LATER = "2099-03-02T08:00:00Z"


def reader(home, email: str, *options: str) -> None:
    home.run("subscribers", "add", email, "--schedule", "daily 00:00", "--min-score", "0", "--active", *options)


def mails(home) -> list[Path]:
    return sorted((home.folder / "mails").glob("*.eml"))


def until(condition: Callable[[], object], seconds: float = 30.0) -> bool:
    for _ in range(int(seconds * 10)):
        if condition():
            return True
        time.sleep(0.1)
    return False


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def test_a_run_sends_each_reader_an_issue_and_a_second_run_in_the_same_period_sends_nothing(home) -> None:
    reader(home, "ada@example.org", "--interest", "speech recognition in noise")
    reader(home, "ben@example.org", "--interest", "robots that share a language of gestures")
    first = home.json("run", "--now", LATER)
    assert {
        key: first[key] for key in ("fetched", "new_entries", "embedded", "due", "digests", "skipped", "sent", "deferred", "failed")
    } == {
        "fetched": 1,
        "new_entries": 3,
        "embedded": 3,
        "due": 2,
        "digests": 2,
        "skipped": 0,
        "sent": 2,
        "deferred": 0,
        "failed": 0,
    }
    assert len(mails(home)) == 2
    again = home.json("run", "--now", "2099-03-02T20:00:00Z")
    assert (again["due"], again["sent"], len(mails(home))) == (0, 0, 2)
    assert home.json("run", "--now", "2099-03-03T08:00:00Z")["sent"] == 0, "nothing new the next day: no work goes out twice"


def test_what_was_composed_goes_out_exactly_once_after_a_crash(home, relay) -> None:
    home.environment["PAPERROUND_TRANSPORT"] = relay.url
    home.environment["PAPERROUND_DELIVERY_SILENT_AFTER"] = "1"
    for number in range(6):
        reader(home, f"reader{number}@example.org", "--interest", "language models and weather")
    for step in ("collect", "embed", "compose"):
        home.run(step, "--now", LATER)
    process = home.start("deliver", "--now", LATER)
    time.sleep(0.5)
    process.kill()
    process.wait()
    time.sleep(1.1)
    home.run("run", "--now", LATER)
    assert len(relay.accepted) == len(set(relay.accepted))
    states = home.json("status")["deliveries"]
    assert states.get("sent", 0) + states.get("in-doubt", 0) == 6
    assert len(relay.accepted) >= states.get("sent", 0)


def test_a_kill_between_compose_and_deliver_loses_and_doubles_nothing(home, relay) -> None:
    home.environment["PAPERROUND_TRANSPORT"] = relay.url
    for number in range(5):
        reader(home, f"reader{number}@example.org", "--interest", "small robots")
    for step in ("collect", "embed", "compose"):
        home.run(step, "--now", LATER)
    assert relay.accepted == []
    assert home.json("run", "--now", LATER)["sent"] == 5
    assert home.json("run", "--now", LATER)["sent"] == 0
    assert len(set(relay.accepted)) == len(relay.accepted) == 5


def test_the_kill_test_counts_nothing_lost_and_nothing_twice() -> None:
    root = Path(__file__).resolve().parents[2]
    program = ["python", "tests/benchmarks/kill_test.py", "--deliveries", "150", "--kills", "5", "--longest", "0.5"]
    import json
    import sys

    done = subprocess.run([sys.executable, *program[1:]], cwd=root, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    figures = json.loads(done.stdout.splitlines()[-1])
    assert figures["deliveries"] == 150
    assert figures["kills"] >= 1
    assert (figures["lost"], figures["twice"]) == (0, 0)
    assert figures["in_doubt"] <= figures["connections"] * figures["kills"]


def test_serve_composes_and_delivers_by_itself_answers_and_stops_quietly(home, relay) -> None:
    port = free_port()
    home.environment |= {
        "PAPERROUND_TRANSPORT": relay.url,
        "PAPERROUND_WEB_PORT": str(port),
        "PAPERROUND_BASE_URL": f"http://127.0.0.1:{port}",
    }
    reader(home, "ada@example.org", "--interest", "speech recognition")
    make_due(home)
    process = home.start("serve")
    try:
        assert until(lambda: len(relay.accepted) == 1), (home.folder / "stderr.txt").read_text()
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=5) as answer:
            assert answer.status == 200
        begun = time.monotonic()
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=15) == 0
        assert time.monotonic() - begun < 10
    finally:
        process.kill()
        process.wait()
    assert home.json("status")["deliveries"] == {"sent": 1}


def make_due(home) -> None:
    """Put every due time into the past, as if the schedule's hour had just struck."""
    import sqlite3

    with sqlite3.connect(home.folder / "paperround.db") as database:
        database.execute("UPDATE subscribers SET next_due_at = '2026-01-05 06:00:00.000000'")


def test_a_mail_subscribes_a_plain_reply_confirms_and_stop_leaves(home, relay) -> None:
    inbox = home.folder / "inbox"
    for part in ("new", "cur", "tmp"):
        (inbox / part).mkdir(parents=True)
    home.environment |= {
        "PAPERROUND_TRANSPORT": "directory:mails",
        "PAPERROUND_INBOX_MAILDIR": "inbox",
        "PAPERROUND_LIST_ADDRESS": "paper@localhost",
    }
    asked = home.write("asked.eml", mail("eve@example.org", "paper@localhost", "subscribe", "robots with a grammar of gestures\n"))
    home.run("bounces", str(asked))
    assert home.json("subscribers", "show", "eve@example.org")["state"] == "pending"
    home.run("deliver")
    (confirmation,) = [path.read_text() for path in mails(home)]
    reply_to = next(line.split(":", 1)[1].strip() for line in confirmation.splitlines() if line.lower().startswith("reply-to:"))
    home.run("bounces", str(home.write("yes.eml", mail("eve@example.org", reply_to, "Re: please confirm", "yes\n"))))
    shown = home.json("subscribers", "show", "eve@example.org")
    assert shown["state"] == "active"
    assert "robots with a grammar of gestures" in str(shown["profile"]["interests"])
    home.run("bounces", str(home.write("stop.eml", mail("eve@example.org", "paper@localhost", "Re: today's paper", "stop\n"))))
    assert home.json("subscribers", "show", "eve@example.org")["state"] == "unsubscribed"


def mail(sender: str, to: str, subject: str, body: str) -> str:
    message_id = f"<{subject.replace(' ', '')}@example.org>"
    head = f"From: {sender}\nTo: {to}\nSubject: {subject}\nDate: Mon, 2 Mar 2026 08:00:00 +0000\nMessage-ID: {message_id}"
    return f"{head}\n\n{body}"


@pytest.mark.parametrize(
    ("words", "status", "told"),
    [
        (("sources", "add", "absent.txt"), 1, "absent.txt"),
        (("sources", "add", "http://127.0.0.1:9/feed"), 1, "127.0.0.1"),
        (("subscribers", "show", "nobody@example.org"), 1, "nobody@example.org"),
        (("subscribers", "add", "eve@example.org", "--timezone", "Mars/Olympus", "--active"), 2, "Mars/Olympus"),
        (("subscribers", "add", "eve@example.org", "--schedule", "whenever", "--active"), 2, "whenever"),
        (("subscribers", "add", "no-address", "--active"), 1, "no-address"),
        (("subscribers", "sync", "nowhere"), 1, "nowhere"),
        (("run", "--now", "yesterday"), 2, "yesterday"),
        (("no-such-command",), 2, "no-such-command"),
    ],
)
def test_what_is_wrong_is_told_in_one_line_with_the_right_status(home, words: tuple[str, ...], status: int, told: str) -> None:
    done = home.run(*words, status=status)
    assert told in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ('databse = "sqlite:///x.db"', "databse"),
        ('[web]\nport = "many"', "port"),
        ('transport = "pigeon:coop"', "transport"),
        ("= =", "TOML"),
    ],
)
def test_a_wrong_configuration_is_one_line_that_names_file_and_key(home, text: str, told: str) -> None:
    home.write("paperround.toml", text)
    del home.environment["PAPERROUND_TRANSPORT"]
    done = home.run("status", status=2)
    assert told in done.stderr
    assert "paperround.toml" in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1


def test_an_unknown_variable_is_refused_by_name(home) -> None:
    home.environment["PAPERROUND_BASEURL"] = "http://localhost"
    assert "PAPERROUND_BASEURL" in home.run("status", status=2).stderr


def test_a_server_that_is_not_there_sends_nothing_and_loses_nothing(home) -> None:
    home.environment["PAPERROUND_TRANSPORT"] = f"smtp://127.0.0.1:{free_port()}?starttls=never"
    reader(home, "ada@example.org", "--interest", "weather")
    done = home.run("run", "--now", LATER, "--json", status=1)
    assert "relay" in done.stderr
    assert home.json("status")["deliveries"] == {"queued": 1}


def test_init_keeps_what_is_there(home) -> None:
    key = (home.folder / "paperround.key").read_bytes()
    assert "kept" in home.run("init").stdout
    assert (home.folder / "paperround.key").read_bytes() == key
    assert (home.folder / "paperround.key").stat().st_mode & 0o077 == 0
