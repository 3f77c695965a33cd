"""`paperround subscribers`: the people."""

import csv
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from paperround.cli import profiles
from paperround.cli.output import plain, print_json, say, table
from paperround.cli.session import CommandFailedError, DryRun, JsonFlag, fail_with, with_parts

if TYPE_CHECKING:
    from paperround.models import Subscriber
    from paperround.wiring import Parts

group = typer.Typer(help="The people: consent, schedules, profiles.", no_args_is_help=True)


def register(app: typer.Typer) -> None:
    group.command("edit")(profiles.edit)
    app.add_typer(group, name="subscribers")


def shown(subscriber: "Subscriber") -> dict[str, Any]:
    from paperround.subscribers.profile_layers import profile_to_values

    return {
        "email": subscriber.email,
        "state": subscriber.state.value,
        "suppressed": subscriber.suppressed,
        "profile": profile_to_values(subscriber.profile),
        "next_due_at": plain(subscriber.next_due_at),
        "paused_until": plain(subscriber.paused_until),
        "consented_at": plain(subscriber.consented_at),
        "issues": subscriber.issues,
    }


@group.command("add")
def add(
    context: typer.Context,
    email: Annotated[str, typer.Argument(metavar="EMAIL")],
    name: Annotated[str | None, typer.Option()] = None,
    interest: Annotated[list[str] | None, typer.Option(help="In the reader's own words; may be repeated.")] = None,
    avoid: Annotated[list[str] | None, typer.Option(help="What pushes a work down; may be repeated.")] = None,
    schedule: Annotated[str | None, typer.Option(help='Such as "weekdays 07:30", "weekly MON 08:00", "monthly 1 09:00", "off".')] = None,
    timezone: Annotated[str | None, typer.Option(help="An IANA zone such as Europe/Berlin.")] = None,
    max_items: Annotated[int | None, typer.Option()] = None,
    min_score: Annotated[str | None, typer.Option(help='"auto", or 0 to 1; 0 lets everything in.')] = None,
    active: Annotated[bool, typer.Option("--active", help="They asked for it elsewhere: no confirmation mail is needed.")] = False,
    json_: JsonFlag = False,
) -> None:
    """Add a subscriber; without --active they are asked by mail first.

    Example: paperround subscribers add ada@example.org --interest "speculative decoding" --timezone Europe/Berlin
    """
    given: dict[str, Any] = {
        "name": name,
        "interests": interest,
        "avoid": avoid,
        "schedule": schedule,
        "timezone": timezone,
        "max_items": max_items,
        "min_score": min_score if min_score in (None, "auto") else number(min_score),
    }
    values = {key: value for key, value in given.items() if value is not None}
    subscriber = with_parts(context, lambda parts: parts.actions.add(email, values, active=active))
    if json_:
        print_json(shown(subscriber))
    elif active:
        say(f"added {subscriber.email}, next issue {plain(subscriber.next_due_at)}")
    else:
        say(f"added {subscriber.email}, pending: a confirmation mail waits in the outbox")


def number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise typer.BadParameter(f'{text!r} is neither "auto" nor a number', param_hint="--min-score") from None


@group.command("list")
def list_(
    context: typer.Context,
    state: Annotated[list[str] | None, typer.Option(help="pending, active, paused, unsubscribed or forgotten; may be repeated.")] = None,
    json_: JsonFlag = False,
) -> None:
    """List the subscribers."""
    found: list[Subscriber] = []

    async def work(parts: "Parts") -> None:
        async for batch in parts.storage.subscribers(states=state or ()):
            found.extend(batch)

    with_parts(context, work)
    if json_:
        print_json([shown(subscriber) for subscriber in found])
        return
    table(
        ["address", "name", "state", "schedule", "next due (UTC)", "interests"],
        (
            [
                s.email or "(feed only)",
                s.profile.name,
                s.suppressed or s.state,
                s.profile.schedule,
                str(s.next_due_at)[:16] if s.next_due_at else None,
                "; ".join(interest.text for interest in s.profile.interests),
            ]
            for s in found
        ),
    )


@group.command("show")
def show(context: typer.Context, email: str, json_: JsonFlag = False) -> None:
    """Show one subscriber."""
    found = shown(with_parts(context, lambda parts: parts.storage.find_subscriber(email)))
    if json_:
        print_json(found)
        return
    for key, value in (*found.pop("profile").items(), *found.items()):
        say(f"{key + ':':14}{value if value not in (None, []) else '–'}")


def each(
    context: typer.Context, emails: list[str], act: "Callable[[Parts, Subscriber], Awaitable[object]]", done: str, dry_run: bool
) -> None:
    """Do something to several subscribers; an unknown one fails alone."""
    from paperround.errors import PaperroundError

    failed = []

    async def work(parts: "Parts") -> None:
        for email in emails:
            try:
                subscriber = await parts.storage.find_subscriber(email)
                if not dry_run:
                    await act(parts, subscriber)
                say(f"{'would be ' if dry_run else ''}{done} {email}")
            except PaperroundError as error:
                failed.append(f"{email}: {error}" if email not in str(error) else str(error))

    with_parts(context, work)
    fail_with(failed)


