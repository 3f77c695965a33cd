"""What a reader's mail asks for, in plain words."""

import re
from datetime import UTC, date, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from paperround.incoming.reply_commands import Command, commands, completed_schedule, interests, own_words, read_mail

NOW = datetime(2026, 11, 21, 9, tzinfo=UTC)  # a Saturday
THIRD = date(2027, 1, 3)


def asked(text: str) -> list[tuple[object, ...]]:
    """The commands as short tuples: the kind, then whatever else was said."""
    found = commands(text, now=NOW, language="en")
    return [tuple(part for part in (each.kind, each.number, each.argument, each.items, each.until) if part) for each in found]


ENGLISH = {
    "more like 2": [("more", 2)],
    "More like 2.": [("more", 2)],
    "more like this: 2": [],
    "more like #2": [("more", 2)],
    "more of number 3, please": [("more", 3)],
    "please send me more like 4!": [("more", 4)],
    "more 1, 2 and 5": [("more", 1), ("more", 2), ("more", 5)],
    "like 3": [("more", 3)],
    "I loved 2": [("more", 2)],
    "2 was great": [("more", 2)],
    "+1 2": [("more", 2)],
    "less 5": [("less", 5)],
    "less like 5": [("less", 5)],
    "fewer like 1 and 2": [("less", 1), ("less", 2)],
    "I don't like 4": [("less", 4)],
    "I didn’t like 4": [("less", 4)],
    "3 is boring": [("less", 3)],
    "more like 2, less like 5": [("more", 2), ("less", 5)],
    "More like 2 and less like 5. Thanks!": [("more", 2), ("less", 5)],
    "more like 2\nless like 3\nwhy 4?": [("more", 2), ("less", 3), ("why", 4)],
    "why 3?": [("why", 3)],
    "Why did I get 3?": [("why", 3)],
    "explain 1": [("why", 1)],
    "pause": [("pause",)],
    "please pause my mails": [("pause",)],
    "pause until 3 January": [("pause", THIRD)],
    "Pause me until January 3rd please": [("pause", THIRD)],
    "pause till 2027-01-03": [("pause", THIRD)],
    "pause for two weeks": [("pause", date(2026, 12, 5))],
    "I'm away until Monday": [("pause", date(2026, 11, 23))],
    "I am on holiday until 3 January": [("pause", THIRD)],
    "no mails until 3 January": [("pause", THIRD)],
    "pause until whenever": [("pause", "until whenever")],
    "pause the video": [],
    "resume": [("resume",)],
    "I'm back!": [("resume",)],
    "resume my mails": [("resume",)],
    "weekly": [("schedule", "weekly")],
    "weekly on Friday at 8": [("schedule", "weekly friday 08:00")],
    "send me this weekly": [("schedule", "weekly")],
    "daily at 7:30": [("schedule", "daily 07:30")],
    "every day at 6pm": [("schedule", "daily 18:00")],
    "every Monday": [("schedule", "weekly monday")],
    "once a week please": [("schedule", "weekly")],
    "weekdays": [("schedule", "weekdays")],
    "change to weekdays at 7": [("schedule", "weekdays 07:00")],
    "switch to monthly": [("schedule", "monthly")],
    "interests: token pruning, speculative decoding": [("interests", ("token pruning", "speculative decoding"))],
    "Interests: graphs; proteins, folded": [("interests", ("graphs", "proteins, folded"))],
    "my interests are: graph learning": [("interests", ("graph learning",))],
    "interests:\n- graph learning\n- protein folding, fast": [("interests", ("graph learning", "protein folding, fast"))],
    "subscribe: graph learning, proteins": [("subscribe", ("graph learning", "proteins"))],
    "feed": [("feed",)],
    "only the feed please": [("feed",)],
    "what is my feed address?": [("feed",)],
    "what do you know": [("know",)],
    "What do you know about me?": [("know",)],
    "show me my data": [("know",)],
    "stop": [("stop",)],
    "STOP!": [("stop",)],
    "unsubscribe": [("stop",)],
    "Please unsubscribe me from this list.": [("stop",)],
    "remove me from your mailing list": [("stop",)],
    "stop sending me these emails": [("stop",)],
    "take me off this list": [("stop",)],
    "no more mails": [("stop",)],
    "cancel my subscription": [("stop",)],
    "yes": [("confirm",)],
    "Yes, I confirm": [("confirm",)],
    "ok": [("confirm",)],
    "confirm": [("confirm",)],
    "help": [("help",)],
    "?": [],
    "What can I write?": [("help",)],
    "Hi Ada,\n\nmore like 2\n\nthanks!\nBob": [("more", 2)],
}
GERMAN = {
    "mehr wie 2": [("more", 2)],
    "bitte mehr von 2 und 3": [("more", 2), ("more", 3)],
    "2 gefällt mir": [("more", 2)],
    "weniger wie 5": [("less", 5)],
    "5 gefällt mir nicht": [("less", 5)],
    "4 ist langweilig": [],
    "4 langweilig": [("less", 4)],
    "warum 3?": [("why", 3)],
    "Warum bekomme ich 3?": [("why", 3)],
    "Pause": [("pause",)],
    "Pause bis 3. Januar": [("pause", THIRD)],
    "pausieren bis zum 3. Januar": [("pause", THIRD)],
    "Ich bin im Urlaub bis 3.1.2027": [("pause", THIRD)],
    "keine Mails bis Montag": [("pause", date(2026, 11, 23))],
    "ich bin wieder da": [("resume",)],
    "weitermachen": [("resume",)],
    "wöchentlich": [("schedule", "weekly")],
    "wöchentlich freitags um 8 Uhr": [("schedule", "weekly friday 08:00")],
    "jeden Tag um 7 Uhr": [("schedule", "daily 07:00")],
    "nur einmal pro Woche": [("schedule", "weekly")],
    "Themen: Graphen, Proteine": [("interests", ("Graphen", "Proteine"))],
    "nur den Feed bitte": [("feed",)],
    "Was wisst ihr über mich?": [("know",)],
    "abmelden": [("stop",)],
    "Bitte mich abmelden": [("stop",)],
    "Newsletter kündigen": [("stop",)],
    "keine Mails mehr": [("stop",)],
    "Ja": [("confirm",)],
    "Ja, ich bestätige": [("confirm",)],
    "Hilfe": [("help",)],
}
FRENCH = {
    "plus comme 2": [("more", 2)],
    "j'aime bien 2": [("more", 2)],
    "moins comme 5": [("less", 5)],
    "je n'aime pas 5": [("less", 5)],
    "pourquoi 3 ?": [("why", 3)],
    "Pourquoi ai-je reçu 3 ?": [("why", 3)],
    "pause": [("pause",)],
    "pause jusqu'au 3 janvier": [("pause", THIRD)],
    "Je suis en vacances jusqu’au 3 janvier": [("pause", THIRD)],
    "mettre en pause pendant deux semaines": [("pause", date(2026, 12, 5))],
    "pas de mails jusqu'à lundi": [("pause", date(2026, 11, 23))],
    "reprendre": [("resume",)],
    "je suis de retour": [("resume",)],
    "hebdomadaire": [("schedule", "weekly")],
    "tous les jours à 8h": [("schedule", "daily 08:00")],
    "chaque lundi à 8h30": [("schedule", "weekly monday 08:30")],
    "une fois par semaine, s'il vous plaît": [("schedule", "weekly")],
    "intérêts : graphes, protéines": [("interests", ("graphes", "protéines"))],
    "seulement le flux": [("feed",)],
    "que savez-vous sur moi ?": [("know",)],
    "désabonner": [("stop",)],
    "Désabonnez-moi, merci": [("stop",)],
    "plus de mails": [("stop",)],
    "oui": [("confirm",)],
    "Oui, je confirme": [("confirm",)],
    "aide": [("help",)],
}


