"""The command line as people expect it: help, completion, one line for what is wrong, suggestions, quiet pipes, Ctrl-C."""

import os
import pty
import re
import select
import shlex
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import pytest
import typer

from paperround.bundled_files import bundled
from paperround.cli import app

ALIASES = {"subscribers edit": "profiles edit"}
PROGRAM = [sys.executable, "-m", "paperround"]
COMMAND = typer.main.get_command(app.app)


def commands(command: Any = COMMAND, words: tuple[str, ...] = ()) -> list[tuple[tuple[str, ...], Any]]:
    below = [each for name, one in getattr(command, "commands", {}).items() for each in commands(one, (*words, name))]
    return below or [(words, command)]


def examples(command: Any) -> list[list[str]]:
    lines = re.findall(r"^\s+(paperround .+)$", command.help or "", re.M)
    return [shlex.split(line, comments=True)[1:] for line in lines]


# ---------------------------------------------------------------- help and completion


@pytest.mark.parametrize(("words", "command"), commands(), ids=lambda each: " ".join(each) if isinstance(each, tuple) else "")
def test_every_command_tells_what_it_does_with_an_example_that_it_takes(words: tuple[str, ...], command: Any) -> None:
    first = (command.help or "").partition("\n")[0]
    assert first
    assert first.endswith(".")
    assert [each.name for each in command.params if not getattr(each, "help", None)] == []
    found = examples(command)
    assert found
    for example in found:
        assert " ".join(example[: len(words)]) == ALIASES.get(" ".join(words), " ".join(words))
        given = [each for each in example[len(words) :] if each not in ("|", ">")]
        given = given[: example.index(">") - len(words)] if ">" in example else given
        command.make_context(" ".join(words), given, resilient_parsing=False).close()


def test_help_is_plain_text_that_fits_eighty_columns(run) -> None:
    for words in ((), ("sources",), ("subscribers", "add")):
        told = run(*words, "--help").stdout
        assert "\x1b" not in told
        assert max(map(len, told.splitlines())) <= 100
    assert "paperround subscribers add ada@example.org" in told


BASH = """
source <(_PAPERROUND_COMPLETE=source_bash paperround)
COMP_WORDS=(paperround so) COMP_CWORD=1; _paperround_completion paperround; echo "${COMPREPLY[@]}"
COMP_WORDS=(paperround subscribers ex) COMP_CWORD=2; _paperround_completion paperround; echo "${COMPREPLY[@]}"
COMP_WORDS=(paperround run --) COMP_CWORD=2; _paperround_completion paperround; echo "${COMPREPLY[@]}"
"""


@pytest.fixture
def shell_home(tmp_path: Path) -> dict[str, str]:
    """An environment in which `paperround` is on the path."""
    (tmp_path / "paperround").write_text(f'#!/bin/sh\nexec {sys.executable} -m paperround "$@"\n', encoding="utf-8")
    (tmp_path / "paperround").chmod(0o755)
    return {"PATH": f"{tmp_path}:{os.environ['PATH']}", "HOME": str(tmp_path)}


def test_bash_completes_commands_and_options(shell_home: dict[str, str]) -> None:
    done = subprocess.run(["bash", "-c", BASH], env=shell_home, capture_output=True, text=True, timeout=60, check=True)
    groups, subcommands, options = done.stdout.splitlines()
    assert groups == "sources"
    assert subcommands == "export"
    assert {"--now", "--dry-run", "--json"} <= set(options.split())


