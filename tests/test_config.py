"""The configuration: every key from file and environment, every fault one line that names where."""

import re
import stat
import subprocess
import sys
from datetime import timedelta
from itertools import pairwise
from pathlib import Path

import pytest

from paperround.config import Settings, example_config, load_settings, provenance, read_keys, write_new_key
from paperround.config_keys import keys, redacted
from paperround.errors import ConfigError
from paperround.models import Profile


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "paperround.toml"


def load(file: Path, text: str, **environ: str) -> Settings:
    file.write_text(text, encoding="utf-8")
    return load_settings(file, environ)


def test_without_a_file_everything_has_a_default_beside_the_current_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    settings = load_settings(None, {})
    assert settings.database == f"sqlite:///{tmp_path}/paperround.db"
    assert settings.transport == f"directory:{tmp_path}/out/mail"
    assert settings.secret_key_file == tmp_path / "paperround.key"
    assert settings.folder == tmp_path
    assert {row.source for row in provenance(settings)} == {"default"}


def test_the_file_is_found_in_the_current_folder_or_by_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "paperround.toml").write_text("[web]\nport = 1")
    (tmp_path / "other.toml").write_text("[web]\nport = 2")
    assert load_settings(None, {}).web.port == 1
    assert load_settings(None, {"PAPERROUND_CONFIG": "other.toml"}).web.port == 2
    assert load_settings(tmp_path / "paperround.toml", {"PAPERROUND_CONFIG": "other.toml"}).web.port == 1


def test_a_named_file_that_is_absent_is_an_error(file: Path) -> None:
    with pytest.raises(ConfigError, match="No such file"):
        load_settings(file, {})


def test_the_example_holds_every_key_with_its_default_and_an_explanation(file: Path) -> None:
    text = example_config()
    assert load(file, text).model_dump() == load(file, "").model_dump()
    table: tuple[str, ...] = ()
    found, lines = set(), text.splitlines()
    for before, line in pairwise(lines):
        if header := re.fullmatch(r"\[(\w+)\]|# \[\[(\w+)\]\]", line):
            table = (header[1] or header[2],)
        elif key := re.match(r"(?:# )?(\w+) = ", line):
            found.add((*table, key[1]))
            assert re.fullmatch(r"# .+[.…]|# \[\[relays\]\]", before), line
    secret_files = {("database_file",), ("transport_file",), ("web", "metrics_token_file")}
    assert found == set(keys()) - secret_files - {("relays",)} | {("relays", "transport")}


@pytest.mark.parametrize("key", sorted(keys()), ids=".".join)
def test_every_key_is_a_variable_too(file: Path, tmp_path: Path, key: tuple[str, ...]) -> None:
    value = example_value(key, tmp_path)
    name = "PAPERROUND_" + "_".join(key).upper()
    settings = load(file, "", **{name: value})
    plain = ".".join(key) if key[-1] in ("secret_key_file", "imap_password_file") else ".".join(key).removesuffix("_file")
    assert {row.key for row in provenance(settings) if row.source == name} == {plain}


def example_value(key: tuple[str, ...], folder: Path) -> str:
    special = {
        "database": "sqlite:///other.db",
        "transport": "maildir:mail",
        "relays": "smtp://localhost:25,maildir:mail",
        "base_url": "https://paper.example.org",
        "lmtp": "127.0.0.1:8024",
        "imap": "imaps://paper@mail.example.org/INBOX",
        "precision": "fp32",
        "engine": "queue",
        "colour": "#112233",
        "colour_dark": "#112233",
        "explore": "false",
        "transactional": "true",
        "direct": "false",
        "sender": "a@example.org",
        "reply_to": "b@example.org",
        "address": "c@example.org",
        "admin_address": "d@example.org",
        "log_format": "json",
        "metrics_token": "a long random word",
        "privacy_url": "https://example.org/p",
        "logo_url": "https://example.org/l.png",
        "language": "de",
        "list_id": "x.example.org",
    }
    if key[-1].removesuffix("_file") in special and key[-1].endswith("_file"):
        (folder / "secret").write_text(special[key[-1].removesuffix("_file")] + "\n")
        return "secret"
    return special.get(key[-1], "9")


def test_the_environment_goes_before_the_file(file: Path) -> None:
    settings = load(file, '[web]\nport = 1\nhost = "::1"', PAPERROUND_WEB_PORT="2", PAPERROUND_LIST_REPLY_TO="a@example.org")
    assert (settings.web.port, settings.web.host, settings.identity.reply_to) == (2, "::1", "a@example.org")
    where = {row.key: row.source for row in provenance(settings)}
    assert (where["web.port"], where["web.host"], "web" in where) == ("PAPERROUND_WEB_PORT", str(file), False)


