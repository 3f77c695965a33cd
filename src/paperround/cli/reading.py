"""`paperround search|preview|send-test|explain|evaluate`: what the matcher chooses, and why."""

from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from paperround.cli.output import facts, patience, plain, print_json, progress, say, warn
from paperround.cli.profiles import Email, Work
from paperround.cli.session import CommandFailedError, DryRun, JsonFlag, find_subscriber, settings, with_parts

if TYPE_CHECKING:
    from paperround.digests.mail_content import MailContent
    from paperround.models import Digest, Profile
    from paperround.pipeline.search import Hit
    from paperround.wiring import Parts

explaining = typer.Typer(help="Why a work did or did not match; why a mail was or was not sent.", no_args_is_help=True)


def register(app: typer.Typer) -> None:
    app.command()(search)
    app.command()(preview)
    app.command("send-test")(send_test)
    app.command()(evaluate)
    app.add_typer(explaining, name="explain")


def search(
    context: typer.Context,
    words: Annotated[list[str], typer.Argument(metavar="TEXT…", help="What you look for, in your own words.")],
    source: Annotated[list[str] | None, typer.Option(help="Only works of this source or tag; may be repeated.")] = None,
    days: Annotated[int | None, typer.Option(help="Only works first seen in the last so many days.")] = None,
    limit: Annotated[int, typer.Option(min=1, help="How many.")] = 10,
    subscribe: Annotated[str | None, typer.Option(metavar="EMAIL", help="Make a subscription of this search.")] = None,
    json_: JsonFlag = False,
) -> None:
    """Find the works nearest in meaning.

    \b
    Examples:
      paperround search "speculative decoding" --limit 5
      paperround search octopus minds --days 30 --subscribe ada@example.org
    """
    text = " ".join(words)

    async def work(parts: "Parts") -> "list[Hit]":
        from paperround.pipeline import search as searching

        now = parts.clock.now()
        since = now - timedelta(days=days) if days else None
        hits = await searching.search(parts.storage, parts.embedder, text, sources=source or [], since=since, limit=limit, now=now)
        if subscribe:
            await parts.actions.add(subscribe, {"interests": [text]}, active=False)
        return hits

    hits = with_parts(context, work)
    if json_:
        print_json([plain(hit) for hit in hits])
    for hit in [] if json_ else hits:
        say(f"{hit.strength:4.0%}  {hit.title}")
        if hit.sentence:
            say(f"      {hit.sentence}")
        if hit.url:
            say(f"      {hit.url}")
    if subscribe:
        warn(f"{subscribe} is pending: a confirmation mail waits in the outbox")
    if not hits:
        warn("nothing found: no works yet? `paperround collect` and `paperround embed` bring them")


def preview(
    context: typer.Context,
    email: Email,
    days: Annotated[int | None, typer.Option(help="Choose from the last so many days.")] = None,
    out: Annotated[Path | None, typer.Option(metavar="FILE", help="Write the HTML there instead of printing the text.")] = None,
    json_: JsonFlag = False,
) -> None:
    """Show the next issue; nothing is recorded or sent.

    \b
    Example:
      paperround preview ada@example.org --days 7 --out next.html
    """

    async def work(parts: "Parts") -> "tuple[Digest, Profile, MailContent]":
        from paperround.pipeline import compose

        subscriber = await find_subscriber(parts, email)
        digest = await compose.preview(parts.storage, parts.steps.rules.compose, subscriber, now=parts.clock.now(), days=days)
        return digest, subscriber.profile, parts.messages.issue(digest, subscriber, parts.clock.now())

    digest, profile, content = with_parts(context, work)
    if out:
        out.write_text(content.html, encoding="utf-8")
    if json_:
        print_json({**previewed(digest, profile), "subject": content.subject, "text": content.text, "out": out})
    elif out:
        say(f"wrote {out}")
    else:
        typer.echo(content.text)


def previewed(digest: "Digest", profile: "Profile") -> dict[str, Any]:
    """An issue as it was decided, with the reasons that its mail gives."""
    from paperround.digests.wording import because

    items = [
        {
            "work_id": each.work.id,
            "title": each.work.title,
            "url": each.work.url,
            "role": each.role,
            "number": each.number,
            "strength": each.strength,
            "score": each.score,
            "because": str(because(each, timezone=profile.timezone, language=profile.language)),
        }
        for each in digest.items
    ]
    return {**{key: getattr(digest, key) for key in ("since", "cutoff", "candidates", "notes")}, "items": items}


