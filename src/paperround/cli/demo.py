"""`paperround demo`: the whole main job in one go, offline, with no configuration and no server."""

import os
import secrets
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import combinations
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from paperround.cli.output import patience, print_json, progress, say
from paperround.cli.session import JsonFlag, fail_with
from paperround.cli.sources import spread

if TYPE_CHECKING:
    from paperround.digests.mail_content import MailContent
    from paperround.models import Digest, Subscriber, SubscriberId
    from paperround.pipeline.collect import Collected
    from paperround.wiring import Parts

BASE_URL = "https://paperround.example"


def register(app: typer.Typer) -> None:
    app.command()(demo)


def demo(
    out: Annotated[Path, typer.Option(metavar="DIR", help="Where mails, previews and feeds are written.")] = Path("out"),
    source: Annotated[list[str] | None, typer.Option(metavar="PATH_OR_URL", help="Instead of the bundled sample; may be repeated.")] = None,
    subscribers: Annotated[Path | None, typer.Option(metavar="DIR", help="Profile files; default: the examples.")] = None,
    me: Annotated[str | None, typer.Option(metavar="TEXT", help="Your own interest: one more reader.")] = None,
    json_: JsonFlag = False,
) -> None:
    """Show it all: digest pages in, personal mails out.

    \b
    Example:
      paperround demo --me "reading lips in several languages"
    """
    import asyncio

    started = time.perf_counter()
    with patience("paperround demo"):
        shown = asyncio.run(run_demo(out, out.absolute() / "mail", source, subscribers, me))
    shown.counts["seconds"] = round(time.perf_counter() - started, 1)
    if json_:
        print_json(shown.counts)
    else:
        print_screen(shown, out)
    fail_with(shown.failed)


@dataclass(frozen=True, slots=True)
class Paper:
    """One reader's paper, rendered."""

    slug: str
    subscriber: "Subscriber"
    digest: "Digest"
    content: "MailContent"


@dataclass(frozen=True, slots=True)
class Shown:
    """What the demo came to."""

    counts: dict[str, Any]
    papers: list[Paper]
    failed: list[str]


async def run_demo(out: Path, mails: Path, sources: Sequence[str] | None, folder: Path | None, me: str | None) -> Shown:
    """The pipeline itself, over a database that lasts as long as the demo."""
    from paperround.bundled_files import bundled
    from paperround.config import load_settings
    from paperround.wiring import open_parts, read_profile_folder

    failed: list[str] = []
    places = spread(list(sources) if sources else [str(bundled("sample"))], failed)
    files, errors = read_profile_folder(folder or bundled("subscribers"))
    failed += errors
    with tempfile.TemporaryDirectory(prefix="paperround-demo-") as home:
        environment = {
            **{name: value for name, value in os.environ.items() if name.startswith("PAPERROUND_EMBEDDING_")},
            "PAPERROUND_DATABASE": f"sqlite:///{home}/demo.db",
            "PAPERROUND_TRANSPORT": f"directory:{mails}",
            "PAPERROUND_BASE_URL": BASE_URL,
            "PAPERROUND_LIST_NAME": "The Paperround",
            "PAPERROUND_LIST_SENDER": "paper@paperround.example",
            "PAPERROUND_LIST_ADDRESS": "paper@paperround.example",
            "PAPERROUND_LIST_POSTAL_ADDRESS": "Example Lab, 1 Example Street",
        }
        settings = load_settings(None, environment)
        async with open_parts(settings, keys=(secrets.token_bytes(32),), any_age=True) as parts:
            slugs = await add_readers(parts, files, me, failed)
            collected = await collect(parts, places, failed)
            with progress("embedding") as bar:
                await parts.steps.embed(bar)
            composed = await parts.steps.compose(keep=True)
            clear(out)
            delivered = await parts.steps.deliver()
            papers = [await paper(parts, slugs[digest.subscriber_id], digest) for digest in composed.recorded]
            papers.sort(key=lambda each: list(slugs.values()).index(each.slug))
            await write(parts, papers, out)
            counts: dict[str, Any] = {
                "sources": len(collected.outcomes),
                "entries": sum(outcome.entries for outcome in collected.outcomes),
                "works": await parts.storage.count_works(),
                "subscribers": len(slugs),
                "digests": sum(not each.digest.empty for each in papers),
                "skipped": sum(each.digest.empty for each in papers),
                "delivered": delivered.sent,
                "out": str(out),
            }
    counts["duplicates"] = counts["entries"] - counts["works"]
    write_index(out, papers, counts)
    return Shown(counts=counts, papers=papers, failed=failed)