@pytest.mark.parametrize(
    ("shell", "asked"),
    [
        ("zsh", {"_TYPER_COMPLETE_ARGS": "paperround subscribers ex"}),
        ("fish", {"_TYPER_COMPLETE_ARGS": "paperround subscribers ex", "_TYPER_COMPLETE_FISH_ACTION": "get-args"}),
    ],
)
def test_zsh_and_fish_are_answered_and_their_scripts_are_accepted(shell_home: dict[str, str], shell: str, asked: dict[str, str]) -> None:
    def ask(instruction: str, **more: str) -> str:
        environment = {**shell_home, "_PAPERROUND_COMPLETE": f"{instruction}_{shell}", **more}
        return subprocess.run(["paperround"], env=environment, capture_output=True, text=True, timeout=60, check=True).stdout

    assert "export" in ask("complete", **asked)
    script = ask("source")
    assert f"_PAPERROUND_COMPLETE=complete_{shell}" in script
    if shutil.which(shell):
        subprocess.run([shell, "-n"], input=script, text=True, timeout=60, check=True)


# ---------------------------------------------------------------- what is wrong


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["sorces"], "did you mean 'sources'"),
        (["sources", "lst"], "did you mean 'list'"),
        (["run", "--jsn"], "--json"),
        (["run", "--now", "noon"], "--now"),
        (["sources", "add"], "URL_OR_PATH"),
        (["sources", "add", "x", "--kind", "blog"], "--kind"),
        (["subscribers", "add"], "EMAIL"),
        (["subscribers", "add", "a@example.org", "--timezone", "Europe/Berln"], "did you mean Europe/Berlin?"),
        (["subscribers", "add", "a@example.org", "--schedule", "noon"], "--schedule"),
        (["subscribers", "add", "a@example.org", "--max-items", "99"], "--max-items"),
        (["subscribers", "add", "a@example.org", "--interest", " "], "--interest"),
        (["subscribers", "list", "--state", "gone"], "--state"),
        (["subscribers", "pause", "a@example.org", "--until", "spring"], "--until"),
        (["profiles", "edit", "a@example.org", "max_item=8"], "did you mean max_items?"),
        (["explain", "delivery", "a@example.org", "spring"], "DATE"),
        (["evaluate"], "--replay"),
        (["subscribers", "sync"], "[subscribers] folder"),
    ],
)
def test_wrong_usage_is_one_line_that_names_the_place_and_status_2(run, house: Path, words: list[str], told: str) -> None:
    done = run(*words, status=2)
    assert done.stdout == ""
    (line,) = done.stderr.splitlines()
    assert told.lower() in line.lower()
    assert line.startswith("paperround")
    assert list(house.glob("*.db")) == [], "nothing was opened"


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["subscribers", "show", "adda@example.org"], "did you mean ada@example.org?"),
        (["profiles", "show", "ada@exmaple.org"], "did you mean ada@example.org?"),
        (["subscribers", "remove", "adda@example.org"], "did you mean ada@example.org?"),
        (["sources", "show", "slow-science review"], "did you mean Slow Science Review?"),
        (["sources", "remove", "Slow Sience Review"], "did you mean Slow Science Review?"),
        (["profiles", "remove-interest", "ada@example.org", "octopus mind"], "did you mean octopus minds?"),
        (["templates", "export", "email/digset.mjml.j2"], "did you mean email/digest.mjml.j2?"),
        (["preview", "nobody@elsewhere.example"], "there is no subscriber"),
    ],
)
def test_a_mistyped_name_is_answered_with_the_one_that_was_meant(full, words: list[str], told: str) -> None:
    done = full(*words, status=1)
    (line,) = done.stderr.splitlines()
    assert told in line


def test_one_that_fails_keeps_the_others_from_nothing(full) -> None:
    done = full("subscribers", "pause", "nobody@example.org", "ada@example.org", status=1)
    assert done.stdout == "ada@example.org: paused\n"
    assert full("subscribers", "show", "ada@example.org", "--json").json["state"] == "paused"
    done = full("sources", "remove", "nothing", "Slow Science Review", "--dry-run", status=1)
    assert done.stdout == "would remove Slow Science Review\n"
    assert len(full("sources", "list", "--json").json) == 4