@pytest.mark.parametrize(("text", "wanted"), [*ENGLISH.items(), *GERMAN.items(), *FRENCH.items()])
def test_plain_words_have_their_effect(text: str, wanted: list[tuple[object, ...]]) -> None:
    assert asked(text) == wanted


def test_the_table_is_as_long_as_promised() -> None:
    assert len([words for words, wanted in ENGLISH.items() if wanted]) >= 60
    assert len([words for words, wanted in GERMAN.items() if wanted]) >= 20
    assert len([words for words, wanted in FRENCH.items() if wanted]) >= 20


@pytest.mark.parametrize(
    "text",
    [
        "",
        "I don't want to stop reading these, they are great.",
        "The stop sign paper was nice",
        "Could you tell me more about transformers?",
        "I have no more time for this today",
        "the weekly seminar is cancelled",
        "We know what you do",
        "he did not help me feed the cat",
        "yes man is a film",
        "2 and 5",
        "more",
        "more like",
        "why?",
        "asdf jkl; 1234",
        "Please confirm the date of our meeting",
        "unsubscribe is a funny word",
    ],
)
def test_sentences_that_merely_hold_a_word_ask_for_nothing(text: str) -> None:
    assert asked(text) == []


QUOTED = "On Mon, 3 Nov 2026 at 07:30, Paperround <news@lists.example> wrote:\n> stop\n> more like 1\n>\n> unsubscribe\n"


