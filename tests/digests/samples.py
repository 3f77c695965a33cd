"""Invented digests that the tests of this room share."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta

from paperround.models import (
    ConsentState,
    Digest,
    DigestId,
    DigestItem,
    Interest,
    ItemRole,
    Links,
    ListIdentity,
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

NOW = datetime(2026, 11, 20, 6, 30, tzinfo=UTC)
PRUNING = "token pruning for vision-language models"
SPECULATIVE = "speculative decoding"
SPEECH = "reading lips and hearing speech"

PAPERS: Sequence[tuple[str, tuple[str, ...], tuple[str, ...]]] = (
    (
        "Half the Tokens, All the Picture: Pruning That Knows the Question",
        ("Mercy Okafor", "Lena Brandt", "Sunil Iyer", "T. Vega", "R. Holm", "P. Ito", "A. Quist"),
        (
            "Visual tokens are dropped layer by layer according to how much the question still needs them.",
            "At one eighth of the tokens the model keeps 98 % of its accuracy on nine benchmarks, without any training.",
            "A single threshold serves images, charts and short clips alike.",
        ),
    ),
    (
        "When Do Image Patches Stop Mattering? A Layerwise Study",
        ("J. Castellanos", "P. Wu"),
        (
            "A measurement across eleven open models: after a third of the layers most patches no longer change the answer.",
            "Which ones do can be told from the attention of a single head.",
        ),
    ),
    (
        "Drafts on the Cheap: Recycling Rejected Tokens as the Next Proposal",
        ("H. Lindqvist", "A. Moreau", "J. Sato"),
        (
            "What the verifier refused is kept in a small table and proposed again when the context returns; no draft model is needed.",
            "On code and dialogue it saves a third of all verification steps.",
        ),
    ),
    (
        "A Queue for Every Verifier: Scheduling Speculation Across Requests",
        ("D. Park", "S. Weiss"),
        ("Requests that guess well lend their budget to those that do not.", "Median latency falls by a fifth at the same load."),
    ),
    (
        "One Decoder, Four Languages: Lips Read Without Transcripts",
        ("Y. Adeyemi", "C. Rossi", "M. Novak", "K. Berg"),
        ("A decoder trained on silent video alone reads four languages from the lips.", "It needs no transcripts in three of them."),
    ),
)
BELOW = ("A Survey of Cache Compression for Long Contexts", "Mixtures of Depth for Video Models", "Early Exits, Measured at Scale")


def work(number: int, title: str, authors: tuple[str, ...] = (), sentences: tuple[str, ...] = (), **changes: object) -> Work:
    address = f"https://papers.example/abs/2611.{number:05}"
    base = Work(
        id=WorkId(number),
        title=title,
        abstract=" ".join(sentences),
        authors=authors,
        url=address,
        links=Links(abstract=address, pdf=f"https://papers.example/pdf/2611.{number:05}"),
        published=NOW - timedelta(days=number % 4),
        first_seen_at=NOW - timedelta(hours=5 + number % 7),
        mentions=(Mention(source_id=SourceId(1), source_name="arXiv cs.CV", seen_at=NOW - timedelta(hours=5)),),
    )
    return replace(base, **changes)  # type: ignore[arg-type]


def item(number: int, each: Work, strength: float, reason: Reason, role: ItemRole = ItemRole.CHOSEN, **changes: object) -> DigestItem:
    excerpt = tuple(f"{part}." for part in each.abstract.rstrip(".").split(". ")) if each.abstract else ()
    base = DigestItem(
        work=each,
        role=role,
        number=number,
        score=strength,
        strength=strength,
        reason=reason,
        excerpt=excerpt,
        best=1 if len(excerpt) > 1 else None,
    )
    return replace(base, **changes)  # type: ignore[arg-type]


def items(count: int = 5, interests: Sequence[str] = (PRUNING, SPECULATIVE, SPEECH)) -> tuple[DigestItem, ...]:
    """`count` chosen ones, one from outside, three below."""
    order = (
        sorted((place % len(PAPERS), place) for place in range(count))
        if count > len(PAPERS)
        else [(place, place) for place in range(count)]
    )
    found = []
    for number, (paper, place) in enumerate(order, 1):
        title, authors, sentences = PAPERS[paper]
        reason = Reason(kind=ReasonKind.INTEREST, text=interests[min(paper // 2, len(interests) - 1)])
        if number == 1:
            reason = Reason(kind=ReasonKind.LIKED, text="Fewer Tokens, Earlier Exits", liked_at=datetime(2026, 11, 3, 9, tzinfo=UTC))
        suffix = f" ({place})" if count > len(PAPERS) else ""
        found.append(item(number, work(100 + number, title + suffix, authors, sentences), 0.93 - 0.11 * (number % 8), reason))
    if found:
        first = found[0]
        code = replace(first.work, upvotes=86, links=replace(first.work.links, code="https://code.example/half-the-tokens"))
        found[0] = replace(first, work=code, also=("Daily Papers", "“Pruning by Question” in cs.LG"))
        outside = work(900, "How Rivers Remember: Sediment as a Slow Archive", ("N. Abebe",), ("Mud keeps time.",))
        found.append(item(count + 1, outside, 0.1, Reason(kind=ReasonKind.EXPLORE), ItemRole.EXPLORE))
    below = [work(950 + place, title) for place, title in enumerate(BELOW)]
    found += [item(0, each, 0.4, Reason(kind=ReasonKind.INTEREST, text=PRUNING), ItemRole.BELOW) for each in below]
    return tuple(found)


def digest(found: Sequence[DigestItem] | None = None, **changes: object) -> Digest:
    base = Digest(
        id=DigestId(77),
        subscriber_id=SubscriberId(5),
        period=date(2026, 11, 20),
        number=128,
        due_at=NOW,
        since=NOW - timedelta(days=1),
        cutoff=NOW,
        created_at=NOW,
        candidates=214,
        items=items() if found is None else tuple(found),
    )
    return replace(base, **changes)  # type: ignore[arg-type]


def subscriber(**profile: object) -> Subscriber:
    return Subscriber(
        id=SubscriberId(5),
        public_id="9f1c2b3a4d5e6f708192a3b4c5d6e7f8",
        email="ada@example.org",
        state=ConsentState.ACTIVE,
        profile=replace(
            Profile(name="Ada", timezone="Europe/Berlin", interests=(Interest(text=PRUNING), Interest(text=SPECULATIVE))),
            **profile,  # type: ignore[arg-type]
        ),
        created_at=datetime(2026, 5, 2, tzinfo=UTC),
        consented_at=datetime(2026, 5, 2, 8, tzinfo=UTC),
    )


def identity(**changes: object) -> ListIdentity:
    base = ListIdentity(
        name="The Paperround",
        sender="round@example.org",
        address="paperround@example.org",
        postal_address="Example Lab, 1 Example Street, Exampleton",
        privacy_url="https://example.org/privacy",
        list_id="paperround.example.org",
    )
    return replace(base, **changes)  # type: ignore[arg-type]


def links(reader: str = "9f1c2b3a4d5e6f708192a3b4c5d6e7f8", numbers: int = 60) -> ReaderLinks:
    """As signed ones look, and as long."""

    def link(room: str, *rest: object) -> str:
        return f"https://paperround.example/{room}/{'.'.join(map(str, (reader, 0, *rest)))}.{reader[:11]}{room * 11}"

    return ReaderLinks(
        one_click=link("u"),
        unsubscribe_mailto="mailto:paperround@example.org?subject=unsubscribe",
        preferences=link("p"),
        archive=link("a", 77),
        feed_rss=link("f") + ".rss",
        feed_atom=link("f") + ".atom",
        feed_json=link("f") + ".json",
        votes={
            number: (f"{link('v', 77, number)}/more", f"{link('v', 77, number)}/less", f"{link('v', 77, number)}/why")
            for number in range(1, numbers)
        },
    )


def bare_links() -> ReaderLinks:
    """Of an installation without a public address."""
    return ReaderLinks(one_click=links().one_click)


def strength_word(strength: float) -> str:
    return ("weak", "fair", "strong", "very strong")[min(3, int(strength * 4))]