async def add_readers(parts: "Parts", files: Sequence[Any], me: str | None, failed: list[str]) -> "dict[SubscriberId, str]":
    """The profiles as subscribers who are due now; returns a name for files of each."""
    synced = await parts.actions.sync_files(files)
    failed += [f"{who}: {why}" for who, why in synced.refused]
    names = {file.who: file.name for file in files}
    if me:
        values = {"name": "You", "interests": [me], "min_score": 0.05}  # whoever tries their own words wants to see the nearest
        names[(await parts.actions.add("you@paperround.example", values, active=True)).email or ""] = "you"
    slugs: dict[SubscriberId, str] = {}
    for who, slug in names.items():
        subscriber = await parts.storage.find_subscriber(who)
        slugs[subscriber.id] = slug
        await parts.storage.save_profile(subscriber.id, subscriber.profile, next_due_at=parts.clock.now())
    return slugs


async def collect(parts: "Parts", places: Sequence[str], failed: list[str]) -> "Collected":
    """Add and read the sources; every entry counts as new."""
    from paperround.errors import PaperroundError
    from paperround.pipeline.source_actions import NewSource, add_source

    for place in places:
        try:
            await add_source(parts.storage, parts.fetcher, place, NewSource(backlog="all"), now=parts.clock.now())
        except PaperroundError as error:
            failed.append(str(error))
    collected = await parts.steps.collect()
    failed += [f"{outcome.location}: {outcome.error}" for outcome in collected.failures]
    return collected


async def paper(parts: "Parts", slug: str, digest: "Digest") -> Paper:
    subscriber = await parts.storage.subscriber(digest.subscriber_id)
    return Paper(slug, subscriber, digest, parts.messages.issue(digest, subscriber, parts.clock.now()))


def clear(out: Path) -> None:
    """Remove what an earlier demo left, so that what lies there is of one run."""
    for pattern in ("mail/*.eml", "preview/*.html", "feeds/*.rss", "feeds/*.atom", "feeds/*.json"):
        for path in out.glob(pattern):
            path.unlink()
    for name in ("mail", "preview", "feeds"):
        (out / name).mkdir(parents=True, exist_ok=True)


async def write(parts: "Parts", papers: Sequence[Paper], out: Path) -> None:
    from paperround.pipeline.feeds import personal_feed

    identity = parts.settings.identity
    for each in papers:
        (out / "preview" / f"{each.slug}.html").write_text(each.content.html, encoding="utf-8")
        for form in ("rss", "atom", "json"):
            body, _ = await personal_feed(parts.storage, parts.actions.keys, identity, BASE_URL, each.subscriber, form)
            (out / "feeds" / f"{each.slug}.{form}").write_bytes(body)


# ---------------------------------------------------------------- showing


def because(item: Any) -> str:
    """The reason of an item, as its mail says it."""
    from paperround.digests import wording

    return str(wording.because(item)).removeprefix("because ")


def strength(item: Any) -> str:
    from paperround.matching.scoring import strength_word

    return strength_word(item.strength) if item.reason.kind not in ("trending", "explore") else ""