@pytest.mark.parametrize(
    ("text", "own"),
    [
        (f"more like 2\n\n{QUOTED}", "more like 2"),
        (f"{QUOTED}\nmore like 2\n", "more like 2"),
        ("more like 2\n\nOn Mon, 3 Nov 2026 at 07:30, Paperround\n<news@lists.example> wrote:\n\n> stop", "more like 2"),
        ("more like 2\n\nOn Mon, 3 Nov 2026, Paperround wrote:\n\nstop\nunsubscribe", "more like 2"),
        ("more like 2\n\nAm Mo., 3. Nov. 2026 um 07:30 Uhr schrieb Paperround <n@x.org>:\n\n> stop", "more like 2"),
        ("more like 2\n\nLe lun. 3 nov. 2026 à 07:30, Paperround <n@x.org> a écrit :\n\n> stop", "more like 2"),
        ("more like 2\n\n-----Original Message-----\nFrom: Paperround <n@x.org>\nstop", "more like 2"),
        ("more like 2\n\n________________________________\nFrom: Paperround <n@x.org>\nSent: Monday\n\nstop", "more like 2"),
        ("more like 2\n\nVon: Paperround <n@x.org>\nGesendet: Montag\n\nstop", "more like 2"),
        ("more like 2\n\n-- \nStop Smith\nstop", "more like 2"),
        ("more like 2\n\nSent from my iPhone", "more like 2"),
        ("more like 2\n\nVon meinem iPhone gesendet", "more like 2"),
        ("more like 2\n\nEnvoyé de mon iPhone", "more like 2"),
        ("> stop\n> stop", ""),
    ],
)
def test_quoted_history_and_signatures_change_nothing(text: str, own: str) -> None:
    assert own_words(text) == own
    assert own_words(text.replace("\n", "\r\n")) == own


def test_a_rude_mail_asks_for_few_things_at_most() -> None:
    assert len(commands("more like 1\n" * 5000 + "less 2, 3, 4, 5, 6, 7, 8, 9, 10\n" * 100, now=NOW)) <= 20


def test_interests_are_read_from_a_first_mail() -> None:
    assert interests("graph learning\nprotein folding") == ("graph learning", "protein folding")
    assert interests("graph learning, protein folding") == ("graph learning", "protein folding")
    assert interests("Hello,\n\n- graph learning\n* protein folding\n\nThanks!\n") == ("graph learning", "protein folding")
    assert interests("Subscribe\n\ngraph learning\n") == ("graph learning",)
    assert interests("interests: a b; c, d") == ("a b", "c, d")
    assert interests("") == ()


@pytest.mark.parametrize(
    ("said", "current", "whole"),
    [
        ("weekly", "weekdays 07:30", "weekly monday 07:30"),
        ("weekly friday 08:00", "weekdays 07:30", "weekly friday 08:00"),
        ("weekly", "weekly thursday 09:00", "weekly thursday 09:00"),
        ("daily", "monthly 3 06:15", "daily 06:15"),
        ("daily 18:00", "off", "daily 18:00"),
        ("monthly", "off", "monthly 1 07:30"),
        ("weekdays", "weekly friday 08:00", "weekdays 08:00"),
    ],
)
def test_a_schedule_said_in_part_keeps_the_rest(said: str, current: str, whole: str) -> None:
    assert completed_schedule(said, current) == whole


# ---------------------------------------------------------------- mails


def mail(head: str = "", body: str = "stop") -> bytes:
    return f"From: Ada <Ada@Example.org>\nTo: list@x.org\nSubject: Re: 5 papers\nMessage-ID: <m1@example.org>\n{head}\n{body}\n".encode()


