"""Rendering: messages a second of one core, from digests to bytes, beside MJML compiled for each mail and `email.message` for each mail."""

import random
import re
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from email.message import EmailMessage
from email.policy import SMTP
from pathlib import Path
from statistics import median, quantiles
from typing import Any

import jinja2

from paperround.bundled_files import bundled
from paperround.digests.catalogues import speech
from paperround.digests.lean_jinja import kept_by
from paperround.digests.mail_content import MailContent, TemplateSource, fill, render_issue, view
from paperround.digests.mime import build_message
from paperround.digests.template_loader import TemplateLoader
from paperround.matching.scoring import strength_word
from paperround.models import (
    ConsentState,
    Digest,
    DigestId,
    DigestItem,
    Interest,
    ItemRole,
    Links,
    ListIdentity,
    MailKind,
    Mention,
    Profile,
    ReaderLinks,
    Reason,
    ReasonKind,
    SourceId,
    Subscriber,
    SubscriberId,
    Work,
    WorkId,
)

MESSAGES, WARM, BATCH, ITEMS, WORKS = 50_000, 5_000, 100, 20, 1_000  # BATCH: as delivery claims and reads them
NOW = datetime(2026, 11, 20, 6, 30, tzinfo=UTC)
SYLLABLES = [a + b for a in ("b", "cl", "d", "f", "gr", "l", "m", "n", "p", "r", "st", "t", "v") for b in ("a", "en", "i", "o", "ur")]
IDENTITY = ListIdentity(
    name="The Paperround",
    sender="round@example.org",
    address="paperround@example.org",
    postal_address="Example Lab, 1 Example Street, Exampleton",
    privacy_url="https://example.org/privacy",
    list_id="paperround.example.org",
)


@dataclass(frozen=True)
class Issue:
    """What one mail is made of."""

    digest: Digest
    reader: Subscriber
    links: ReaderLinks


# ---------------------------------------------------------------- invented digests


def words(chance: random.Random, count: int) -> str:
    return " ".join("".join(chance.choices(SYLLABLES, k=chance.randint(1, 3))) for _ in range(count))


def sentence(chance: random.Random) -> str:
    """As long as those of abstracts; one in ten with what is not ASCII."""
    return words(chance, chance.randint(14, 26)).capitalize() + (" — “naïve” & co." if chance.random() < 0.1 else ".")


def work(chance: random.Random, number: int) -> Work:
    address = f"https://papers.example/abs/2611.{number:05}"
    return Work(
        id=WorkId(number),
        title=words(chance, chance.randint(7, 13)).title(),
        abstract=" ".join(sentence(chance) for _ in range(8)),
        authors=tuple(words(chance, 2).title() for _ in range(chance.randint(1, 9))),
        url=address,
        links=Links(abstract=address, pdf=f"https://papers.example/pdf/2611.{number:05}"),
        published=NOW - timedelta(hours=chance.randint(6, 90)),
        first_seen_at=NOW - timedelta(hours=chance.randint(1, 23)),
        upvotes=chance.randint(0, 90),
        mentions=(Mention(source_id=SourceId(1), source_name=chance.choice(("arXiv cs.CV", "arXiv cs.CL", "Daily Papers")), seen_at=NOW),),
    )


