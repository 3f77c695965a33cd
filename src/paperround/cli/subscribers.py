"""`paperround subscribers`: the people."""

import sys
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from itertools import count, takewhile
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from paperround.cli import profiles
from paperround.cli.output import facts, plain, print_json, say, table
from paperround.cli.rows import read_file, read_rows, write_csv
from paperround.cli.session import CommandFailedError, DryRun, JsonFlag, fail_with, find_subscriber, settings, with_parts

if TYPE_CHECKING:
    from paperround.models import Subscriber
    from paperround.subscribers.imports import Row
    from paperround.wiring import Parts

group = typer.Typer(help="The people: consent, schedules, profiles.", no_args_is_help=True)

Email = Annotated[str, typer.Argument(metavar="EMAIL", help="An address, or a subscriber's id.")]
Emails = Annotated[list[str], typer.Argument(metavar="EMAIL…", help="Addresses, or subscribers' ids.")]
STATES = "pending, active, paused, unsubscribed or forgotten; may be repeated."
OPTION = {"interests": "--interest"}  # where an option is not called as its key


def register(app: typer.Typer) -> None:
    group.command("edit")(profiles.edit)
    app.add_typer(group, name="subscribers")


def shown(subscriber: "Subscriber") -> dict[str, Any]:
    from paperround.subscribers.profile_layers import profile_to_values

    return {
        "email": subscriber.email,
        "id": subscriber.public_id,
        "state": subscriber.state.value,
        "suppressed": subscriber.suppressed,
        "profile": profile_to_values(subscriber.profile),
        "next_due_at": subscriber.next_due_at,
        "paused_until": subscriber.paused_until,
        "consented_at": subscriber.consented_at,
        "issues": subscriber.issues,
    }


