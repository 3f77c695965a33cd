"""`paperround collect|embed|compose|deliver|run|serve`: the steps, once or for good."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from paperround.cli.output import print_json, progress, say, warn
from paperround.cli.session import CommandFailedError, DryRun, JsonFlag, NowOption, settings, with_parts

if TYPE_CHECKING:
    from paperround.pipeline.collect import Collected
    from paperround.pipeline.deliver import Delivered
    from paperround.pipeline.steps import Round
    from paperround.wiring import Parts


def register(app: typer.Typer) -> None:
    for command in (collect, embed, compose, deliver, run, serve):
        app.command()(command)


def complain(collected: "Collected | None" = None, delivered: "Delivered | None" = None) -> None:
    """What failed, a line each on stderr."""
    for outcome in collected.failures if collected else ():
        warn(f"source {outcome.source}: {outcome.error}")
    for recipient, reply in delivered.failures if delivered else ():
        warn(f"mail to {recipient}: {reply}")
    for note in delivered.notes if delivered else ():
        warn(f"delivery: {note}")
    if delivered and delivered.fault:
        warn(f"delivery stopped: {delivered.fault}")


def report(json_: bool, counts: dict[str, Any], sentence: str) -> None:
    if json_:
        print_json(counts)
    else:
        say(sentence.format(**counts))


def collected_counts(collected: "Collected") -> dict[str, Any]:
    return {
        "fetched": collected.fetched,
        "new_entries": collected.new_entries,
        "failed_sources": [{"source": each.source, "error": each.error} for each in collected.failures],
    }


def delivered_counts(delivered: "Delivered") -> dict[str, Any]:
    keys = ("sent", "deferred", "failed", "in_doubt", "cancelled", "fault", "notes")
    return {key: getattr(delivered, key) for key in keys}


def collect(context: typer.Context, now: NowOption = None, json_: JsonFlag = False) -> None:
    """Read every source that is due.

    \b
    Example:
      paperround collect --json
    """
    collected = with_parts(context, lambda parts: parts.steps.collect(), now=now)
    complain(collected)
    report(json_, collected_counts(collected), "{fetched} sources read, {new_entries} new entries")


def embed(context: typer.Context, now: NowOption = None, json_: JsonFlag = False) -> None:
    """Turn new works and interests into vectors.

    \b
    Example:
      paperround embed
    """

    async def work(parts: "Parts") -> dict[str, int]:
        with progress("embedding") as bar:
            done = await parts.steps.embed(bar)
        return {"embedded": done.works, "texts": done.texts}

    report(json_, with_parts(context, work, now=now), "{embedded} works and {texts} interests embedded")


def compose(context: typer.Context, now: NowOption = None, json_: JsonFlag = False) -> None:
    """Decide and record the issues of all who are due.

    \b
    Example:
      paperround compose --now 2026-11-20T07:30:00Z
    """

    async def work(parts: "Parts") -> dict[str, int]:
        composed = await parts.steps.compose()
        return {"due": composed.due, "digests": composed.digests, "skipped": composed.skipped}

    report(json_, with_parts(context, work, now=now), "{due} subscribers due, {digests} issues, {skipped} empty days skipped")


def deliver(
    context: typer.Context,
    now: NowOption = None,
    resend_in_doubt: Annotated[
        bool, typer.Option("--resend-in-doubt", help="Also send again what may or may not have arrived, with the same Message-ID.")
    ] = False,
    dry_run: DryRun = False,
    json_: JsonFlag = False,
) -> None:
    """Send what is due.

    \b
    Examples:
      paperround deliver --dry-run
      paperround deliver --resend-in-doubt
    """

    async def work(parts: "Parts") -> "Delivered | dict[str, int]":
        if dry_run:
            return {state.value: count for state, count in (await parts.storage.count_deliveries()).items()}
        if resend_in_doubt:
            await parts.storage.resend_in_doubt(parts.clock.now())
        return await parts.steps.deliver()

    done = with_parts(context, work, now=now)
    if isinstance(done, dict):
        report(json_, done, "nothing sent; in the outbox: " + (", ".join(f"{count} {state}" for state, count in done.items()) or "nothing"))
        return
    complain(delivered=done)
    report(json_, delivered_counts(done), "{sent} sent, {deferred} deferred, {failed} failed, {in_doubt} in doubt")
    if done.fault:
        raise CommandFailedError


def run(context: typer.Context, now: NowOption = None, dry_run: DryRun = False, json_: JsonFlag = False) -> None:
    """Do all steps in order, for what is due.

    \b
    Twice in the same period sends nothing the second time.
    Example:
      paperround run --json
    """
    if dry_run:
        _dry_run(context, now, json_)
        return

    async def work(parts: "Parts") -> "Round":
        from paperround.wiring import sync_folder

        for line in (await sync_folder(parts))[1]:
            warn(line)
        with progress("embedding") as bar:
            return await parts.steps.round(bar)

    done = with_parts(context, work, now=now)
    complain(done.collected, done.delivered)
    report(
        json_,
        {
            **collected_counts(done.collected),
            "embedded": done.embedded.works,
            "due": done.composed.due,
            "digests": done.composed.digests,
            "skipped": done.composed.skipped,
            **delivered_counts(done.delivered),
        },
        "{fetched} sources read, {new_entries} new entries, {embedded} embedded; {due} due, {digests} issues, {skipped} skipped; "
        "{sent} sent, {deferred} deferred, {failed} failed",
    )
    if done.delivered.fault:
        raise CommandFailedError


def _dry_run(context: typer.Context, now: str | None, json_: bool) -> None:
    async def work(parts: "Parts") -> dict[str, int]:
        moment = parts.clock.now()
        sources = await parts.storage.due_sources(moment)
        return {"sources_due": len(sources), "due": await parts.storage.count_due(moment)}

    report(json_, with_parts(context, work, now=now), "would read {sources_due} sources and compose for {due} subscribers")


def serve(
    context: typer.Context,
    no_web: Annotated[bool, typer.Option("--no-web", help="No pages, feeds and one-click addresses.")] = False,
    no_scheduler: Annotated[bool, typer.Option("--no-scheduler", help="Collect, embed and compose nothing.")] = False,
    no_delivery: Annotated[bool, typer.Option("--no-delivery", help="Send nothing.")] = False,
    inbox: Annotated[bool, typer.Option("--inbox", help="Also take in mail: subscriptions, replies, bounces.")] = False,
) -> None:
    """Serve web, scheduler and delivery in one process.

    \b
    Until SIGTERM; what is under way then ends first.
    Example:
      paperround serve --inbox
    """
    from paperround.serving import serve_forever

    serve_forever(settings(context), web=not no_web, scheduler=not no_scheduler, delivery=not no_delivery, inbox=inbox)
