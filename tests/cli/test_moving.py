"""Coming from elsewhere and leaving again: nobody becomes active without evidence, nobody who left is revived, nothing is lost."""

import json
from pathlib import Path

import pytest

from paperround.bundled_files import bundled

MAILCHIMP = "Email Address,First Name,Last Name,OPTIN_TIME,OPTIN_IP,CONFIRM_TIME,CONFIRM_IP,{more}LAST_CHANGED,LEID,EUID\n"
SUBSCRIBED = MAILCHIMP.format(more="") + (
    "ada@example.org,Ada,Wren,2021-03-04 10:11:12,203.0.113.77,2021-03-04 10:15:00,203.0.113.77,2022,1,a\n"
    "ben@example.org,Ben,,,,2021-03-04 10:15:00,198.51.100.2,2022,2,b\n"
    "no address,,,,,,,2022,3,c\n"
)
UNSUBSCRIBED = (
    MAILCHIMP.format(more="UNSUB_TIME,UNSUB_REASON,")
    + "cem@example.org,Cem,,2020-01-01,203.0.113.1,2020-01-01,,2021-01-01,NORMAL,2022,4,d\n"
)
CLEANED = MAILCHIMP.format(more="CLEAN_TIME,") + "dee@example.org,Dee,,2020-01-01,203.0.113.1,2020-01-01,,2021-01-01,2022,5,e\n"
LISTMONK = (
    "uuid,email,name,attributes,status,created_at,updated_at\n"
    'u1,eve@example.org,Eve,"{""interests"": [""deep sea""]}",enabled,2024-01-01,2024-01-01\n'
    "u2,fay@example.org,Fay,{},blocklisted,2024-01-01,2024-01-01\n"
)
LIBRARY = """
@comment{jabref-meta: databaseType:bibtex;}
@article{one, title = {Attention to {Octopus} Arms}, doi = {10.1234/ABC.5}, author = {Wren, Ada}}
@misc{two, title = {Two}, eprint = {2410.01234}, archiveprefix = {arXiv}}
@book{three, title = "A Book Without a Number"}
"""


@pytest.fixture
def lists(house: Path, run) -> Path:
    run("init")
    for name, text in {
        "subscribed.csv": SUBSCRIBED,
        "unsubscribed.csv": UNSUBSCRIBED,
        "cleaned.csv": CLEANED,
        "listmonk.csv": LISTMONK,
    }.items():
        (house / name).write_text(text, encoding="utf-8")
    return house


def states(run) -> dict[str, str]:
    return {each["email"]: each["state"] for each in run("subscribers", "list", "--json").json}


def test_mailchimps_files_bring_those_with_evidence_and_keep_out_the_others(run, lists: Path) -> None:
    files = ("subscribed.csv", "unsubscribed.csv", "cleaned.csv")
    would = run("subscribers", "import", *files, "--dry-run", "--json", status=1).json
    assert (would["counts"], states(run)) == ({"left": 1, "bounced": 1, "active": 1, "pending": 1}, {})
    done = run("subscribers", "import", *files, "--json", status=1)
    assert done.json["counts"] == would["counts"]
    assert "subscribed.csv, row 3" in done.stderr
    assert states(run) == {"ada@example.org": "active", "ben@example.org": "pending"}
    exported = {each["email"]: each for each in run("subscribers", "export", "--json").json}
    (event,) = exported["ada@example.org"]["consent"]
    assert event["note"] == "subscribed.csv, row 1: opted in 2021-03-04 10:11:12, confirmed 2021-03-04 10:15:00"
    assert (event["kind"], event["address_prefix"]) == ("imported", "203.0.113.0/24")
    again = run("subscribers", "import", *files, "--json", status=1).json["counts"]
    assert again == {"left": 1, "bounced": 1, "unchanged": 2}
    assert run("status", "--json").json["deliveries"] == {"queued": 1}, "one confirmation mail, not two"


def test_who_left_elsewhere_comes_by_no_load_and_is_named_nowhere(run, lists: Path) -> None:
    run("subscribers", "import", "unsubscribed.csv")
    (lists / "again.csv").write_text("email,consented_at\ncem@example.org,2024-01-01\n", encoding="utf-8")
    refused = run("subscribers", "import", "again.csv", "--active", status=1)
    assert "suppressed (left)" in refused.stderr
    assert states(run) == {}
    assert "cem@example.org" not in run("suppressions", "list").stdout
    run("suppressions", "remove", "cem@example.org")
    run("subscribers", "import", "again.csv")
    assert states(run) == {"cem@example.org": "active"}


def test_who_left_here_is_never_revived_whatever_a_list_tells(run, lists: Path) -> None:
    run("subscribers", "import", "subscribed.csv", status=1)
    run("subscribers", "remove", "ada@example.org")
    done = run("subscribers", "import", "subscribed.csv", "--active", status=1)
    assert "only their own new consent" in done.stderr
    assert states(run)["ada@example.org"] == "unsubscribed"


def test_who_came_by_an_import_leaves_by_one_and_who_confirmed_here_stays(run, lists: Path) -> None:
    (lists / "list.csv").write_text("email,consented_at\ncem@example.org,2019-01-01\n", encoding="utf-8")
    run("subscribers", "import", "list.csv")
    run("subscribers", "import", "unsubscribed.csv")
    assert states(run) == {"cem@example.org": "unsubscribed"}