@group.command("add")
def add(
    context: typer.Context,
    email: Annotated[str | None, typer.Argument(metavar="EMAIL", help="Without it, a terminal is asked for all of it.")] = None,
    name: Annotated[str | None, typer.Option(help="How the mails address them.")] = None,
    interest: Annotated[list[str] | None, typer.Option(help="In the reader's own words; may be repeated.")] = None,
    avoid: Annotated[list[str] | None, typer.Option(help="What pushes a work down; may be repeated.")] = None,
    schedule: Annotated[str | None, typer.Option(help='"weekdays 07:30", "weekly MON 08:00", "monthly 1 09:00", "off" …')] = None,
    timezone: Annotated[str | None, typer.Option(help="An IANA zone such as Europe/Berlin.")] = None,
    max_items: Annotated[int | None, typer.Option(help="The most items of an issue.")] = None,
    min_score: Annotated[str | None, typer.Option(help='"auto", or 0 to 1; 0 lets everything in.')] = None,
    active: Annotated[bool, typer.Option("--active", help="They asked for it elsewhere: no confirmation mail is needed.")] = False,
    json_: JsonFlag = False,
) -> None:
    """Add a subscriber, who is asked by mail first.

    \b
    Examples:
      paperround subscribers add ada@example.org --interest "speculative decoding"
      paperround subscribers add
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
    values = checked({key: value for key, value in given.items() if value is not None})
    if email is None:
        email, values, active = asked(context, values, active)
    subscriber = with_parts(context, lambda parts: parts.actions.add(email, values, active=active))
    if json_:
        print_json(shown(subscriber))
    elif active:
        say(f"added {subscriber.email}, next issue {str(subscriber.next_due_at)[:16]} UTC")
    else:
        say(f"added {subscriber.email}, pending: a confirmation mail waits in the outbox")


def number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise typer.BadParameter(f'{text!r} is neither "auto" nor a number', param_hint="--min-score") from None


def checked(values: dict[str, Any]) -> dict[str, Any]:
    """Values of options, tidied. Raises BadParameter that names the option."""
    from paperround.digests.due_dates import parse_schedule
    from paperround.errors import ProfileError
    from paperround.subscribers.profile_values import check_values

    try:
        return check_values(values, "", parse_schedule)
    except ProfileError as error:
        option = OPTION.get(error.key, "--" + error.key.replace("_", "-"))
        raise typer.BadParameter(error.reason, param_hint=option) from None


def asked(context: typer.Context, values: dict[str, Any], active: bool) -> tuple[str, dict[str, Any], bool]:
    """Address and profile from a terminal, one question after the other; what an option told is not asked. Raises BadParameter."""
    if not sys.stdin.isatty():
        raise typer.BadParameter("missing; only a terminal can be asked for it", param_hint="EMAIL")
    from paperround.subscribers.signed_links import normalise_email

    def address(text: str) -> str:
        try:
            return normalise_email(text)
        except ValueError as error:
            raise typer.BadParameter(str(error)) from None

    def ask(key: str, question: str, default: str) -> None:
        if key not in values:
            values[key] = typer.prompt(question, default=default, err=True, value_proc=lambda text: checked({key: text})[key])

    email = typer.prompt("Mail address", err=True, value_proc=address)
    usual = settings(context).default_profile
    if "interests" not in values:
        asking = (typer.prompt("An interest, in their own words (none: Enter)", "", show_default=False, err=True) for _ in count())
        values["interests"] = list(takewhile(bool, asking))
    ask("schedule", "Schedule", usual.schedule)
    ask("timezone", "Time zone", usual.timezone)
    return email, values, active or typer.confirm("Did they ask for it already? If not, a mail asks them", err=True)


@group.command("list")
def list_(
    context: typer.Context,
    state: Annotated[list[str] | None, typer.Option(help=STATES)] = None,
    json_: JsonFlag = False,
) -> None:
    """List the subscribers.

    \b
    Example:
      paperround subscribers list --state active --json
    """
    found = everybody(context, state or ())
    if json_:
        print_json([shown(subscriber) for subscriber in found])
        return
    table(
        ["address", "name", "state", "schedule", "next due", "interests"],
        (
            [
                s.email or f"({s.public_id})",
                s.profile.name,
                s.suppressed or s.state,
                s.profile.schedule,
                s.next_due_at,
                "; ".join(interest.text for interest in s.profile.interests),
            ]
            for s in found
        ),
    )


def everybody(context: typer.Context, states: Sequence[str]) -> "list[Subscriber]":
    """Those in the states, or all. Raises BadParameter for a state that is none."""
    from paperround.models import ConsentState

    for state in states:
        if state not in list(ConsentState):
            raise typer.BadParameter(f"{state!r} is none of {', '.join(ConsentState)}", param_hint="--state")
    found: list[Subscriber] = []

    async def work(parts: "Parts") -> None:
        async for batch in parts.storage.subscribers(states=states):
            found.extend(batch)

    with_parts(context, work)
    return found


@group.command("show")
def show(context: typer.Context, email: Email, json_: JsonFlag = False) -> None:
    """Show one subscriber.

    \b
    Example:
      paperround subscribers show ada@example.org --json
    """
    found = shown(with_parts(context, lambda parts: find_subscriber(parts, email)))
    if json_:
        print_json(found)
    else:
        profile = found.pop("profile")
        facts({**found, **profile})


def each(
    context: typer.Context, emails: list[str], act: "Callable[[Parts, Subscriber], Awaitable[object]]", word: str, *, dry_run: bool = False
) -> None:
    """Do something to several subscribers; an unknown one fails alone."""
    from paperround.errors import PaperroundError

    done, failed = [], []

    async def work(parts: "Parts") -> None:
        for email in emails:
            try:
                subscriber = await find_subscriber(parts, email)
                if not dry_run:
                    await act(parts, subscriber)
                done.append(email)
            except PaperroundError as error:
                failed.append(f"{email}: {error}" if email not in str(error) else str(error))

    with_parts(context, work)
    for email in done:
        say(f"{email}: {'would be ' if dry_run else ''}{word}")
    fail_with(failed)


@group.command("pause")
def pause(
    context: typer.Context,
    emails: Emails,
    until: Annotated[str | None, typer.Option(metavar="DATE", help="The first day with mail again; default: until resumed.")] = None,
) -> None:
    """Send nothing for a while.

    \b
    Example:
      paperround subscribers pause ada@example.org --until 2027-01-07
    """
    from datetime import UTC, datetime, time

    from paperround.cli.sources import day_of

    day = day_of(until, "--until")
    moment = datetime.combine(day, time(), UTC) if day else None
    each(context, emails, lambda parts, subscriber: parts.actions.pause(subscriber, moment, way="cli"), "paused")


@group.command("resume")
def resume(context: typer.Context, emails: Emails) -> None:
    """End a pause.

    \b
    Example:
      paperround subscribers resume ada@example.org
    """
    each(context, emails, lambda parts, subscriber: parts.actions.resume(subscriber, way="cli"), "resumed")


@group.command("remove")
def remove(context: typer.Context, emails: Emails, dry_run: DryRun = False) -> None:
    """Unsubscribe them; no file brings them back.

    \b
    Example:
      paperround subscribers remove ada@example.org
    """
    each(context, emails, lambda parts, subscriber: parts.actions.unsubscribe(subscriber, way="cli"), "unsubscribed", dry_run=dry_run)


@group.command("forget")
def forget(context: typer.Context, email: Email, dry_run: DryRun = False) -> None:
    """Erase a person; a keyed hash and dates remain.

    \b
    Address, interests, votes and history go.
    Example:
      paperround subscribers forget ada@example.org --dry-run
    """
    each(context, [email], lambda parts, subscriber: parts.actions.forget(subscriber, way="cli"), "forgotten", dry_run=dry_run)


@group.command("sync")
def sync(
    context: typer.Context,
    folder: Annotated[Path | None, typer.Argument(metavar="DIR", help="Default: [subscribers] folder of the configuration.")] = None,
    adopt: Annotated[bool, typer.Option("--adopt", help="Drop the readers' own edits: the files' word stands.")] = False,
    json_: JsonFlag = False,
) -> None:
    """Bring the profile files of a folder into force.

    \b
    Example:
      paperround subscribers sync subscribers
    """
    from paperround.wiring import sync_folder

    place = folder or settings(context).subscribers.folder
    if place is None:
        raise typer.BadParameter("no folder is named here, nor by [subscribers] folder in the configuration", param_hint="DIR")
    done, failed = with_parts(context, lambda parts: sync_folder(parts, place, adopt=adopt))
    counts = {key: getattr(done, key) for key in ("added", "changed", "unchanged")}
    if json_:
        print_json({"folder": place, **counts, "failed": failed})
    else:
        say(f"{', '.join(f'{count} {key}' for key, count in counts.items())} from {place}")
    fail_with(failed)


@group.command("import")
def import_(
    context: typer.Context,
    files: Annotated[
        list[Path], typer.Argument(metavar="FILE…", help="CSV or JSON: ours, listmonk's, Mailchimp's, or with a column email.")
    ],
    active: Annotated[bool, typer.Option("--active", help="You hold their consent where the file does not tell it.")] = False,
    dry_run: DryRun = False,
    json_: JsonFlag = False,
) -> None:
    """Add the subscribers of a list from elsewhere.

    \b
    Who comes with evidence of consent (when they opted in and confirmed) is active, all others are asked
    by mail first. Who left or bounced there is never mailed. Doing it again changes nothing.
    Example:
      paperround subscribers import subscribed_members.csv unsubscribed_members.csv --dry-run
    """
    from paperround.errors import PaperroundError
    from paperround.pipeline.subscriber_imports import bring

    rows, failed, counts = list_rows(files), list[str](), Counter[str]()

    async def work(parts: "Parts") -> None:
        for place, row in sorted(rows, key=lambda each: each[1].gone is None):  # who must not be mailed comes first
            try:
                counts[await bring(parts.actions, row, origin=place, vouched=active, dry_run=dry_run)] += 1
            except (PaperroundError, ValueError) as error:
                failed.append(f"{place}: {error}")

    with_parts(context, work)
    if json_:
        print_json({"counts": counts, "failed": failed, "dry_run": dry_run})
    else:
        told = ", ".join(f"{number} {name}" for name, number in sorted(counts.items()))
        say(f"{'would be ' if dry_run else ''}{told or 'nobody'} from {', '.join(map(str, files))}")
    fail_with(failed)


def list_rows(files: list[Path]) -> "list[tuple[str, Row]]":
    """Every row with its place. Raises CommandFailedError for a file that is no list of subscribers."""
    from paperround.pipeline.subscriber_imports import read_row

    found = []
    for file in files:
        if file.name.lower().startswith(("nonsubscribed", "non-subscribed")):
            raise CommandFailedError(f"{file}: these contacts never asked for mail; leave them out")
        rows = read_rows(file, read_file(file))
        if rows is None:
            raise CommandFailedError(f"{file}: is neither .csv nor .json")
        found += [(f"{file.name}, row {number}", read_row(row)) for number, row in enumerate(rows, 1)]
    return found


COLUMNS = ("email", "state", "suppressed", "consented_at")


@group.command("export")
def export(context: typer.Context, json_: JsonFlag = False) -> None:
    """Print all subscribers, without the forgotten.

    \b
    CSV holds addresses, states and profiles; JSON also weights, votes and the evidence of each consent.
    Example:
      paperround subscribers export --json > subscribers.json
    """
    found: list[dict[str, Any]] = []

    async def work(parts: "Parts") -> None:
        async for batch in parts.storage.subscribers(states=("pending", "active", "paused", "unsubscribed")):
            votes = await parts.storage.votes([each_.id for each_ in batch]) if json_ else {}
            for each_ in batch:
                evidence = await parts.storage.consent_events(each_.id) if json_ else []
                found.append({**shown(each_), "consent": evidence, "votes": votes.get(each_.id, [])})

    with_parts(context, work)
    if json_:
        print_json(found)
        return
    keys = list(found[0]["profile"]) if found else []
    write_csv([*COLUMNS, *keys], ([*(each_[key] for key in COLUMNS), *map(flat, each_["profile"].values())] for each_ in found))


def flat(value: object) -> object:
    """A cell: an interest by its text alone, since a spreadsheet holds no weights."""
    return [each_["text"] if isinstance(each_, dict) else each_ for each_ in value] if isinstance(value, list) else plain(value)