def send_test(context: typer.Context, email: Email, dry_run: DryRun = False) -> None:
    """Send the next issue once, to look at.

    \b
    Nothing is recorded: the issue comes again at its time.
    Example:
      paperround send-test ada@example.org
    """

    async def work(parts: "Parts") -> str | None:
        subscriber = await find_subscriber(parts, email)
        return None if dry_run else await parts.steps.send_test(subscriber)

    if fault := with_parts(context, work):
        raise CommandFailedError(f"not sent to {email}: {fault}")
    say(f"{'would send' if dry_run else 'sent'} a test issue to {email}")


@explaining.command("match")
def explain_match(context: typer.Context, email: Email, work: Work, json_: JsonFlag = False) -> None:
    """Tell why a work did or did not match.

    \b
    Example:
      paperround explain match ada@example.org arxiv:2410.01234
    """

    async def explained(parts: "Parts") -> dict[str, Any]:
        from paperround.pipeline import explain

        subscriber = await find_subscriber(parts, email)
        return await explain.explain_match(parts.storage, parts.embedder.model, subscriber, work, now=parts.clock.now())

    found = with_parts(context, explained)
    if json_:
        print_json(found)
        return
    facts({key: value for key, value in found.items() if not isinstance(value, dict)})
    for key, parts in ((key, value) for key, value in found.items() if isinstance(value, dict)):
        say(f"{key}:")
        for name, each in parts.items():
            say(f"  {each:+7.3f}  {name}" if isinstance(each, float) else f"  {name}: {each}")


@explaining.command("delivery")
def explain_delivery(
    context: typer.Context,
    email: Email,
    date: Annotated[str | None, typer.Argument(metavar="DATE", help="Of the issue, as 2026-11-20; default: the latest ones.")] = None,
    json_: JsonFlag = False,
) -> None:
    """Tell why a mail was or was not sent.

    \b
    Example:
      paperround explain delivery ada@example.org 2026-11-20
    """
    from paperround.cli.sources import day_of

    day = day_of(date, "DATE")

    async def explained(parts: "Parts") -> list[str]:
        from paperround.pipeline import explain

        return await explain.explain_delivery(parts.storage, await find_subscriber(parts, email), day)

    lines = with_parts(context, explained)
    if json_:
        print_json(lines)
    else:
        for line in lines:
            say(line)


def evaluate(
    context: typer.Context,
    folder: Annotated[Path | None, typer.Argument(metavar="DIR", help="A folder with items.jsonl, new_items.txt and users.jsonl.")] = None,
    rankings: Annotated[Path | None, typer.Option(metavar="FILE", help="Also write each user's ranking, a JSON line each.")] = None,
    learning: Annotated[bool, typer.Option("--learning", help="Let readers of the dataset vote, and tell what it brings.")] = False,
    replay: Annotated[bool, typer.Option("--replay", help="Score this installation's own issues and votes again, day by day.")] = False,
    days: Annotated[int, typer.Option(min=1, help="How far back --replay goes.")] = 365,
    json_: JsonFlag = False,
) -> None:
    """Measure the matching, on a dataset or on your readers' votes.

    \b
    Examples:
      paperround evaluate my-dataset --rankings rankings.jsonl --json
      paperround evaluate my-dataset --learning
      paperround evaluate --replay --days 90
    """
    if (folder is None) != replay:
        raise typer.BadParameter("either a dataset's folder or --replay is needed", param_hint="DIR")
    figures = replayed(context, days) if folder is None else measured(context, folder, rankings, learning=learning)
    if json_:
        print_json(figures)
        return
    width = max(map(len, figures)) + 2
    for name, value in figures.items():
        say(f"{name:{width}}{told(value)}")


def measured(context: typer.Context, folder: Path, rankings: Path | None, *, learning: bool) -> dict[str, Any]:
    from paperround.measuring import evaluate_folder, learning_on_folder
    from paperround.wiring import build_embedder

    embedder = build_embedder(settings(context))
    with patience(context.command_path), progress("embedding") as bar:
        if learning:
            return learning_on_folder(folder, embedder, progress=bar)
        return evaluate_folder(folder, embedder, rankings=rankings, progress=bar)


def replayed(context: typer.Context, days: int) -> dict[str, Any]:
    async def work(parts: "Parts") -> dict[str, Any]:
        from paperround.pipeline.replay import replay

        now = parts.clock.now()
        with progress("scoring again") as bar:
            return await replay(parts.storage, parts.embedder.model, since=now - timedelta(days=days), now=now, progress=bar)

    return with_parts(context, work)


def told(value: object) -> str:
    """A figure; an interval with its bounds; a rate with the number it was counted on."""
    match value:
        case (middle, low, high):
            return f"{middle:.3f}  (95 %: {low:.3f} to {high:.3f})"
        case (rate, int(count)):
            return f"{rate:.3f}  of {count}"
        case float():
            return f"{value:.4f}"
    return "too few votes" if value is None else str(value)