def test_a_mail_is_read_as_far_as_it_concerns_us() -> None:
    head = "In-Reply-To: <d7@lists.example>\nReferences: <d1@lists.example> <d7@lists.example>\nDelivered-To: list+abc@x.org\n"
    read = read_mail(mail(head, "more like 2\n\n> stop"), now=NOW)
    assert read.sender == "Ada@example.org"
    assert read.to == ("list+abc@x.org", "list@x.org")
    assert (read.subject, read.text, read.message_id) == ("Re: 5 papers", "more like 2", "m1@example.org")
    assert read.in_reply_to == ("d7@lists.example", "d1@lists.example")
    assert (read.automatic, read.received_at) == (False, NOW)


@pytest.mark.parametrize(
    "head",
    [
        "Auto-Submitted: auto-replied\n",
        "Auto-Submitted: auto-generated (vacation)\n",
        "Precedence: bulk\n",
        "Precedence: junk\n",
        "List-Id: <other.example>\n",
        "X-Autoreply: yes\n",
        "X-Auto-Response-Suppress: All\n",
        "Content-Type: multipart/report; report-type=delivery-status; boundary=x\n",
    ],
)
def test_what_a_machine_wrote_is_known_as_such(head: str) -> None:
    assert read_mail(mail(head), now=NOW).automatic
    assert read_mail(b"Return-Path: <>\n" + mail(), now=NOW).automatic
    assert read_mail(mail().replace(b"Ada@Example.org", b"no-reply@example.org"), now=NOW).automatic
    assert not read_mail(mail("Auto-Submitted: no\nReturn-Path: <ada@example.org>\n"), now=NOW).automatic


def test_plain_text_is_read_before_html_and_html_without_its_history() -> None:
    both = (
        "Content-Type: multipart/alternative; boundary=B\n\n--B\nContent-Type: text/html\n\n<p>less 1</p>\n"
        "--B\nContent-Type: text/plain; charset=utf-8\nContent-Transfer-Encoding: quoted-printable\n\nd=C3=A9sabonner\n--B--\n"
    )
    assert read_mail(mail(both), now=NOW).text == "désabonner"
    html = "Content-Type: text/html; charset=utf-8\n"
    body = '<style>p{}</style><div>more like 2&nbsp;</div><div>why 3</div><blockquote class="gmail_quote">stop</blockquote>'
    assert read_mail(mail(html, body), now=NOW).text.split() == ["more", "like", "2", "why", "3"]


def test_attachments_say_nothing() -> None:
    attached = (
        "Content-Type: multipart/mixed; boundary=B\n\n--B\nContent-Type: text/plain\nContent-Disposition: attachment\n\nstop\n--B--\n"
    )
    assert read_mail(mail(attached), now=NOW).text == ""


def test_an_address_beyond_ascii_is_read_whole() -> None:
    assert read_mail("From: Jürgen <jürgen@bücher.example>\n\nstop".encode(), now=NOW).sender == "jürgen@bücher.example"


@pytest.mark.parametrize(
    "raw", [b"", b"\r", b"\r\r\r", b"From:\r\r", b"\xff" * 5000, b"x" * 20_000_000, b"From: a@b.c\n\n" + b"\n" * 20_000_000]
)
def test_rubbish_is_survived(raw: bytes) -> None:
    read = read_mail(raw, now=NOW)
    assert commands(read.text, now=NOW) == []


@given(st.binary(max_size=1500))
def test_no_bytes_raise(raw: bytes) -> None:
    for mangled in (raw, mail().replace(b"\n", b"\r"), mail(body="stop")[: len(raw)] + raw):
        commands(read_mail(mangled, now=NOW).text, now=NOW)


WORDS = st.sampled_from(
    re.findall(r"\S+|\n", "more less why pause until stop 2 3, and interests: weekly every at 99 > -- on wrote: bis à le \n . ; ?")
)


@given(st.lists(WORDS, max_size=30).map(" ".join), st.text(max_size=80))
def test_no_words_raise_and_every_command_is_one_of_the_known(words: str, junk: str) -> None:
    kinds = {"subscribe", "confirm", "more", "less", "undo", "why", "pause", "resume", "schedule"}
    kinds |= {"interests", "feed", "know", "stop", "help"}
    for text in (words, junk, words + junk):
        found = commands(own_words(text), now=NOW)
        assert all(isinstance(each, Command) and each.kind in kinds for each in found)
        assert all((each.number is not None) == (each.kind in {"more", "less", "undo", "why"}) for each in found)
        interests(text)
