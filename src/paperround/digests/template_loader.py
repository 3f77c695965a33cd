"""Room: template loader. Finds templates, compiles MJML to Jinja once, keeps the result in memory and on disk (I/O)."""

import hashlib
import re
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from html.parser import HTMLParser
from importlib.metadata import version
from pathlib import Path

import jinja2
from jinja2.sandbox import ImmutableSandboxedEnvironment

from paperround.errors import TemplateError

_FORM = "3"  # of what we make of MJML's output; raise it when `_compile` changes
_TAG = re.compile(r"\{%.*?%\}|\{\{.*?\}\}|\{#.*?#\}", re.DOTALL)
_TOKEN = re.compile(r"<!--(jj\d+jj)-->|(jj\d+jj)")
_BESIDE = {"mjml", "mj-all", "mj-class", "mj-selector", "mj-html-attribute"}  # elements that are no components
_STYLE = re.compile(r"<mj-style.*?</mj-style>", re.DOTALL)
_INLINE = re.compile(r' style="[^"]*"')
_INCLUDE = re.compile(r'<mj-include +path="([^"]*)" */>')


@dataclass(frozen=True, slots=True)
class Templates:
    """Compiled templates by name: their path within a templates folder, such as `email/digest.mjml.j2`. Files that begin with an
    underscore are parts of others."""

    environment: jinja2.Environment
    names: frozenset[str]

    def get(self, name: str) -> jinja2.Template:
        """Raises TemplateError when there is none of that name, or what it extends or includes is missing or broken."""
        try:
            return self.environment.get_template(name)
        except jinja2.TemplateSyntaxError as error:
            raise TemplateError(f"{error.name}:{error.lineno}: {error.message}") from error
        except jinja2.TemplateNotFound as error:
            raise TemplateError(f"{name}: there is no template {error.name}") from error


class TemplateLoader:
    """Templates from several folders, the first of which wins: operators' own before those that come with the program."""

    def __init__(self, folders: Sequence[Path], cache_dir: Path | None = None) -> None:
        """`cache_dir` keeps compiled MJML from one start to the next; without it every start compiles. The last folder is our own:
        templates from any other run in a sandbox, and so do ours then, since they may include each other."""
        self.folders, self.cache_dir = tuple(folders), cache_dir
        self._loaded: Templates | None = None

    def listing(self) -> list[tuple[str, str]]:
        """(name, path of the file in force) of every template, by name."""
        return sorted((name, str(path)) for name, path in self._find().items())

    def load(self) -> Templates:
        """Every template, read and checked once. Raises TemplateError naming file, line and tag."""
        if self._loaded is None:
            found = self._find()
            own = self.folders[-1:]
            foreign = any(folder not in path.parents for path in found.values() for folder in own)
            environment = _environment(sandboxed=foreign)
            sources = {name: self._source(environment, path, found) for name, path in found.items() if not path.name.startswith("_")}
            environment.loader = jinja2.DictLoader(sources)
            self._loaded = Templates(environment, frozenset(sources))
        return self._loaded

    def _find(self) -> dict[str, Path]:
        return {
            path.relative_to(folder).as_posix(): path
            for folder in reversed(self.folders)
            for path in sorted(folder.rglob("*.j2"))
            if path.is_file()
        }

    def _source(self, environment: jinja2.Environment, path: Path, found: Mapping[str, Path]) -> str:
        """The text of a template, an MJML one compiled; in either case known to be good Jinja."""
        text = _read(path)
        if path.name.endswith(".mjml.j2"):
            text = _INCLUDE.sub(lambda match: _included(match.group(1), path, found), text)
        try:
            environment.parse(text)
        except jinja2.TemplateSyntaxError as error:
            raise TemplateError(f"{path}:{error.lineno}: {error.message}") from error
        return self._compiled(text, path) if path.name.endswith(".mjml.j2") else text

    def _compiled(self, text: str, path: Path) -> str:
        """Compiled MJML from the disk, else compiled now and kept there. A cache that cannot be written costs time, nothing else."""
        key = hashlib.sha256("\0".join((_FORM, version("mjml"), version("css-inline"), text)).encode()).hexdigest()
        kept = self.cache_dir / f"mjml-{key[:40]}.html" if self.cache_dir else None
        if kept:
            with suppress(OSError, UnicodeDecodeError):
                return kept.read_text(encoding="utf-8")
        compiled = compile_mjml(text, str(path))
        if kept:
            with suppress(OSError):
                _write(kept, compiled)
        return compiled


def _environment(*, sandboxed: bool) -> jinja2.Environment:
    kind = ImmutableSandboxedEnvironment if sandboxed else jinja2.Environment
    return kind(
        autoescape=lambda name: name is None or not name.endswith(".txt.j2"),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
    )


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise TemplateError(f"{path}:1: cannot be read: {error}") from error


