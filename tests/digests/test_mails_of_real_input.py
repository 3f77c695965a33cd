"""Five hundred mails and more of real and hostile titles, in all languages and of all kinds, checked from outside on their bytes."""

import hashlib
import json
import re
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import timedelta
from itertools import cycle, islice
from pathlib import Path
from types import ModuleType

import pytest

from paperround.digests.catalogues import LANGUAGES, speech
from paperround.digests.mail_content import render_issue, textual
from paperround.digests.mime import build_message
from paperround.digests.template_loader import Templates
from paperround.digests.wording import home, plain, shorten
from paperround.models import DigestItem, ItemRole, MailKind, Reason, ReasonKind, SubscriberId, Work, WorkId
from paperround.sources.daily_papers import parse_json

COUNT = 520
HOSTILE = (
    "a\r\nBcc: eve@example.org",
    "قراءة \u202e الشفاه بأربع لغات",
    "x" * 2000,
    "long words and " * 130,
    "🎉 &amp; <b>bold</b> <a href=x>",
    "\x00\x1b[2J",
    "日本語" * 100,
    "=?utf-8?q?=0A?=",
    "{{ 7 * 7 }}{% raw %} {sources}",
    " \u2028 \u200b ",
)
KINDS = tuple(ReasonKind)


def titles(shared: Path) -> Iterator[str]:
    vectors = json.loads((shared / "corpora/xss/vectors.json").read_text(encoding="utf-8"))
    yield from cycle([*HOSTILE, *map(str, vectors)])


@pytest.fixture(scope="module")
def papers(shared: Path) -> list[Work]:
    """Works as they come from two months of pages, every fifth with a hostile title, author, abstract and address."""
    hostile, works = titles(shared), []
    for month in ("2024-10", "2025-02"):
        body = (shared / f"corpora/daily_papers/daily_papers_{month}.json").read_bytes()
        for entry in parse_json(body, url="https://pages.example/daily"):
            work = Work(
                id=WorkId(len(works) + 1),
                title=entry.title,
                abstract=entry.summary,
                authors=entry.authors,
                url=entry.url,
                links=entry.links,
                published=entry.published,
                first_seen_at=entry.published or entry.updated,  # type: ignore[arg-type]
                upvotes=entry.upvotes,
            )
            if len(works) % 5 == 0:
                text = next(hostile)
                links = replace(work.links, code=f"javascript:{text[:30]}", project=f"https://e.example/?utm_source=x&q={len(works)}")
                work = replace(work, title=text, authors=(next(hostile), "B"), abstract=f"{text}. {next(hostile)}", links=links)
            works.append(work)
    return works


def as_item(number: int, work: Work, *, role: ItemRole, kind: ReasonKind) -> DigestItem:
    excerpt = tuple(f"{part.strip()}." for part in work.abstract.split(". ")[:3]) if role is not ItemRole.BELOW else ()
    return DigestItem(
        work=work,
        role=role,
        number=number,
        score=0.5,
        strength=(number * 37 % 100) / 100,
        reason=Reason(kind=kind, text=shorten(work.abstract, 50)),
        excerpt=excerpt,
        best=0 if excerpt else None,
        also=("Daily Papers", work.title) if number % 3 == 0 else (),
    )


def issue_of(works: Sequence[Work], number: int) -> list[DigestItem]:
    """Of none to fifty items by several reasons, with one from outside and three below."""
    count = number % 13 if number % 40 else 50
    kinds = KINDS[:3] if number % 7 else (ReasonKind.TRENDING,)
    found = [as_item(n, work, role=ItemRole.CHOSEN, kind=kinds[n * n % len(kinds)]) for n, work in enumerate(works[:count], 1)]
    if count and number % 7:
        found.append(as_item(count + 1, works[count], role=ItemRole.EXPLORE, kind=ReasonKind.EXPLORE))
    return found + [as_item(0, work, role=ItemRole.BELOW, kind=ReasonKind.INTEREST) for work in works[count + 1 : count + 4]]


