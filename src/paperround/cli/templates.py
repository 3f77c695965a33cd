"""`paperround templates list|export|check`: an operator's own templates."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from paperround.cli.output import patience, print_json, say, table, warn
from paperround.cli.session import CommandFailedError, JsonFlag, fail_with, meant, settings
from paperround.errors import TemplateError

if TYPE_CHECKING:
    from paperround.digests.mail_content import MailContent, TemplateSource
    from paperround.models import Digest, DigestItem, ListIdentity, ReaderLinks, Subscriber

templates = typer.Typer(help="The templates of mails and pages, and your own in their place.", no_args_is_help=True)

LANGUAGES = ("en", "de", "fr")
BASE = "https://paperround.example"
WAY_OUT = f"{BASE}/u/sample"
SHORT: dict[str, dict[str, Any]] = {
    "confirmation": {"confirm_url": f"{BASE}/c/sample", "confirm_reply": True, "consent_text": "Sample.", "titles": ["Sample"]},
    "answer": {"lines": ["Sample."], "links": [("Sample", f"{BASE}/sample")], "quoted": ["Sample."]},
    "notice": {"lines": ["Sample."], "groups": [("Sample", ["Sample."], "Sample.")]},
}


def register(app: typer.Typer) -> None:
    app.add_typer(templates, name="templates")


@templates.command("list")
def list_templates(context: typer.Context, json_: JsonFlag = False) -> None:
    """List the templates, and which of them are yours.

    \b
    Example:
      paperround templates list --json
    """
    from paperround.wiring import template_loader

    found = template_loader(settings(context)).listing()
    if json_:
        rows = [{"name": each.name, "path": each.path, "overridden": each.overridden, "known": each.ours is not None} for each in found]
        print_json(rows)
        return
    origins = {each.name: each.path if each.overridden else "the program" for each in found}
    table(["template", "from", ""], ([each.name, origins[each.name], None if each.ours else "asked for by none of ours"] for each in found))


@templates.command("export")
def export_templates(
    context: typer.Context,
    names: Annotated[
        list[str] | None, typer.Argument(metavar="NAME…|DIR", help="Which; default: all. Where to; default: templates.")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Overwrite what is there.")] = False,
) -> None:
    """Copy our templates into a folder, to be changed there.

    \b
    What is there is kept.
    Example:
      paperround templates export email/digest.mjml.j2 templates
    """
    from paperround.wiring import template_loader

    loaded = settings(context)
    if loaded.templates:
        loaded.templates.mkdir(parents=True, exist_ok=True)
    ours = {each.name: each.ours for each in template_loader(loaded).listing() if each.ours}
    *wanted, last = names or [""]
    folder = loaded.templates or Path("templates")
    if last.endswith(".j2"):
        wanted.append(last)
    elif last:
        folder = Path(last)
    for name in wanted or ours:
        if name in ours:
            target = folder / name
            kept = target.exists() and not force
            if not kept:
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_bytes(ours[name].read_bytes())
            say(f"{'kept' if kept else 'wrote'} {target}")
    if loaded.templates is None or folder.resolve() != loaded.templates.resolve():
        say(f'Next: templates = "{folder}" in paperround.toml; delete there what you leave as it is, and it follows new versions')
    if unknown := [name for name in wanted if name not in ours]:
        near = "".join(meant(name, ours) for name in unknown)
        raise CommandFailedError(f"no template is called {', '.join(unknown)}; `paperround templates list` shows them{near}")


@templates.command("check")
def check_templates(context: typer.Context, json_: JsonFlag = False) -> None:
    """Compile every template and render a sample of every mail.

    \b
    What is wrong is named with file, line and tag.
    Example:
      paperround templates check
    """
    from paperround.digests.contrast import pale_colours
    from paperround.wiring import template_loader

    loaded = settings(context)
    loader = template_loader(loaded)
    with patience(context.command_path):
        found, faults = loader.listing(), list(dict.fromkeys(map(str, loader.faults().values())))
        sizes, faults = render_samples(loader.load(), loaded.identity) if not faults else (dict[str, int](), faults)
    pale = list(pale_colours(loaded.identity))
    own, unknown = [each.name for each in found if each.overridden], [each.name for each in found if each.ours is None]
    if json_:
        print_json({"templates": len(found), "overridden": own, "unknown": unknown, "bytes": sizes, "pale": pale, "faults": faults})
    else:
        kilobytes = ", ".join(f"{name} {size / 1024:.0f} KB" for name, size in sizes.items() if name.endswith(LANGUAGES[0]))
        say(f"{len(found)} templates, {len(own)} of them yours" + (f"; samples: {kilobytes}" if kilobytes else ""))
    for each_pale in pale:
        warn(each_pale)
    for name in unknown:
        warn(f"{name}: none of ours asks for a template of this name")
    fail_with(faults)


def render_samples(templates: "TemplateSource", identity: "ListIdentity") -> tuple[dict[str, int], list[str]]:
    """Bytes of the HTML by mail, and what is wrong."""
    sizes, faults = {}, []
    for language in LANGUAGES:
        for name, make in sample_mails(templates, identity, language).items():
            try:
                content = make()
            except TemplateError as error:
                faults.append(str(error))
                continue
            sizes[f"{name} {language}"] = len(content.html.encode())
            for suffix, text in (("mjml", content.html), ("txt", content.text)) if "issue" in name else ():
                if WAY_OUT not in text:
                    faults.append(f"email/digest.{suffix}.j2: {name}: no way out: {{{{ links.one_click }}}} is never printed")
    return sizes, list(dict.fromkeys(faults))


def sample_mails(templates: "TemplateSource", identity: "ListIdentity", language: str) -> "dict[str, Callable[[], MailContent]]":
    """Every mail there is, as functions that render it."""
    from paperround.digests.mail_content import render_issue, render_short
    from paperround.matching.scoring import strength_word

    digest, reader, links = sample_issue(language)
    nothing = replace(digest, items=tuple(item for item in digest.items if not item.number))
    found: dict[str, Callable[[], MailContent]] = {
        name: partial(render_issue, templates, each, reader, identity, links, now=digest.cutoff, strength_word=strength_word)
        for name, each in (("issue", digest), ("empty issue", nothing))
    }
    return found | {name: partial(render_short, templates, name, values, identity, language) for name, values in SHORT.items()}


def sample_issue(language: str) -> "tuple[Digest, Subscriber, ReaderLinks]":
    """An invented digest in which everything occurs that an issue can hold."""
    from paperround import models as m
    from paperround.pipeline.compose import issue

    now = datetime(2026, 1, 5, 7, 30, tzinfo=UTC)
    reader = m.Subscriber(
        id=m.SubscriberId(1),
        public_id="0" * 32,
        email="sample@paperround.example",
        state=m.ConsentState.ACTIVE,
        profile=m.Profile(name="Sample", language=language),
        created_at=now,
        consented_at=now,
    )
    digest = issue(reader, tuple(sample_items(now)), since=now - timedelta(days=1), now=now, candidates=40, trending=False)
    votes = {number: (f"{BASE}/v/{number}/more", f"{BASE}/v/{number}/less", f"{BASE}/v/{number}/why") for number in range(1, 5)}
    return (
        replace(digest, notes=("A source was late.",)),
        reader,
        m.ReaderLinks(one_click=WAY_OUT, preferences=f"{BASE}/p/sample", archive=f"{BASE}/a/sample", votes=votes),
    )


def sample_items(now: datetime) -> "Iterator[DigestItem]":
    from paperround import models as m

    work = m.Work(
        id=m.WorkId(1),
        title="A <sample> & its “title”",
        authors=("Ada Example", "Ben Example", "Cem Example", "Dee Example"),
        url=f"{BASE}/1",
        links=m.Links(abstract=f"{BASE}/2", pdf=f"{BASE}/3", code=f"{BASE}/4", project=f"{BASE}/5"),
        first_seen_at=now,
        upvotes=12,
        changed_at=now,
        change="The abstract changed.",
        mentions=(m.Mention(source_id=m.SourceId(1), source_name="A source", seen_at=now),),
    )
    chosen, outside, below = m.ItemRole.CHOSEN, m.ItemRole.EXPLORE, m.ItemRole.BELOW
    kinds = {1: m.ReasonKind.LIKED, 2: m.ReasonKind.INTEREST, 3: m.ReasonKind.MUST}
    for number, role in ((1, chosen), (2, chosen), (3, chosen), (4, outside), (0, below)):
        yield m.DigestItem(
            work=work,
            role=role,
            number=number,
            score=0.5,
            strength=1 - number / 4,
            reason=m.Reason(kind=kinds.get(number, m.ReasonKind.EXPLORE), text="sample", liked_at=now),
            excerpt=("A first sentence.", "A second & better one."),
            best=1,
            also=("Another source",),
        )