def item(chance: random.Random, number: int, each: Work, interests: Sequence[str]) -> DigestItem:
    """The sentences that matter to this reader, for their reason."""
    sentences = each.abstract.split(". ")
    start = chance.randrange(len(sentences) - 2)
    excerpt = tuple(f"{text.rstrip('.')}." for text in sentences[start : start + chance.randint(2, 3)])
    reason = Reason(kind=ReasonKind.INTEREST, text=interests[(number - 1) * len(interests) // ITEMS])
    best = chance.randrange(len(excerpt))
    return DigestItem(
        work=each, role=ItemRole.CHOSEN, number=number, score=0.5, strength=chance.random(), reason=reason, excerpt=excerpt, best=best
    )


def issue(chance: random.Random, number: int, works: Sequence[Work]) -> Issue:
    """Another reader: other works, sentences, reasons, numbers and addresses."""
    public_id, interests = f"{chance.getrandbits(128):032x}", [words(chance, 4) for _ in range(3)]
    chosen = [item(chance, place, each, interests) for place, each in enumerate(chance.sample(works, ITEMS), 1)]
    digest = Digest(
        id=DigestId(number),
        subscriber_id=SubscriberId(number),
        period=NOW.date(),
        number=1 + number % 300,
        due_at=NOW,
        since=NOW - timedelta(days=1),
        cutoff=NOW,
        created_at=NOW,
        candidates=len(works),
        items=tuple(chosen),
    )
    reader = Subscriber(
        id=SubscriberId(number),
        public_id=public_id,
        email=f"reader{number}@example.org",
        state=ConsentState.ACTIVE,
        profile=Profile(
            name=words(chance, 1).title(), timezone="Europe/Berlin", interests=tuple(Interest(text=each) for each in interests)
        ),
        created_at=NOW,
        consented_at=NOW - timedelta(days=200),
    )
    return Issue(digest, reader, addresses(public_id, number))


def addresses(public_id: str, number: int) -> ReaderLinks:
    """As long as signed ones."""

    def link(room: str, *rest: object) -> str:
        return f"https://paperround.example/{room}/{'.'.join(map(str, (public_id, 0, *rest)))}.{public_id[:22]}"

    votes = [link("v", number, place) for place in range(1, ITEMS + 1)]
    return ReaderLinks(
        one_click=link("u"),
        unsubscribe_mailto="mailto:paperround@example.org?subject=unsubscribe",
        preferences=link("p"),
        archive=link("a", number),
        votes={place: (f"{each}/more", f"{each}/less", f"{each}/why") for place, each in enumerate(votes, 1)},
    )


# ---------------------------------------------------------------- three ways to a message


def content(templates: TemplateSource, each: Issue) -> MailContent:
    return render_issue(templates, each.digest, each.reader, IDENTITY, each.links, now=NOW, strength_word=strength_word)


def message(made: MailContent, each: Issue) -> bytes:
    return build_message(
        made,
        identity=IDENTITY,
        recipient=each.reader.email or "",
        recipient_name=each.reader.profile.name,
        message_id=f"{each.digest.id}@example.org",
        date=NOW,
        links=each.links,
        kind=MailKind.ISSUE,
    )


def modelled(made: MailContent, each: Issue) -> bytes:
    """With the standard library's objects."""
    mail = EmailMessage(policy=SMTP)
    mail["From"], mail["To"] = f"{IDENTITY.name} <{IDENTITY.sender}>", f"{each.reader.profile.name} <{each.reader.email}>"
    mail["Subject"], mail["Message-ID"] = made.subject, f"<{each.digest.id}@example.org>"
    mail["List-Unsubscribe"], mail["List-Unsubscribe-Post"] = f"<{each.links.one_click}>", "List-Unsubscribe=One-Click"
    mail.set_content(made.text)
    mail.add_alternative(made.html, subtype="html")
    return mail.as_bytes()


def compiled_each_time(each: Issue) -> bytes:
    """Jinja first, then MJML on what came out."""
    from mjml import mjml_to_html

    folder = bundled("templates")
    source = (folder / "email" / "digest.mjml.j2").read_text(encoding="utf-8")
    while part := re.search(r'<mj-include +path="([^"]+)" */>', source):
        source = source.replace(part.group(), (folder / part.group(1)).read_text(encoding="utf-8"))
    environment = jinja2.Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True)
    environment.filters["kept_by"] = kept_by
    template = environment.from_string(source)
    issue_view = view(each.digest, each.reader, each.links, strength_word=strength_word)
    page = template.render(issue=issue_view, identity=IDENTITY, links=each.links, fill=fill, **speech("en").functions)
    return str(mjml_to_html(page).html).encode()


# ---------------------------------------------------------------- measuring


def rate(issues: Sequence[Issue], make: Callable[[Issue], object]) -> float:
    """Mails a second of the time of this thread: what else the machine does is not counted."""
    started = time.thread_time()
    for each in issues:
        make(each)
    return len(issues) / (time.thread_time() - started)


def resident_mb() -> float:
    return int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1]) * 4096 / 1e6


def batches(chance: random.Random, works: Sequence[Work]) -> Iterator[list[Issue]]:
    """A batch shares its works and no others do: storage reads them anew for each."""
    for start in range(0, MESSAGES, BATCH):
        fresh = [replace(each) for each in works]
        yield [issue(chance, number, fresh) for number in range(start, start + BATCH)]


def run() -> list[dict[str, Any]]:
    chance = random.Random(7)
    works = [work(chance, number) for number in range(WORKS)]
    templates = TemplateLoader([bundled("templates")]).load()
    seconds, before, size = [], 0.0, 0

    def make(each: Issue) -> bytes:
        return message(content(templates, each), each)

    for place, several in enumerate(batches(chance, works)):
        if place == WARM // BATCH:
            before = resident_mb()
        started = time.thread_time()
        for each in several:
            size += len(make(each))
        seconds.append(time.thread_time() - started)
    growth = resident_mb() - before
    quick, *_, slow = quantiles(seconds[WARM // BATCH :], n=10)  # the machine has others to serve, too
    some = [issue(chance, number, works) for number in range(40)]
    alone = [replace(each, digest=replace(each.digest, items=own(chance, each.digest.items))) for each in some * 5]
    made = {each.digest.id: content(templates, each) for each in some}
    rates = {
        "mjml_per_mail": rate(some[:6], lambda each: message(replace(made[each.digest.id], octets=compiled_each_time(each)), each)),
        "email_message": rate(some, lambda each: modelled(content(templates, each), each)),
        "works_of_their_own": rate(alone, make),
    }
    value = BATCH / median(seconds[WARM // BATCH :])
    return [
        {
            "name": "render",
            "value": value,
            "unit": "messages/s/core",
            "beside": rates,
            "ratio": value / rates["mjml_per_mail"],
            "ratios": {name: value / each for name, each in rates.items()},
            "kilobytes": size / MESSAGES / 1024,
            "growth_mb": growth,
            "slowest_tenth": BATCH / slow,
            "fastest_tenth": BATCH / quick,
            "note": f"{MESSAGES:,} different mails of {ITEMS} of {WORKS:,} works, {size / MESSAGES / 1024:.0f} KB each, in thread time, "
            f"the median of batches of {BATCH} ({BATCH / slow:,.0f} in the slowest tenth, {BATCH / quick:,.0f} in the fastest); "
            f"×{value / rates['email_message']:.1f} email.message; memory {growth:+.1f} MB from the {WARM:,}th to the last",
        }
    ]


def own(chance: random.Random, items: Sequence[DigestItem]) -> tuple[DigestItem, ...]:
    """The same items with titles, authors and sentences that no other mail has."""
    return tuple(
        replace(
            each,
            work=replace(
                each.work, title=f"{each.work.title} {chance.random()}", authors=tuple(f"{a} {chance.random()}" for a in each.work.authors)
            ),
            excerpt=tuple(f"{text} {chance.random()}" for text in each.excerpt),
        )
        for each in items
    )
