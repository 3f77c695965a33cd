"""Rows of lists from elsewhere: who comes with which evidence, and who must not be mailed. Column names are those of real exports."""

import csv
import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from paperround.subscribers.imports import LEFT, read_row

MAILCHIMP = (
    '"Email Address","First Name","Last Name",MEMBER_RATING,OPTIN_TIME,OPTIN_IP,CONFIRM_TIME,CONFIRM_IP,LATITUDE,LONGITUDE,GMTOFF,DSTOFF,'
    "TIMEZONE,CC,REGION,{more}LAST_CHANGED,LEID,EUID,NOTES,TAGS\n"
)
LISTMONK = "uuid,email,name,attributes,status,created_at,updated_at\n"


def rows(text: str):
    return [read_row(row) for row in csv.DictReader(io.StringIO(text))]


def mailchimp(optin: str, confirm: str, more: str = "", values: str = ""):
    head = MAILCHIMP.format(more=more)
    return rows(
        f"{head}ada@example.org,Ada,Wren,4,{optin},{confirm},48.1,11.5,1,2,Europe/Berlin,de,by,{values}2024-01-01 10:00:00,1,abc,,\n"
    )[0]


def test_both_times_of_mailchimp_are_evidence_and_the_network_is_all_that_stays_of_the_address() -> None:
    row = mailchimp("2021-03-04 10:11:12,203.0.113.77", "2021-03-04 10:15:00,203.0.113.77")
    assert row.evidence == "opted in 2021-03-04 10:11:12, confirmed 2021-03-04 10:15:00"
    assert (row.network, row.gone) == ("203.0.113.0/24", None)
    assert row.values == {"name": "Ada Wren", "timezone": "Europe/Berlin"}


def test_whom_the_owner_of_a_mailchimp_list_added_comes_without_evidence() -> None:
    assert mailchimp(",", "2021-03-04 10:15:00,198.51.100.2").evidence is None


UNSUB = "UNSUB_TIME,UNSUB_CAMPAIGN_TITLE,UNSUB_CAMPAIGN_ID,UNSUB_REASON,UNSUB_REASON_OTHER,"
CLEAN = "CLEAN_TIME,CLEAN_CAMPAIGN_TITLE,CLEAN_CAMPAIGN_ID,"


@pytest.mark.parametrize(
    ("columns", "values", "gone"),
    [
        (UNSUB, '"2022-01-01 09:00:00",News,1,NORMAL,,', LEFT),
        (UNSUB, '"2022-01-01 09:00:00",News,1,SPAM,,', "complained"),
        (CLEAN, '"2022-01-01 09:00:00",News,1,', "bounced"),
    ],
)
def test_who_left_or_bounced_at_mailchimp_must_not_be_mailed(columns: str, values: str, gone: str) -> None:
    row = mailchimp("2021-03-04 10:11:12,203.0.113.77", "2021-03-04 10:15:00,203.0.113.77", columns, values)
    assert row.gone == gone


def test_listmonk_tells_states_and_attributes_but_no_consent() -> None:
    enabled, blocked, disabled = rows(
        LISTMONK
        + 'a1,ada@example.org,Ada,"{""interests"": [""octopus minds""], ""timezone"": ""Europe/Berlin"", ""city"": ""Ulm""}"'
        + ",enabled,2024-01-01,2024-01-02\n"
        + "a2,ben@example.org,Ben,{},blocklisted,2024-01-01,2024-01-02\n"
        + "a3,cem@example.org,Cem,not json,disabled,2024-01-01,2024-01-02\n"
    )
    assert enabled.values == {"name": "Ada", "interests": ["octopus minds"], "timezone": "Europe/Berlin"}
    assert (enabled.evidence, enabled.gone) == (None, None)
    assert (blocked.gone, disabled.gone) == ("admin", LEFT)


def test_a_plain_list_names_keys_of_a_profile_and_when_they_consented() -> None:
    (row,) = rows(
        "Email,Name,Interests,Max items,Explore,Consented at,IP,Sources,Shoe size\n"
        "ada@example.org,Ada,one; two,8,False,2024-05-06T07:08:09Z,2001:db8:1:2::3,arXiv,38\n"
    )
    assert row.values == {"name": "Ada", "interests": ["one", "two"], "max_items": 8, "explore": False, "sources": ["arXiv"]}
    assert row.evidence == "consented 2024-05-06T07:08:09Z"
    assert row.network == "2001:db8:1::/48"


@pytest.mark.parametrize(
    ("given", "evidence", "gone", "paused"),
    [
        ({"state": "active", "consented_at": "2024"}, True, None, False),
        ({"state": "paused", "consented_at": "2024"}, True, None, True),
        ({"state": "pending", "consented_at": "2024"}, False, None, False),
        ({"state": "unsubscribed", "consented_at": "2024"}, False, LEFT, False),
        ({"state": "active", "consented_at": "2024", "suppressed": "complained"}, True, "complained", False),
        ({"state": "active", "suppressed": "their wish"}, False, "admin", False),
    ],
)
def test_our_own_export_is_read_with_its_states(given: dict[str, str], evidence: bool, gone: str | None, paused: bool) -> None:
    row = read_row({"email": "ada@example.org", **given, "profile": {"interests": [{"text": "a", "weight": 2.0}]}})
    assert (row.evidence is not None, row.gone, row.paused) == (evidence, gone, paused)
    assert row.values == {"interests": [{"text": "a", "weight": 2.0}]}


TEXT = st.text(max_size=20)
NAMES = st.sampled_from(
    ["email", "Email Address", "status", "attributes", "uuid", "LEID", "TIMEZONE", "interests", "max_items", "profile", "ip"]
)


@given(st.dictionaries(NAMES | TEXT, TEXT | st.none() | st.lists(TEXT, max_size=2) | st.integers(), max_size=12))
def test_no_row_is_too_odd_to_be_read(row: dict[str, object]) -> None:
    assert isinstance(read_row(row).email, str)
