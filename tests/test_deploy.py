"""What deploy/ says is true of this version: it names paths and keys that exist, runs as nobody and opens nothing by accident."""

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from paperround.config import example_config, load_settings

ROOT = Path(__file__).resolve().parents[1]
DEPLOY = ROOT / "deploy"


def instructions(name: str) -> list[tuple[str, str]]:
    """The instructions of a Containerfile, continued lines joined."""
    text = re.sub(r"\\\n", " ", (DEPLOY / name).read_text(encoding="utf-8"))
    lines = (line.strip() for line in text.splitlines())
    return [(word, rest.strip()) for word, _, rest in (line.partition(" ") for line in lines if line and not line.startswith("#"))]


def last_stage(found: list[tuple[str, str]]) -> list[tuple[str, str]]:
    start = max(index for index, (word, _) in enumerate(found) if word == "FROM")
    return found[start:]


def services() -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load((DEPLOY / "compose.yaml").read_text(encoding="utf-8"))["services"]
    return found


def test_the_image_copies_only_what_the_checkout_holds() -> None:
    copied = [rest.split()[:-1] for word, rest in instructions("Containerfile") if word == "COPY" and "--from" not in rest]
    missing = [path for paths in copied for path in paths if not (ROOT / path).exists()]
    assert copied
    assert missing == []


def test_the_image_is_built_apart_from_what_runs_and_runs_as_nobody() -> None:
    found = instructions("Containerfile")
    running = last_stage(found)
    assert [word for word, _ in found].count("FROM") == 2
    assert [rest for word, rest in running if word == "USER"] == ["10001:10001"]
    assert all("--from=build" in rest for word, rest in running if word == "COPY")


def test_compose_sets_only_keys_that_the_program_knows(tmp_path: Path) -> None:
    (tmp_path / "paperround.toml").write_text(example_config(), encoding="utf-8")
    given = services()["paperround"]["environment"]
    filled = {"BASE_URL": "https://paperround.example", "SENDER": "papers@paperround.example", "POSTAL_ADDRESS": "1 Example Street"}
    environment = {key: re.sub(r"\$\{(\w+)[^}]*\}", lambda name: filled[name[1]], str(value)) for key, value in given.items()}
    settings = load_settings(tmp_path / "paperround.toml", environment)
    assert settings.base_url == filled["BASE_URL"]


def test_compose_opens_no_port_to_the_world_and_gives_no_rights_away() -> None:
    found = services()
    ports = [port for service in found.values() for port in service.get("ports", [])]
    assert ports
    assert [port for port in ports if not port.startswith("127.0.0.1:")] == []
    assert found["paperround"]["cap_drop"] == ["ALL"]
    assert found["paperround"]["read_only"] is True


def test_every_variable_that_compose_asks_for_stands_in_the_example() -> None:
    asked = set(re.findall(r"\$\{(\w+)", (DEPLOY / "compose.yaml").read_text(encoding="utf-8")))
    given = set(re.findall(r"^(\w+)=", (DEPLOY / "example.env").read_text(encoding="utf-8"), re.M))
    assert asked == given


def test_the_relay_script_is_sound_shell() -> None:
    assert subprocess.run(["sh", "-n", DEPLOY / "postfix" / "start.sh"], check=False).returncode == 0


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd-analyze is absent: it comes with systemd")
def test_the_unit_is_valid_and_well_confined(tmp_path: Path) -> None:
    unit = tmp_path / "paperround.service"
    text = (DEPLOY / "paperround.service").read_text(encoding="utf-8")
    unit.write_text(text.replace("/opt/paperround/bin/paperround serve", "/bin/true"), encoding="utf-8")
    assert "/bin/true" in unit.read_text(encoding="utf-8")
    verified = subprocess.run(["systemd-analyze", "verify", str(unit)], capture_output=True, text=True, check=False)
    assert (verified.returncode, verified.stderr) == (0, "")
    confined = ["systemd-analyze", "security", "--offline=true", "--threshold=20", str(unit)]  # tenths; 100 is unconfined
    judged = subprocess.run(confined, capture_output=True, text=True, check=False)
    assert judged.returncode == 0, judged.stdout[-300:]


def test_the_example_configuration_is_the_one_that_init_writes() -> None:
    assert (DEPLOY / "paperround.toml").read_text(encoding="utf-8") == example_config()