def test_listmonks_export_tells_no_consent_so_they_are_asked_unless_vouched_for(run, lists: Path) -> None:
    assert run("subscribers", "import", "listmonk.csv", "--dry-run", "--json").json["counts"] == {"admin": 1, "pending": 1}
    run("subscribers", "import", "listmonk.csv", "--active")
    shown = run("subscribers", "show", "eve@example.org", "--json").json
    assert (shown["state"], shown["profile"]["interests"]) == ("active", ["deep sea"])
    assert [(each["address"], each["reason"]) for each in run("suppressions", "list", "--json").json] == [("fay@example.org", "admin")]


def test_contacts_who_never_asked_for_mail_are_refused_as_a_file(run, lists: Path) -> None:
    (lists / "nonsubscribed_members.csv").write_text(SUBSCRIBED, encoding="utf-8")
    assert "never asked" in run("subscribers", "import", "nonsubscribed_members.csv", "--active", status=1).stderr
    assert states(run) == {}


@pytest.mark.parametrize(
    ("name", "text", "told"),
    [("list.pdf", "x", "neither .csv nor .json"), ("list.json", "{}", "no list"), ("absent.csv", None, "No such file")],
)
def test_a_file_that_is_no_list_is_told(run, lists: Path, name: str, text: str | None, told: str) -> None:
    if text is not None:
        (lists / name).write_text(text, encoding="utf-8")
    assert told in run("subscribers", "import", name, status=1).stderr


@pytest.mark.parametrize("form", ["--json", "csv"])
def test_what_is_exported_comes_back_in_another_installation(run, lists: Path, monkeypatch: pytest.MonkeyPatch, form: str) -> None:
    run("subscribers", "import", "subscribed.csv", status=1)
    run(
        "profiles",
        "edit",
        "ada@example.org",
        'interests=["deep sea", "octopus; minds"]' if form == "--json" else 'interests=["deep sea"]',
        "max_items=8",
    )
    run("subscribers", "add", "fay@example.org", "--active")
    run("subscribers", "pause", "fay@example.org")
    before = {each["email"]: (each["state"], each["profile"]) for each in run("subscribers", "list", "--json").json}
    file = lists / ("people.json" if form == "--json" else "people.csv")
    file.write_text(run("subscribers", "export", *([form] if form == "--json" else [])).stdout, encoding="utf-8")
    monkeypatch.setenv("PAPERROUND_DATABASE", "sqlite:///other.db")
    run("subscribers", "import", str(file))
    after = {each["email"]: (each["state"], each["profile"]) for each in run("subscribers", "list", "--json").json}
    assert after == before


def test_a_library_becomes_liked_works_beside_those_that_are_there(run, house: Path) -> None:
    run("init")
    run("subscribers", "add", "ada@example.org", "--active")
    run("profiles", "edit", "ada@example.org", 'liked=["arxiv:2301.00001"]')
    (house / "library.bib").write_text(LIBRARY, encoding="utf-8")
    run("profiles", "import", "ada@example.org", "library.bib")
    run("profiles", "import", "ada@example.org", "library.bib")
    liked = run("profiles", "show", "ada@example.org", "--json").json["profile"]["liked"]
    assert liked == ["arxiv:2301.00001", "doi:10.1234/abc.5 Attention to Octopus Arms", "arxiv:2410.01234 Two", "A Book Without a Number"]


def test_of_a_large_library_the_last_papers_are_kept_and_that_is_said(run, house: Path) -> None:
    run("init")
    run("subscribers", "add", "ada@example.org", "--active")
    (house / "old.bib").write_bytes("".join(f"@article{{k{n}, title = {{Über Papier {n}}}}}\n" for n in range(230)).encode("latin-1"))
    assert "200" in run("profiles", "import", "ada@example.org", "old.bib").stderr
    liked = run("profiles", "show", "ada@example.org", "--json").json["profile"]["liked"]
    assert (len(liked), liked[-1]) == (200, "Über Papier 229")
    (house / "empty.bib").write_text("nothing", encoding="utf-8")
    assert "no BibTeX" in run("profiles", "import", "ada@example.org", "empty.bib", status=1).stderr


def test_sources_go_out_and_come_back_as_opml_csv_and_json(run, house: Path) -> None:
    run("init")
    run("sources", "add", str(bundled("sample/slow-science.xml")), "--tag", "slow", "--tag", "science")
    (row,) = json.loads(run("sources", "export", "--json").stdout)
    assert (row["name"], row["tags"]) == ("Slow Science Review", ["slow", "science"])
    csv = run("sources", "export", "--csv").stdout.splitlines()
    assert csv[0] == "location,name,kind,tags"
    assert csv[1].endswith("Slow Science Review,feed,slow; science")
    (house / "feeds.csv").write_text("url,title,tags\nhttp://127.0.0.1:9/feed,Here,a; b\n/etc/passwd,File,\n", encoding="utf-8")
    refused = run("sources", "import", "feeds.csv", status=1)
    assert "127.0.0.1" in refused.stderr
    assert "/etc/passwd: only http and https" in refused.stderr
