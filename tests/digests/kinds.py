"""One digest of every kind, invented: what the golden files and the pictures are made of."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from types import ModuleType
from typing import Any

from paperround.digests.source_notes import source_notes
from paperround.models import (
    Digest,
    DigestItem,
    Interest,
    ItemRole,
    Links,
    ListIdentity,
    Mention,
    ReaderLinks,
    Reason,
    ReasonKind,
    Source,
    SourceId,
    SourceKind,
    Subscriber,
)

Issue = tuple[Digest, Subscriber, ListIdentity, ReaderLinks]
MORE = (
    (
        "Hearing a Room from Its Corners: Speech from Four Cheap Microphones",
        ("B. Lund", "O. Ferrari"),
        (
            "Four microphones of a few cents each, one in every corner, are enough to tell two speakers apart.",
            "Errors fall from 21 % to 9 % when the room's own echo is learned from an hour of silence.",
            "Recordings of twelve kitchens are given to everybody.",
        ),
    ),
    (
        "What a Draft Model Forgets",
        ("N. Sharma", "L. Petit", "E. Kovacs", "M. Haile"),
        (
            "Small models guess long words well and short ones badly.",
            "A table of three thousand frequent endings doubles the number of guesses that stand.",
        ),
    ),
)


def short(samples: ModuleType) -> dict[str, Mapping[str, Any]]:
    """The values of the short mails, by name."""
    page = "https://paperround.example/p/9f1c2b3a4d5e6f708192"
    titles = [title for title, _, _ in samples.PAPERS[:3]]
    return {
        "confirmation": {"confirm_url": page.replace("/p/", "/c/"), "confirm_reply": True, "titles": titles},
        "answer": {"links": [("paperround.example", page)], "quoted": ["pause"]},
        "notice": {"groups": [("Sources that fail", ["cs.AI: 503"], "They are asked again.")]},
    }


def chosen(
    samples: ModuleType, order: str, reasons: Mapping[str, Reason], strengths: tuple[float, ...] = (0.93, 0.78, 0.6, 0.57, 0.3, 0.28, 0.2)
) -> list[DigestItem]:
    """Items of the papers in `order`: a letter names the reason, a digit the paper, "a0 b2 …"."""
    papers = (*samples.PAPERS, *MORE)
    found = []
    for number, (key, paper) in enumerate(order.split(), 1):
        title, authors, sentences = papers[int(paper)]
        work = samples.work(100 + int(paper), title, authors, sentences, published=samples.NOW - timedelta(days=(int(paper) * 3 + 1) % 7))
        found.append(samples.item(number, work, strengths[number - 1], reasons[key]))
    return found


def rest(samples: ModuleType, number: int) -> list[DigestItem]:
    """One from outside, and three below the cut."""
    return [replace(each, number=number if each.number else 0) for each in samples.items(1)[1:]]


def enriched(item: DigestItem, **changes: object) -> DigestItem:
    return replace(item, work=replace(item.work, **changes))  # type: ignore[arg-type]


def stale(samples: ModuleType, language: str) -> tuple[str, ...]:
    base = Source(
        id=SourceId(3),
        location="https://feeds.example/cs.AI",
        kind=SourceKind.FEED,
        name="arXiv cs.AI",
        added_at=samples.NOW - timedelta(days=90),
        failing_since=samples.NOW - timedelta(hours=20),
        last_success_at=samples.NOW - timedelta(hours=21),
    )
    quiet = replace(
        base,
        id=SourceId(4),
        name="Slow Science Review",
        failing_since=None,
        last_new_at=samples.NOW - timedelta(days=11),
        interval=40_000.0,
    )
    return source_notes([base, quiet], now=samples.NOW, timezone="Europe/Berlin", language=language)


def issues(samples: ModuleType, language: str) -> dict[str, Issue]:
    """By name: a daily with one interest (no inbox), a daily with three, the trending one, the note of an empty day, a weekly."""
    first, second, third = (Reason(kind=ReasonKind.INTEREST, text=text) for text in (samples.PRUNING, samples.SPECULATIVE, samples.SPEECH))
    liked = Reason(kind=ReasonKind.LIKED, text="Fewer Tokens, Earlier Exits", liked_at=datetime(2026, 11, 3, 9, tzinfo=UTC))
    reasons = {"a": first, "b": second, "c": third, "l": liked, "t": Reason(kind=ReasonKind.TRENDING)}
    three = chosen(samples, "a0 b2 c4 c5 a1", reasons)
    links = Links(abstract=three[0].work.url, pdf="https://papers.example/pdf/2611.00100", code="https://code.example/half-the-tokens")
    three[0] = replace(enriched(three[0], upvotes=86, links=links), also=("Daily Papers", "“Pruning by Question”"))
    mention = Mention(source_id=SourceId(1), source_name="arXiv cs.CL", seen_at=samples.NOW, version=2)
    three[1] = enriched(
        three[1],
        mentions=(mention,),
        changed_at=samples.NOW - timedelta(hours=3),
        change="the abstract now says 2.6 ×, it said 2.1 ×",
    )
    trending = [
        replace(enriched(each, upvotes=143 - 19 * each.number), strength=0.0) for each in chosen(samples, "t3 t0 t5 t2 t4", reasons)
    ]
    weekly = chosen(samples, "l0 b6 c5 c4 a1 b2 b3", reasons)
    below = [each for each in rest(samples, 0) if each.role is ItemRole.BELOW]
    week = {"since": samples.NOW - timedelta(days=7), "candidates": 1389, "number": 21}
    one_interest = {"language": language, "interests": (Interest(text=samples.PRUNING),)}
    reader, identity, all_links = samples.subscriber(language=language), samples.identity(), samples.links()
    mail_only = replace(all_links, feed_rss=None, feed_atom=None, feed_json=None)
    return {
        "one": (
            samples.digest([*chosen(samples, "a0 a1 a2", reasons), *rest(samples, 4)]),
            samples.subscriber(**one_interest),
            samples.identity(address=None),
            mail_only,
        ),
        "three": (samples.digest([*three, *rest(samples, 6)], notes=stale(samples, language)), reader, identity, mail_only),
        "trending": (samples.digest(trending, kind="trending"), samples.subscriber(language=language, interests=()), identity, mail_only),
        "empty": (samples.digest(below), reader, identity, mail_only),
        "weekly": (
            samples.digest([*weekly, *rest(samples, 8)], **week),
            samples.subscriber(language=language, schedule="weekly friday 07:30"),
            identity,
            mail_only,
        ),
    }