FAULTS = [
    ("[web]\nprot = 1", {}, r"paperround.toml: \[web\] prot: unknown key; did you mean \[web\] port\?"),
    ("bse_url = 1", {}, "paperround.toml: bse_url: unknown key; did you mean base_url"),
    ("[wbe]\nport = 1", {}, r"paperround.toml: \[wbe\] port: unknown key; did you mean \[web\] port"),
    ("[wbe]", {}, "paperround.toml: wbe: unknown key"),
    ("[web.x]\ny = 1", {}, r"paperround.toml: \[web\] x: unknown key"),
    ("web = 3", {}, "paperround.toml: web: "),
    ('[web]\nport = "many"', {}, r"paperround.toml: \[web\] port: .*integer"),
    ("[web]\nport = 70000", {}, r"paperround.toml: \[web\] port: .*65535"),
    ("x = [", {}, "paperround.toml: is no TOML"),
    ('[[relays]]\ntransport = "pigeon"', {}, r"paperround.toml: \[\[relays\]\].* must look like smtp"),
    ('[[relays]]\ntrnsport = "x"', {}, r"paperround.toml: \[\[relays\]\]"),
    ("relays = 3", {}, r"paperround.toml: \[\[relays\]\]"),
    ('transport = "pigeon:x"', {}, "paperround.toml: transport: must look like smtp"),
    ('database = "mysql://x"', {}, "paperround.toml: database: must look like sqlite"),
    ('database_file = "absent"', {}, "paperround.toml: database_file: cannot read absent"),
    ('database = "sqlite:///x"\ndatabase_file = "y"', {}, "paperround.toml: database_file: database is given too"),
    ('base_url = "paper.example.org"', {}, "paperround.toml: base_url: must be an address"),
    ('[list]\nsender = "Ada <ada@example.org>"', {}, r"paperround.toml: \[list\] sender: must be a mail address"),
    ('[list]\nname = "a\\nBcc: b"', {}, r"paperround.toml: \[list\] name: must be one line"),
    ('[delivery]\nretry_first = "soon"', {}, r"paperround.toml: \[delivery\] retry_first: must be a time"),
    ("[polling]\ninterval = 0", {}, r"paperround.toml: \[polling\] interval: must be more than 0"),
    ('[embedding]\nprecision = "fp64"', {}, r"paperround.toml: \[embedding\] precision: "),
    ("", {"PAPERROUND_WEB_PROT": "1"}, "PAPERROUND_WEB_PROT: unknown variable; did you mean PAPERROUND_WEB_PORT"),
    ("", {"PAPERROUND_WEB_PORT": "x"}, "PAPERROUND_WEB_PORT: .*integer"),
    ("", {"PAPERROUND_ALLOW_PRIVATE_HOSTS": "[1"}, "PAPERROUND_ALLOW_PRIVATE_HOSTS: is no list"),
]


@pytest.mark.parametrize(("text", "environ", "message"), FAULTS)
def test_a_fault_is_one_line_that_names_file_or_variable_and_key(file: Path, text: str, environ: dict[str, str], message: str) -> None:
    with pytest.raises(ConfigError, match=message) as caught:
        load(file, text, **environ)
    assert "\n" not in str(caught.value)


def test_variables_of_tests_and_of_others_are_left_alone(file: Path) -> None:
    assert (
        load(file, "", PAPERROUND_TEST_REQUIRE="browser", PAPERROUND_CONFIG="x", PAPER="y", PATH="z").model_dump()
        == load(file, "").model_dump()
    )


def test_relative_paths_start_at_the_files_folder(tmp_path: Path) -> None:
    folder = tmp_path / "etc"
    folder.mkdir()
    text = """
    database = "sqlite:///data/x.db"
    templates = "mine"
    [subscribers]
    folder = "people"
    [inbox]
    maildir = "/var/mail/paper"
    lmtp = "unix:paper.sock"
    [[relays]]
    transport = "maildir:out"
    """
    settings = load(folder / "paperround.toml", text)
    assert settings.database == f"sqlite:///{folder}/data/x.db"
    assert (settings.templates, settings.subscribers.folder) == (folder / "mine", folder / "people")
    assert (settings.inbox.maildir, settings.inbox.lmtp) == (Path("/var/mail/paper"), f"unix:{folder}/paper.sock")
    assert settings.transports == (f"maildir:{folder}/out",)