def test_a_configuration_that_is_wrong_is_status_2_and_names_file_and_key(run, house: Path) -> None:
    (house / "paperround.toml").write_text("[web]\nprt = 1\n", encoding="utf-8")
    (line,) = run("status", status=2).stderr.splitlines()
    assert "paperround.toml" in line
    assert "prt" in line


# ---------------------------------------------------------------- terminals, pipes, signals


def on_a_terminal(words: Sequence[str], answers: Sequence[str] = (), **environment: str) -> tuple[int, str]:
    """Run with a terminal on all ends; an answer is typed whenever a question stands there. Status, and what was seen."""
    child, terminal = pty.fork()
    if child == 0:
        heed_ctrl_c()
        os.environ.update({"TERM": "xterm", **environment})
        os.execv(sys.executable, [*PROGRAM, *words])  # the child of this test
    seen, told, typed, waiting = b"", 0, "", list(answers)
    for _ in range(1000):
        if not select.select([terminal], [], [], 3 if typed == "\x03" else 60)[0]:
            if typed != "\x03":
                os.kill(child, signal.SIGKILL)
            os.write(terminal, b"\x03")  # as a person would again: one that comes while readline starts is lost
            continue
        try:
            seen += os.read(terminal, 4096)
        except OSError:  # Linux: the other end is closed
            break
        if waiting and seen[told:].endswith(b": "):  # the space comes when it listens
            typed, told = waiting.pop(0), len(seen)
            os.write(terminal, typed.encode())
    os.close(terminal)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), seen.decode()


def heed_ctrl_c() -> None:
    """A shell in the background has its children ignore it."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def test_a_terminal_is_asked_for_a_subscriber_until_the_answers_hold(run, house: Path) -> None:
    run("init")
    answers = [
        "no address\n",
        "bea@example.org\n",
        "octopus minds\n",
        "\n",
        "noon\n",
        "daily 06:00\n",
        "Europe/Berln\n",
        "Europe/Berlin\n",
        "y\n",
    ]
    status, seen = on_a_terminal(["subscribers", "add"], answers)
    assert (status, "did you mean Europe/Berlin?" in seen) == (0, True), seen
    shown = run("subscribers", "show", "bea@example.org", "--json").json
    assert shown["state"] == "active"
    assert [shown["profile"][key] for key in ("interests", "schedule", "timezone")] == [["octopus minds"], "daily 06:00", "Europe/Berlin"]


def test_ctrl_c_at_a_question_changes_nothing_and_is_130(run, house: Path) -> None:
    run("init")
    status, seen = on_a_terminal(["subscribers", "add"], ["\x03"])
    assert status == 130, seen
    assert "run the same command again" in seen
    assert run("subscribers", "list", "--json").json == []


def test_colours_are_for_terminals_that_want_them(full) -> None:
    assert "\x1b[" in on_a_terminal(["sources", "list"])[1]
    assert not re.search(r"\x1b\[[0-9;]*3[0-7]", on_a_terminal(["sources", "list"], NO_COLOR="1")[1])
    assert "\x1b" not in full("sources", "list").stdout


SLOW = """
import http.server, time
class Slow(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        print("asked", flush=True)
        time.sleep({seconds})
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b'<rss version="2.0"><channel><title>Slow</title><item><title>One</title></item></channel></rss>')
server = http.server.HTTPServer(("127.0.0.1", 0), Slow)
print(server.server_port, flush=True)
server.serve_forever()
"""


@dataclass(frozen=True)
class SlowFeed:
    url: str
    told: IO[str]

    def asked(self) -> None:
        """Wait until somebody asks for it."""
        assert self.told.readline() == "asked\n"


@pytest.fixture
def slow_feed() -> Iterator[SlowFeed]:
    """A feed that takes its time."""
    with subprocess.Popen(
        [sys.executable, "-c", SLOW.format(seconds=3)], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as server:
        assert server.stdout is not None
        yield SlowFeed(f"http://127.0.0.1:{int(server.stdout.readline())}/feed", server.stdout)
        server.kill()


def test_what_takes_its_time_says_so_on_a_terminal_alone(run, house: Path, slow_feed: SlowFeed) -> None:
    run("init")
    status, seen = on_a_terminal(["sources", "check", slow_feed.url], PAPERROUND_ALLOW_PRIVATE_HOSTS="127.0.0.1")
    assert status == 0
    assert "sources check …" in seen
    environment = {**os.environ, "PAPERROUND_ALLOW_PRIVATE_HOSTS": "127.0.0.1"}
    program = [*PROGRAM, "sources", "check", slow_feed.url]
    piped = subprocess.run(program, env=environment, capture_output=True, timeout=60, check=True)
    assert piped.stderr == b""


GO_ON = "paperround: stopped; what was done is kept, run the same command again to go on"
INTERRUPTED = """
import os, runpy, signal, sys
class CtrlC:
    def find_spec(self, name, path=None, target=None):
        if name == {module!r}:
            os.kill(os.getpid(), signal.SIGINT)