@group.command("pause")
def pause(
    context: typer.Context,
    emails: Annotated[list[str], typer.Argument(metavar="EMAIL…")],
    until: Annotated[str | None, typer.Option(metavar="DATE", help="The first day with mail again; default: until resumed.")] = None,
) -> None:
    """Send nothing for a while."""
    from datetime import UTC, datetime, time

    from paperround.cli.sources import day_of

    day = day_of(until)
    moment = datetime.combine(day, time(), UTC) if day else None
    each(context, emails, lambda parts, subscriber: parts.actions.pause(subscriber, moment, way="cli"), "paused", dry_run=False)


@group.command("resume")
def resume(context: typer.Context, emails: Annotated[list[str], typer.Argument(metavar="EMAIL…")]) -> None:
    """End a pause."""
    each(context, emails, lambda parts, subscriber: parts.actions.resume(subscriber, way="cli"), "resumed", dry_run=False)


@group.command("remove")
def remove(context: typer.Context, emails: Annotated[list[str], typer.Argument(metavar="EMAIL…")], dry_run: DryRun = False) -> None:
    """Unsubscribe them; no file and no import brings them back."""
    each(context, emails, lambda parts, subscriber: parts.actions.unsubscribe(subscriber, way="cli"), "unsubscribed", dry_run)


@group.command("forget")
def forget(context: typer.Context, email: str, dry_run: DryRun = False) -> None:
    """Erase a person: address, interests, votes and history; a keyed hash and dates remain."""
    each(context, [email], lambda parts, subscriber: parts.actions.forget(subscriber, way="cli"), "forgotten", dry_run)


@group.command("sync")
def sync(
    context: typer.Context,
    folder: Annotated[Path | None, typer.Argument(metavar="[DIR]", help="Default: [subscribers] folder of the configuration.")] = None,
    adopt: Annotated[bool, typer.Option("--adopt", help="Drop the readers' own edits: the files' word stands.")] = False,
) -> None:
    """Bring the profile files of a folder into force."""

    from paperround.wiring import sync_folder

    summary, errors = with_parts(context, lambda parts: sync_folder(parts, folder, adopt=adopt))
    say(summary)
    fail_with(errors)


@group.command("import")
def import_(
    context: typer.Context,
    file: Annotated[Path, typer.Argument(metavar="FILE.csv")],
    active: Annotated[bool, typer.Option("--active", help="You hold their consent: no confirmation mails.")] = False,
) -> None:
    """Add subscribers from a CSV file with the columns email, name, interests (separated by ;), timezone, schedule.

    Without --active they are pending and get a confirmation mail: an import is no consent.
    """
    from paperround.errors import PaperroundError

    failed, count = [], 0

    async def work(parts: "Parts") -> None:
        nonlocal count
        with file.open(newline="", encoding="utf-8-sig") as lines:
            for line, row in enumerate(csv.DictReader(lines), start=2):
                lowered = {(key or "").strip().casefold(): (value or "").strip() for key, value in row.items() if isinstance(value, str)}
                values: dict[str, Any] = {key: lowered[key] for key in ("name", "timezone", "schedule") if lowered.get(key)}
                if lowered.get("interests"):
                    values["interests"] = [text.strip() for text in lowered["interests"].split(";") if text.strip()]
                try:
                    await parts.actions.add(lowered.get("email", ""), values, active=active, way="cli" if active else "import")
                    count += 1
                except (PaperroundError, ValueError) as error:
                    failed.append(f"{file}, line {line}: {error}")

    try:
        with_parts(context, work)
    except OSError as error:
        raise CommandFailedError(f"{file}: {error.strerror}") from None
    say(f"added {count} subscribers from {file}")
    fail_with(failed)


@group.command("export")
def export(context: typer.Context, json_: JsonFlag = False) -> None:
    """Print all subscribers as CSV (or JSON), without the forgotten."""
    found: list[dict[str, Any]] = []

    async def work(parts: "Parts") -> None:
        async for batch in parts.storage.subscribers(states=("pending", "active", "paused", "unsubscribed")):
            found.extend(shown(subscriber) for subscriber in batch)

    with_parts(context, work)
    if json_:
        print_json(found)
        return
    writer = csv.writer(sys.stdout)
    writer.writerow(["email", "name", "state", "interests", "timezone", "schedule"])
    for each_ in found:
        profile = each_["profile"]
        texts = [interest["text"] if isinstance(interest, dict) else interest for interest in profile.get("interests", [])]
        writer.writerow(
            [each_["email"], profile.get("name"), each_["state"], "; ".join(texts), profile.get("timezone"), profile.get("schedule")]
        )