def test_relays_stand_in_order_instead_of_the_transport(file: Path) -> None:
    text = '[[relays]]\ntransport = "smtp://localhost:25"\n[[relays]]\ntransport_file = "second"'
    (file.parent / "second").write_text("smtp://127.0.0.1:26\n")
    assert load(file, text).transports == ("smtp://localhost:25", "smtp://127.0.0.1:26")


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "[::1]"])
def test_plain_http_is_fine_while_mail_stays_on_this_machine(file: Path, host: str) -> None:
    assert load(file, f'transport = "smtp://{host}:2525"').base_url == "http://localhost:8080"


@pytest.mark.parametrize("text", ['transport = "smtp://mail.example.org"', '[[relays]]\ntransport = "smtps://u:p@192.0.2.1:465"'])
def test_plain_http_is_refused_once_mail_leaves_it(file: Path, text: str) -> None:
    with pytest.raises(ConfigError, match="base_url: must begin with https"):
        load(file, f'base_url = "http://paper.example.org"\n{text}')
    assert load(file, f'base_url = "https://paper.example.org/"\n{text}').base_url == "https://paper.example.org"


@pytest.mark.parametrize("password", ["s3cret", "s3/cret", "s3@c/ret", "s3:cret?", "#s3cret"])
def test_no_letter_of_a_password_makes_it_show(password: str) -> None:
    assert redacted(f"postgresql+psycopg://paper:{password}@db:5432/paper") == "postgresql+psycopg://paper:…@db:5432/paper"
    assert redacted("https://paper.example:8443/a") == "https://paper.example:8443/a"


def test_secrets_are_hidden_where_they_are_shown_or_wrong(file: Path) -> None:
    text = """
    database = "postgresql+psycopg://paper:s3cret@db/paper"
    transport = "smtp://paper:s3cret@localhost"
    """
    settings = load(file, text)
    assert "s3cret" not in str(provenance(settings))
    assert settings.shown_database == "postgresql+psycopg://paper:…@db/paper"
    with pytest.raises(ConfigError) as caught:
        load(file, 'transport = "smtp:/paper:s3cret@localhost"')
    assert "s3cret" not in str(caught.value)


def test_durations_are_shown_as_they_are_written(file: Path) -> None:
    settings = load(file, '[delivery]\nretry_first = "90 min"\ngive_up_after = 3600')
    shown = {row.key: row.value for row in provenance(settings)}
    assert settings.delivery.retry_first == timedelta(minutes=90)
    assert (shown["delivery.retry_first"], shown["delivery.give_up_after"], shown["retention.pending"]) == ("90m", "1h", "7d")


def test_the_identity_is_made_of_the_list_table(file: Path) -> None:
    identity = load(file, '[list]\nname = "Round"\nsender = "round@example.org"\naddress = "list@example.org"').identity
    assert (identity.name, identity.reply_to, identity.list_id) == ("Round", "list@example.org", "paperround.example.org")


def test_profiles_start_from_the_digest_table(file: Path) -> None:
    assert load(file, "").default_profile == Profile()
    assert load(file, '[digest]\nmax_items = 3\n[list]\nlanguage = "de"').default_profile == Profile(max_items=3, language="de")


def test_settings_are_frozen(file: Path) -> None:
    settings = load(file, "")
    with pytest.raises(ValueError, match="frozen"):
        settings.base_url = "https://elsewhere.example"
    with pytest.raises(ValueError, match="frozen"):
        settings.web.port = 1


def test_a_new_key_is_the_owners_alone_and_never_overwritten(file: Path) -> None:
    path = file.parent / "paperround.key"
    write_new_key(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    (key,) = read_keys(load(file, ""))
    assert len(key) == 64
    with pytest.raises(FileExistsError):
        write_new_key(path)
    path.write_bytes(b"# rotated in May\n" + b"n" * 40 + b"\r\n\n" + key + b"\n")
    assert read_keys(load(file, "")) == (b"n" * 40, key)


@pytest.mark.parametrize("content", [None, b"", b"short\n", b"# only words\n"])
def test_without_a_real_key_the_error_says_what_makes_one(file: Path, content: bytes | None) -> None:
    if content is not None:
        (file.parent / "paperround.key").write_bytes(content)
    with pytest.raises(ConfigError, match=r"secret_key_file: .*`paperround init`"):
        read_keys(load(file, ""))


def test_reading_the_configuration_loads_nothing_heavy() -> None:
    code = "import sys, paperround.config; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert not {"sqlalchemy", "torch", "sentence_transformers", "feedparser", "mjml", "numpy", "email_validator"} & set(loaded)