sys.meta_path.insert(0, CtrlC())
sys.argv = ["paperround", "run"]
runpy.run_module("paperround", run_name="__main__")
"""


@pytest.mark.parametrize("module", ["typer", "rich.console", "paperround.wiring", "sqlalchemy", "paperround.pipeline.embed"])
def test_ctrl_c_among_imports_is_neither_lost_nor_a_traceback(full, house: Path, module: str) -> None:
    program = [sys.executable, "-c", INTERRUPTED.format(module=module)]
    done = subprocess.run(program, capture_output=True, text=True, timeout=60, check=False, preexec_fn=heed_ctrl_c)
    assert (done.returncode, done.stdout, done.stderr.strip()) == (130, "", GO_ON)


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 1)])
def test_ctrl_c_in_a_step_leaves_all_in_order_and_says_how_to_go_on(
    full, house: Path, slow_feed: SlowFeed, monkeypatch: pytest.MonkeyPatch, number: int, status: int
) -> None:
    monkeypatch.setenv("PAPERROUND_ALLOW_PRIVATE_HOSTS", "127.0.0.1")
    full("sources", "add", slow_feed.url)
    slow_feed.asked()
    with subprocess.Popen(
        [*PROGRAM, "run"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, preexec_fn=heed_ctrl_c
    ) as process:  # fmt: skip
        slow_feed.asked()
        process.send_signal(number)
        try:
            told = process.communicate(timeout=60)[1]
        finally:
            process.kill()
    assert process.returncode == status
    assert told.strip() == GO_ON
    assert full("db", "check", "--json").json["faults"] == []
    assert full("run", "--json").json["fetched"] >= 1


def test_a_reader_who_has_seen_enough_is_no_error(full) -> None:
    for words in (["config", "show", "--json"], ["subscribers", "export"], ["--help"]):
        line = shlex.join([*PROGRAM, *words])
        done = subprocess.run(["bash", "-c", f"{line} | true"], capture_output=True, text=True, timeout=60, check=True)
        assert done.stderr == ""


# ---------------------------------------------------------------- every command, done right and done wrong

OTHERS = {"WORK": "1", "TEXT": "words", "KEY=VALUE…": "max_items=3", "FILE": "ada.toml"}


def test_every_command_about_a_subscriber_is_status_1_where_there_is_none(full, house: Path) -> None:
    (house / "ada.toml").write_text(full("profiles", "export", "ada@example.org").stdout, encoding="utf-8")
    tried = 0
    for words, command in commands():
        arguments = [each.metavar for each in command.params if each.param_type_name == "argument" and each.required]
        if not arguments or arguments[0] not in ("EMAIL", "EMAIL…"):
            continue
        done = full(*words, "nobody@elsewhere.example", *(OTHERS[each] for each in arguments[1:]), status=1)
        assert "nobody@elsewhere.example" in done.stderr, words
        assert done.stdout == "", words
        tried += 1
    assert tried > 12


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ("subscribers pause ada@example.org --until 2099-01-07", "paused"),
        ("subscribers resume ada@example.org", "resumed"),
        ("subscribers edit ada@example.org max_items=3", "changed"),
        ("subscribers remove ada@example.org", "unsubscribed"),
        ("subscribers forget ada@example.org", "forgotten"),
        ("subscribers forget ada@example.org --dry-run", "would be forgotten"),
        ("subscribers sync profiles", "1 added"),
        ("profiles import ada@example.org profiles/bea.toml", "changed"),
        ("profiles export ada@example.org", 'email = "ada@example.org"'),
        ("profiles add-interest ada@example.org robots", "changed"),
        ("profiles remove-interest ada@example.org robots", "changed"),
        ("profiles like ada@example.org 1", "likes"),
        ("profiles dislike ada@example.org 1", "dislikes"),
        ("preview ada@example.org --days 30", "No."),
        ("send-test ada@example.org --dry-run", "would send"),
        ("send-test ada@example.org", "sent"),
        ("sources remove daily-papers-1 --dry-run", "would remove daily-papers-1"),
        ("sources export --csv", "location,name,kind,tags"),
        ("suppressions add gone@example.org --reason bounced", "suppressed"),
        ("suppressions remove gone@example.org --dry-run", "would remove"),
        ("suppressions remove gone@example.org", "removed"),
        ("templates export email/digest.mjml.j2 mine", "wrote mine/email/digest.mjml.j2"),
        ("db upgrade", "up to date"),
        ("init", "kept paperround.toml"),
    ],
)
def test_what_is_done_right_is_told_with_status_0(full, house: Path, words: str, told: str) -> None:
    (house / "profiles").mkdir()
    (house / "profiles" / "bea.toml").write_text('email = "bea@example.org"\ninterests = ["robots"]\n', encoding="utf-8")
    before = {"resume": "subscribers pause ada@example.org", "remove-interest": "profiles add-interest ada@example.org robots"}
    before["remove"] = "suppressions add gone@example.org"
    if first := before.get(words.split()[1]) if len(words.split()) > 1 else None:
        full(*first.split())
    done = full(*words.split())
    assert told in done.stdout
    assert done.stderr == ""


def test_a_preview_says_to_programs_what_it_says_to_people(run, house: Path) -> None:
    run("init")
    run("sources", "add", str(bundled("sample/slow-science.xml")), "--backlog", "all")
    run("subscribers", "add", "ada@example.org", "--interest", "octopus minds", "--min-score", "0", "--active")
    run("collect")
    run("embed")
    words = ("preview", "ada@example.org")
    printed, told = run(*words).stdout, run(*words, "--json").json
    assert told["text"].strip() == printed.strip()
    chosen = [each for each in told["items"] if each["role"] == "chosen"]
    assert chosen
    assert [each["title"] for each in chosen if each["title"] not in " ".join(printed.split())] == []
    written = run(*words, "--json", "--out", "next.html").json["out"]
    assert "<html" in (house / written).read_text(encoding="utf-8")


def test_a_sync_counts_what_its_files_came_to_and_names_the_one_refused(full, house: Path) -> None:
    (house / "profiles").mkdir()
    for name in ("bea", "cy"):
        (house / "profiles" / f"{name}.toml").write_text(f'email = "{name}@example.org"\n', encoding="utf-8")
    (house / "profiles" / "di.toml").write_text('email = "di@example.org"\nmax_item = 3\n', encoding="utf-8")
    assert full("subscribers", "sync", "profiles", "--json", status=1).json["added"] == 2
    again = full("subscribers", "sync", "profiles", "--json", status=1)
    assert [again.json[key] for key in ("added", "changed", "unchanged")] == [0, 0, 2]
    (line,) = again.json["failed"]
    assert "di.toml" in line
    assert "did you mean max_items" in line
    assert again.stderr.strip() == line