def delivery_time(paper: Paper, now: datetime) -> str:
    """When this reader's next issue would go out, in their own time."""
    from zoneinfo import ZoneInfo

    from paperround.digests.due_dates import next_due

    profile = paper.subscriber.profile
    due = next_due(profile.schedule, profile.timezone, now)
    return f"{due.astimezone(ZoneInfo(profile.timezone)):%a %H:%M} {profile.timezone}" if due else "on no schedule"


def overlap(papers: Sequence[Paper]) -> str:
    """How much the readers' papers have in common."""
    works = [{item.work.id for item in each.digest.chosen} for each in papers if not each.digest.empty]
    if len(works) < 2:
        return "One paper, so nothing to compare it with."
    shown = set().union(*works)
    several = sum(sum(work in each for each in works) > 1 for work in shown)
    pairs = list(combinations(works, 2))
    apart = sum(not (one & other) for one, other in pairs)
    return (
        f"{len(shown)} works in {len(works)} papers; {several} stand in more than one; {apart} of {len(pairs)} pairs of readers share none."
    )


def print_screen(shown: Shown, out: Path) -> None:
    """The last screen: counts, a line a reader, the overlap, where to look, what to try."""
    counts = shown.counts
    say(
        f"{counts['sources']} sources, {counts['entries']} entries, {counts['works']} works; {counts['digests']} papers for "
        f"{counts['subscribers']} readers, {counts['skipped']} empty; {counts['delivered']} mails in {counts['seconds']} s"
    )
    say("")
    for each in shown.papers:
        say(line(each))
    say("")
    say(overlap(shown.papers))
    say(f"Look: {out / 'index.html'}")
    say('Next: make demo ME="what you would like to read about"')


def line(paper: Paper) -> str:
    """One reader: name, local time of delivery, items, lead title, strength, because."""
    from paperround.digests.wording import shorten

    name, when = shorten(paper.subscriber.profile.name or paper.slug, 17), delivery_time(paper, paper.digest.created_at)
    start = f"{name:18}{when:28}{len(paper.digest.chosen)} items  "
    if paper.digest.empty:
        return f"{start}nothing fits, and the mail says so"
    lead = paper.digest.chosen[0]
    measured = f"{strength(lead)}, " if strength(lead) else ""
    return f"{start}{shorten(lead.work.title, 44):46}{measured}{shorten(because(lead), 44)}"


def write_index(out: Path, papers: Sequence[Paper], counts: dict[str, Any]) -> None:
    """All papers side by side on one page that opens from the disk."""
    import jinja2

    from paperround.bundled_files import bundled

    template = jinja2.Environment(autoescape=True).from_string(
        (bundled("templates") / "web" / "demo_index.html.j2").read_text(encoding="utf-8")
    )
    page = template.render(
        readers=[reader(each) for each in papers],
        counts=f"{counts['entries']} entries from {counts['sources']} sources, {counts['works']} works, {counts['subscribers']} readers",
        overlap=overlap(papers),
    )
    (out / "index.html").write_text(page, encoding="utf-8")


def as_in_the_dark(html: str) -> str:
    """The mail with its dark palette always on: a frame cannot be told to prefer it."""
    return html.replace("@media (prefers-color-scheme: dark)", "@media all").replace("@media (prefers-color-scheme:dark)", "@media all")


def reader(paper: Paper) -> dict[str, Any]:
    profile = paper.subscriber.profile
    interests = "; ".join(interest.text for interest in profile.interests) or "no interest named: what trends"
    return {
        "slug": paper.slug,
        "name": profile.name or paper.slug,
        "facts": f"{delivery_time(paper, paper.digest.created_at)} · {interests}",
        "subject": paper.content.subject,
        "dark": as_in_the_dark(paper.content.html),
        "text": paper.content.text,
        "items": [
            {
                "title": item.work.title,
                "url": item.work.url or "",
                "date": f"{item.work.first_seen_at:%d %b %Y}",
                "strength": strength(item) or "–",
                "because": because(item),
            }
            for item in paper.digest.items
            if item.number
        ],
    }
