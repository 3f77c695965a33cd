"""`paperround profiles`: what each subscriber wants, and what was learned."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from paperround.cli.output import print_json, say, warn
from paperround.cli.rows import read_file
from paperround.cli.session import CommandFailedError, JsonFlag, find_subscriber, meant, settings, with_parts

if TYPE_CHECKING:
    from paperround.models import Subscriber
    from paperround.wiring import Parts

Email = Annotated[str, typer.Argument(metavar="EMAIL", help="An address, or a subscriber's id.")]
Text = Annotated[str, typer.Argument(metavar="TEXT", help="The interest.")]
Work = Annotated[str, typer.Argument(metavar="WORK", help="Its id, arxiv:…, doi:…, address or exact title.")]
MOST_LIKED = 200  # of a profile

group = typer.Typer(help="What each subscriber wants, and what was learned from votes.", no_args_is_help=True)


def register(app: typer.Typer) -> None:
    app.add_typer(group, name="profiles")


@group.command("show")
def show(context: typer.Context, email: Email, json_: JsonFlag = False) -> None:
    """Show a profile and the votes it has learned from.

    \b
    Example:
      paperround profiles show ada@example.org
    """

    async def work(parts: "Parts") -> "tuple[Subscriber, list[dict[str, Any]], list[str]]":
        from paperround.pipeline.explain import explain_learning

        subscriber = await find_subscriber(parts, email)
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
def export(context: typer.Context, email: Email) -> None:
    """Print the profile in force as a profile file.

    \b
    Example:
      paperround profiles export ada@example.org > ada.toml
    """
    from paperround.subscribers.profile_files import profile_text

    subscriber = with_parts(context, lambda parts: find_subscriber(parts, email))
    typer.echo(profile_text(subscriber.profile, email=subscriber.email), nl=False)


def change(context: typer.Context, email: str, edit: Any) -> None:
    """Apply `edit(values) -> changes` to a profile's values, as the administrator's own edit."""

    from paperround.subscribers.profile_layers import profile_to_values

    async def work(parts: "Parts") -> None:
        subscriber = await find_subscriber(parts, email)
        changes = edit(profile_to_values(subscriber.profile))
        await parts.actions.change_profile(subscriber, changes, way="cli")

    with_parts(context, work)
    say(f"changed the profile of {email}")


@group.command("import")
def import_(
    context: typer.Context,
    email: Email,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A profile file (.toml), or a library (.bib), whose papers are liked.")],
) -> None:
    """Take over a profile file, or a BibTeX library as liked works.

    \b
    Examples:
      paperround profiles import ada@example.org ada.toml
      paperround profiles import ada@example.org library.bib
    """
    if file.suffix.lower() == ".bib":
        import_library(context, email, file)
        return
    from paperround.wiring import read_profile_file

    values = read_profile_file(file).values
    change(context, email, lambda _: values)


def import_library(context: typer.Context, email: str, file: Path) -> None:
    """The works of a library are liked from now on; of too many, the last of the file, where programs put what is new."""
    from paperround.sources.references import references

    _, at, entries = decoded(read_file(file)).partition("@")  # what stands before the first entry is a comment
    papers = references(at + entries)
    if not papers:
        raise CommandFailedError(f"{file}: holds no BibTeX entry with a title, DOI, arXiv number or address")

    def liking(values: dict[str, Any]) -> dict[str, Any]:
        liked = list(dict.fromkeys([*values["liked"], *papers]))
        if len(liked) > MOST_LIKED:
            warn(f"a profile holds {MOST_LIKED} liked works: the last of {len(liked)} are kept")
        return {"liked": liked[-MOST_LIKED:]}

    change(context, email, liking)
    say(f"{len(papers)} papers from {file}")


def decoded(text: bytes) -> str:
    try:
        return text.decode("utf-8-sig")
    except UnicodeDecodeError:  # an old library
        return text.decode("latin-1")


@group.command("edit")
def edit(
    context: typer.Context,
    email: Email,
    settings_: Annotated[list[str], typer.Argument(metavar="KEY=VALUE…", help='As in a profile file: max_items=8 schedule="daily 06:30"')],
) -> None:
    """Change keys of a profile.

    \b
    Example:
      paperround profiles edit ada@example.org max_items=8 schedule="daily 06:30"
    """
    from paperround.errors import ProfileError
    from paperround.subscribers.profile_files import parse_assignments

    try:
        values = parse_assignments(settings_)
    except ProfileError as error:
        raise typer.BadParameter(error.reason, param_hint=error.key) from None
    change(context, email, lambda _: values)


@group.command("add-interest")
def add_interest(
    context: typer.Context, email: Email, text: Text, weight: Annotated[float, typer.Option(help="How much it counts, up to 10.")] = 1.0
) -> None:
    """Add an interest in the reader's own words.

    \b
    Example:
      paperround profiles add-interest ada@example.org "speech in noise" --weight 2
    """
    interest = {"text": text, "weight": weight} if weight != 1 else text
    change(context, email, lambda values: {"interests": [*values.get("interests", []), interest]})
    from paperround.matching.learned import language_note

    if note := language_note(text, settings(context).embedding.model):
        warn(note)


@group.command("remove-interest")
def remove_interest(context: typer.Context, email: Email, text: Text) -> None:
    """Remove an interest.

    \b
    Example:
      paperround profiles remove-interest ada@example.org "speech in noise"
    """

    def without(values: dict[str, Any]) -> dict[str, Any]:
        kept = [each for each in values.get("interests", []) if (each["text"] if isinstance(each, dict) else each) != text]
        if len(kept) == len(values.get("interests", [])):
            known = (each["text"] if isinstance(each, dict) else each for each in values["interests"])
            raise CommandFailedError(f"{email} has no interest {text!r}{meant(text, known)}")
        return {"interests": kept}

    change(context, email, without)


def vote(context: typer.Context, email: str, work_name: str, value: int) -> None:
    async def work(parts: "Parts") -> str:
        subscriber = await find_subscriber(parts, email)
        found = await parts.storage.find_work(work_name)
        await parts.actions.vote(subscriber, found.id, value, way="cli")
        return found.title

    title = with_parts(context, work)
    say(f"{email} {'likes' if value > 0 else 'dislikes'} {title}")


@group.command("like")
def like(context: typer.Context, email: Email, work: Work) -> None:
    """Vote a work up.

    \b
    Example:
      paperround profiles like ada@example.org arxiv:2410.01234
    """
    vote(context, email, work, 1)


@group.command("dislike")
def dislike(context: typer.Context, email: Email, work: Work) -> None:
    """Vote a work down.

    \b
    Example:
      paperround profiles dislike ada@example.org arxiv:2410.01234
    """
    vote(context, email, work, -1)
