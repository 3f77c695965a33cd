"""`paperround profiles`: what each subscriber wants, and what was learned."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from paperround.cli.output import print_json, say, warn
from paperround.cli.session import CommandFailedError, JsonFlag, settings, with_parts

if TYPE_CHECKING:
    from paperround.models import Subscriber
    from paperround.wiring import Parts

group = typer.Typer(help="What each subscriber wants, and what was learned from votes.", no_args_is_help=True)


def register(app: typer.Typer) -> None:
    app.add_typer(group, name="profiles")


@group.command("show")
def show(context: typer.Context, email: str, json_: JsonFlag = False) -> None:
    """Show a profile and the votes it has learned from."""

    async def work(parts: "Parts") -> "tuple[Subscriber, list[dict[str, Any]], list[str]]":
        from paperround.pipeline.explain import explain_learning

        subscriber = await parts.storage.find_subscriber(email)
        votes = (await parts.storage.votes([subscriber.id])).get(subscriber.id, [])
        lessons = await explain_learning(parts.storage, parts.embedder.model, subscriber, now=parts.clock.now())
        return subscriber, [{"value": v.value, "title": v.title, "at": v.at, "way": v.way} for v in votes if v.value], lessons

    subscriber, votes, lessons = with_parts(context, work)
    from paperround.subscribers.profile_files import profile_text

    if json_:
        from paperround.subscribers.profile_layers import profile_to_values

        print_json({"email": subscriber.email, "profile": profile_to_values(subscriber.profile), "votes": votes, "learned": lessons})
        return
    say(profile_text(subscriber.profile, email=subscriber.email))
    for vote in votes:
        say(f"{'liked' if vote['value'] > 0 else 'disliked'} {str(vote['at'])[:10]} by {vote['way']}: {vote['title']}")
    for lesson in lessons:
        say(f"learned: {lesson}")


@group.command("export")
def export(context: typer.Context, email: str) -> None:
    """Print the profile in force as a profile file."""
    from paperround.subscribers.profile_files import profile_text

    subscriber = with_parts(context, lambda parts: parts.storage.find_subscriber(email))
    typer.echo(profile_text(subscriber.profile, email=subscriber.email), nl=False)


def change(context: typer.Context, email: str, edit: Any) -> None:
    """Apply `edit(values) -> changes` to a profile's values, as the administrator's own edit."""

    from paperround.subscribers.profile_layers import profile_to_values

    async def work(parts: "Parts") -> None:
        subscriber = await parts.storage.find_subscriber(email)
        changes = edit(profile_to_values(subscriber.profile))
        await parts.actions.change_profile(subscriber, changes, way="cli")

    with_parts(context, work)
    say(f"changed the profile of {email}")


@group.command("import")
def import_(context: typer.Context, email: str, file: Annotated[Path, typer.Argument(metavar="FILE.toml")]) -> None:
    """Set a subscriber's profile to that of a profile file."""
    from paperround.wiring import read_profile_file

    values = read_profile_file(file).values
    change(context, email, lambda _: values)


@group.command("edit")
def edit(
    context: typer.Context,
    email: str,
    settings_: Annotated[list[str], typer.Argument(metavar="KEY=VALUE…", help='As in a profile file: max_items=8 schedule="daily 06:30"')],
) -> None:
    """Change keys of a profile."""
    from paperround.subscribers.profile_files import parse_assignments

    values = parse_assignments(settings_)
    change(context, email, lambda _: values)


@group.command("add-interest")
def add_interest(context: typer.Context, email: str, text: str, weight: Annotated[float, typer.Option()] = 1.0) -> None:
    """Add an interest in the reader's own words."""
    interest = {"text": text, "weight": weight} if weight != 1 else text
    change(context, email, lambda values: {"interests": [*values.get("interests", []), interest]})
    from paperround.matching.learned import language_note

    if note := language_note(text, settings(context).embedding.model):
        warn(note)


@group.command("remove-interest")
def remove_interest(context: typer.Context, email: str, text: str) -> None:
    """Remove an interest."""

    def without(values: dict[str, Any]) -> dict[str, Any]:
        kept = [each for each in values.get("interests", []) if (each["text"] if isinstance(each, dict) else each) != text]
        if len(kept) == len(values.get("interests", [])):
            raise CommandFailedError(f"{email} has no interest {text!r}")
        return {"interests": kept}

    change(context, email, without)


def vote(context: typer.Context, email: str, work_name: str, value: int) -> None:
    async def work(parts: "Parts") -> str:
        subscriber = await parts.storage.find_subscriber(email)
        found = await parts.storage.find_work(work_name)
        await parts.actions.vote(subscriber, found.id, value, way="cli")
        return found.title

    title = with_parts(context, work)
    say(f"{email} {'likes' if value > 0 else 'dislikes'} {title}")


@group.command("like")
def like(context: typer.Context, email: str, work: Annotated[str, typer.Argument(metavar="WORK")]) -> None:
    """Vote a work up: its id, arxiv:…, doi:…, address or title."""
    vote(context, email, work, 1)


@group.command("dislike")
def dislike(context: typer.Context, email: str, work: Annotated[str, typer.Argument(metavar="WORK")]) -> None:
    """Vote a work down."""
    vote(context, email, work, -1)
