"""Five hundred mails of real and hostile titles, checked from outside on their bytes."""

import email
import email.policy
import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from email.message import EmailMessage
from itertools import cycle, islice
from pathlib import Path
from types import ModuleType

import pytest

from paperround.digests.mail_content import render_issue, textual
from paperround.digests.mime import build_message
from paperround.digests.template_loader import Templates
from paperround.digests.wording import plain, shorten
from paperround.models import DigestItem, ItemRole, MailKind, Reason, ReasonKind, SubscriberId, Work, WorkId
from paperround.sources.daily_papers import parse_json

HOSTILE = (
    "a\r\nBcc: eve@example.org",
    "قراءة \u202e الشفاه",
    "x" * 2000,
    "🎉 &amp; <b>bold</b> <a href=x>",
    "\x00\x1b[2J",
    "日本語" * 100,
    "=?utf-8?q?=0A?=",
)


def titles(shared: Path) -> Iterator[str]:
    vectors = json.loads((shared / "corpora/xss/vectors.json").read_text(encoding="utf-8"))
    found = [str(each) for each in (vectors if isinstance(vectors, list) else list(vectors.values()))]
    yield from cycle([*HOSTILE, *found])


def papers(shared: Path) -> list[Work]:
    """Works as they come from a month of pages, every ninth with a hostile title and author."""
    body = (shared / "corpora/daily_papers/daily_papers_2024-10.json").read_bytes()
    hostile, works = titles(shared), []
    for number, entry in enumerate(parse_json(body, url="https://pages.example/daily"), 1):
        title, authors = (next(hostile), (next(hostile), "B")) if number % 9 == 0 else (entry.title, entry.authors)
        published = entry.published
        works.append(
            Work(
                id=WorkId(number),
                title=title,
                abstract=entry.summary,
                authors=authors,
                url=entry.url,
                links=entry.links,
                published=published,
                first_seen_at=published or entry.updated,  # type: ignore[arg-type]
                upvotes=entry.upvotes,
            )
        )
    return works


def as_item(number: int, work: Work) -> DigestItem:
    excerpt = tuple(f"{part.strip()}." for part in work.abstract.split(". ")[:3])
    return DigestItem(
        work=work,
        role=ItemRole.CHOSEN,
        number=number,
        score=0.5,
        strength=(number * 37 % 100) / 100,
        reason=Reason(kind=ReasonKind.INTEREST, text=shorten(work.title, 40)),
        excerpt=excerpt,
        best=0,
    )


@pytest.mark.slow
def test_every_mail_passes_the_checks_and_says_the_same_in_html_and_text(
    shared: Path, samples: ModuleType, templates: Templates, tmp_path: Path
) -> None:
    works = cycle(papers(shared))
    for number in range(500):
        items = [as_item(place, work) for place, work in enumerate(islice(works, 1 + number % 20), 1)]
        reader = f"{number:032x}"
        person = replace(samples.subscriber(), id=SubscriberId(number), public_id=reader, email=f"reader{number}@example.org")
        links = samples.links(reader)
        links = replace(links, one_click=f"https://paperround.example/u/{reader}.0.{number:022}")
        digest = samples.digest(items, number=number + 1)
        content = render_issue(templates, digest, person, samples.identity(), links, now=samples.NOW, strength_word=samples.strength_word)
        raw = build_message(
            content,
            identity=samples.identity(),
            recipient=str(person.email),
            recipient_name=items[0].work.authors[0] if items[0].work.authors else "",
            message_id=f"{number}@example.org",
            date=samples.NOW,
            links=links,
            kind=MailKind.ISSUE,
        )
        (tmp_path / f"{number}.eml").write_bytes(raw)
        message = email.message_from_bytes(raw, policy=email.policy.default)
        assert isinstance(message, EmailMessage)
        text = " ".join(message.get_body(("plain",)).get_content().split())  # type: ignore[union-attr]
        for item in items:
            title = textual(shorten(plain(item.work.title), 300)) or "(without a title)"
            assert f"{item.number}. {title}" in text
            assert f"More like {item.number}<" in content.html
    check = shared / "checks" / "mail_bytes.py"
    done = subprocess.run([sys.executable, str(check), str(tmp_path)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
    assert done.stdout.startswith("500 of 500 mails pass every check")