def _included(name: str, path: Path, found: Mapping[str, Path]) -> str:
    """A part shared by MJML templates, on one line, so that lines are still those of the file. MJML's own include reads any file."""
    if name not in found:
        raise TemplateError(f"{path}:1: <mj-include>: there is no template {name}")
    return " ".join(_read(found[name]).split("\n"))


def _write(path: Path, text: str) -> None:
    """Whole or not at all: another process may read it meanwhile."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile("w", encoding="utf-8", dir=path.parent, delete=False) as file:
        file.write(text)
    Path(file.name).replace(path)


# ---------------------------------------------------------------- MJML to Jinja


def compile_mjml(text: str, place: str) -> str:
    """A Jinja template in HTML from one in MJML. Jinja's tags are shielded while MJML and css-inline work: the one escapes what stands
    in them, the other moves them out of tables. Raises TemplateError when a tag is unknown, left open or lost on the way."""
    from mjml import mjml_to_html  # here: 0.2 s that a kept template does not pay

    _check_elements(text, place)
    shielded, tags = _shield(text, place)
    try:
        html = mjml_to_html(shielded).html
    except Exception as error:
        raise TemplateError(f"{place}:1: MJML refuses it: {error}") from error
    spare = frozenset(name for style in _STYLE.findall(shielded) for name in re.findall(r"jj\d+jj", style))
    html = html.replace('role="article"', 'role="main"', 1)  # a landmark, for what reads the mail aloud
    lean = _INLINE.sub(
        lambda match: match.group().replace(": ", ":").replace("; ", ";").replace(';"', '"'),
        re.sub(r"\n\s*", "\n", html.replace("&nbsp;", "\xa0")),
    )
    return _restore(lean, tags, spare, place)


def _shield(text: str, place: str) -> tuple[str, Mapping[str, tuple[str, int]]]:
    """The text with tokens for Jinja's tags, and each token's tag and line. What is neither inside an HTML tag nor prints a value becomes
    a comment, because a comment may stand between the rows of a table."""
    tags: dict[str, tuple[str, int]] = {}

    def token(found: re.Match[str]) -> str:
        name = f"jj{len(tags):04}jj"
        tags[name] = (found.group(), text.count("\n", 0, found.start()) + 1)
        before = _TAG.sub("", text[max(0, found.start() - 2000) : found.start()])
        inside = before.rfind("<") > before.rfind(">")
        if inside and not found.group().startswith("{{") and before.count('"', before.rfind("<")) % 2 == 0:
            raise TemplateError(f"{place}:{tags[name][1]}: {found.group()} cannot stand among attributes, only between tags or in a value")
        return name if inside or found.group().startswith("{{") else f"<!--{name}-->"

    return _TAG.sub(token, text), tags


def _restore(html: str, tags: Mapping[str, tuple[str, int]], spare: frozenset[str], place: str) -> str:
    """The tags back in their places. A value may have been multiplied (a colour, the title) and one in a style may be unused (`spare`);
    every other stands exactly once."""
    found = [match.group(1) or match.group(2) for match in _TOKEN.finditer(html)]
    for name, (tag, line) in tags.items():
        times = found.count(name)
        if (times == 0 and name not in spare) or (times > 1 and not tag.startswith("{{")):
            what = "was lost" if times == 0 else "was multiplied"
            raise TemplateError(f"{place}:{line}: {tag} {what} when MJML was compiled; it cannot stand there")
    return _TOKEN.sub(lambda match: tags[match.group(1) or match.group(2)][0], html)


def _check_elements(text: str, place: str) -> None:
    """MJML passes over what it does not know and closes what was left open; we do neither."""
    for problem, line in _Elements(text).problems():
        raise TemplateError(f"{place}:{line}: {problem}")


class _Elements(HTMLParser):
    def __init__(self, text: str) -> None:
        super().__init__()
        self.text = text
        self.open: list[tuple[str, int]] = []
        self.found: list[tuple[str, int]] = []

    def problems(self) -> Iterator[tuple[str, int]]:
        from mjml.core.registry import components, register_core_components

        register_core_components()
        self.known = _BESIDE | set(components)
        self.feed(_TAG.sub(lambda match: re.sub(r"[^\n]", "_", match.group()), self.text))
        self.found += [(f"<{name}> is never closed", line) for name, line in self.open]
        yield from self.found

    def handle_starttag(self, tag: str, _: list[tuple[str, str | None]]) -> None:
        if tag.startswith("mj"):
            line = self.getpos()[0]
            if tag not in self.known:
                self.found.append((f"<{tag}> is no element of MJML", line))
            self.open.append((tag, line))

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if self.open and self.open[-1][0] == tag:
            self.open.pop()

    def handle_endtag(self, tag: str) -> None:
        if tag.startswith("mj"):
            if self.open and self.open[-1][0] == tag:
                self.open.pop()
            else:
                self.found.append((f"</{tag}> closes what is not open", self.getpos()[0]))
