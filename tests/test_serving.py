"""What `serve` writes to its log, as a process of its own writes it; and that its scheduler is heard when it stops."""

import json
import subprocess
import sys

import pytest

from paperround import scheduler
from paperround.scheduler import Pulse

SCRIPT = """
import logging, structlog
from paperround.serving import write_logs
write_logs({form!r})
log = structlog.get_logger()
log.info("mail", to="ada@example.org", link="/u/0123456789abcdef0123456789abcdef.AbCdEfGhIjKlMnOpQrStUvWx")
try:
    raise ValueError("nobody called ada@example.org")
except ValueError:
    log.exception("failed")
logging.getLogger("library").error("refused ada@example.org")
"""


def written(form: str) -> str:
    done = subprocess.run([sys.executable, "-c", SCRIPT.format(form=form)], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout == ""
    return done.stderr


@pytest.mark.parametrize("form", ["text", "json"])
def test_no_line_holds_an_address_or_a_link(form: str) -> None:
    text = written(form)
    assert text.count("(address)") == 3
    assert "(token)" in text
    assert "ada@" not in text
    assert "AbCdEf" not in text


def test_as_json_each_line_is_a_document_also_what_libraries_say() -> None:
    first, failed, library = map(json.loads, written("json").splitlines())
    assert (first["event"], first["level"], first["to"]) == ("mail", "info", "(address)")
    assert "Traceback" in failed["exception"]
    assert library == {"event": "refused (address)", "level": "error", "logger": "library", "timestamp": library["timestamp"]}
    assert first["timestamp"].endswith("Z")


async def test_a_scheduler_that_stopped_is_noticed_and_none_is_no_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    moment = 1000.0
    monkeypatch.setattr(scheduler, "monotonic", lambda: moment)
    pulse = Pulse(seconds=15)
    assert not pulse.lost()
    await pulse.beat()
    moment += 60
    assert not pulse.lost()
    moment += 600
    assert pulse.lost()