@pytest.mark.slow
def test_every_mail_passes_the_rules_and_says_the_same_in_html_and_text(
    shared: Path, papers: list[Work], samples: ModuleType, mail_rules: ModuleType, templates: Templates, tmp_path: Path
) -> None:
    works, owners, preheaders = cycle(papers), dict[str, int](), set[str]()
    for number in range(COUNT):
        items = issue_of(list(islice(works, 54 if number % 40 == 0 else 17)), number)
        reader, language = hashlib.sha256(f"{number}".encode()).hexdigest()[:32], LANGUAGES[number % 3]
        person = replace(
            samples.subscriber(language=language), id=SubscriberId(number), public_id=reader, email=f"reader{number}@example.org"
        )
        links = replace(samples.links(reader), one_click=f"https://paperround.example/u/{reader}.0.{reader[::-1]}")
        identity = samples.identity() if number % 2 else samples.identity(address=None, privacy_url=None)
        links = links if number % 2 else replace(links, unsubscribe_mailto=None)
        digest = samples.digest(
            items, number=number + 1, since=samples.NOW - timedelta(days=number % 9), kind="matched" if number % 7 else "trending"
        )
        content = render_issue(templates, digest, person, identity, links, now=samples.NOW, strength_word=samples.strength_word)
        raw = build_message(
            content,
            identity=identity,
            recipient=str(person.email),
            recipient_name=(items[0].work.authors or ("",))[0],
            message_id=f"{number}@example.org",
            date=samples.NOW,
            links=links,
            kind=MailKind.ISSUE,
        )
        (tmp_path / f"{number}.eml").write_bytes(raw)
        faults = mail_rules.broken(raw, postal_address=identity.postal_address, offers_mail=bool(number % 2))
        assert faults == [], (number, language)
        mail = mail_rules.Mail(raw)
        says_the_same(mail, items, language, shown=len(items))
        preheaders.add(mail.page.preheader)
        for secret in mail.secrets("paperround.example"):
            assert owners.setdefault(secret, number) == number, "two readers share a token"
        others = set(re.findall(r"reader\d+@example\.org", raw.decode("ascii") + mail.text + mail.html))
        assert others <= {str(person.email)}
    assert len(preheaders) == COUNT
    passes_the_check_from_outside(shared / "checks" / "mail_bytes.py", tmp_path)


def says_the_same(mail: object, items: Sequence[DigestItem], language: str, *, shown: int) -> None:
    """Each item's title, link, reason and votes, in the text as in the HTML, in the same order."""
    _ = speech(language)
    text, page = " ".join(mail.text.split()), mail.page  # type: ignore[attr-defined]
    links = {url for _, url in page.links}
    places = []
    for item in items:
        title = shorten(plain(item.work.title), 300) or _("(without a title)")
        lead = f"{item.number}. " if item.number else "* "
        assert " ".join(f"{lead}{textual(title)}".split()) in text
        assert " ".join(title.split()) in page.text
        places.append(text.index(" ".join(f"{lead}{textual(title)}".split())))
        if url := home(item.work):
            assert url in links
            assert url in text
        if item.number:
            assert _("More like {item}", item=item.number) in text
            assert _("More like {item}", item=item.number) in page.text
        if (
            item.number
            and item.reason.kind in (ReasonKind.INTEREST, ReasonKind.LIKED, ReasonKind.MUST)
            and (why := plain(item.reason.text))
        ):
            assert textual(shorten(why, 120)) in text
            assert " ".join(shorten(why, 120).split()) in page.text
    assert places == sorted(places)


def passes_the_check_from_outside(check: Path, folder: Path) -> None:
    done = subprocess.run([sys.executable, str(check), str(folder)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
    assert done.stdout.startswith(f"{COUNT} of {COUNT} mails pass every check")
