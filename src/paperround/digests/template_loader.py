"""Room: template loader. Finds templates, compiles MJML to Jinja once, keeps the result in memory and on disk (I/O)."""

import hashlib
import re
import tempfile
import traceback
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from html.parser import HTMLParser
from importlib.metadata import version
from pathlib import Path
from pickle import UnpicklingError

import jinja2
from jinja2.bccache import Bucket
from jinja2.sandbox import ImmutableSandboxedEnvironment

from paperround.digests.lean_jinja import LeanCode, encoded, kept_by
from paperround.errors import ConfigError, TemplateError

_FORM = "8"  # of what we make of MJML's output and of Jinja's code; raise it when either changes
_TAG = re.compile(r"\{%.*?%\}|\{\{.*?\}\}|\{#.*?#\}", re.DOTALL)
_TOKEN = re.compile(r"<!--(jj\d+jj)-->|(jj\d+jj)")
_ORIGIN = re.compile(r"\{#[+-]?(\d+)#\}(\{.*?(?:[%}]\}|$))")  # each tag of compiled MJML after the line it came from
_QUOTED, _WORD = re.compile(r"'(\w+)'"), re.compile(r"\w+")
_BESIDE = {"mjml", "mj-all", "mj-class", "mj-selector", "mj-html-attribute"}  # elements that are no components
_STYLE = re.compile(r"<mj-style.*?</mj-style>", re.DOTALL)
_INLINE = re.compile(r' style="[^"]*"')
_INCLUDE = re.compile(r'<mj-include +path="([^"]*)" */>')


@dataclass(frozen=True, slots=True)
class Found:
    """A template: its name is the path within a templates folder, such as `email/digest.mjml.j2`."""

    name: str
    path: Path  # the file in force
    ours: Path | None  # the one that comes with the program; None: nothing of ours asks for this name

    @property
    def overridden(self) -> bool:
        return self.path != self.ours

    @property
    def part(self) -> bool:
        """Whether it is only ever included by others."""
        return self.path.name.startswith("_")


@dataclass(frozen=True, slots=True)
class Page:
    """One compiled template."""

    template: jinja2.Template

    def render(self, **values: object) -> str:
        """Raises TemplateError naming file, line and tag of what went wrong on the way, such as a misspelt name."""
        environment = self.template.environment
        try:
            try:
                everything = {**environment.globals, **values}  # Jinja merges the same by way of a ChainMap, ten times as slow
                return environment.concat(self.template.root_render_func(self.template.new_context(everything, shared=True)))
            except Exception:
                environment.handle_exception()
        except Exception as error:
            raise TemplateError(_place(error, self.template)) from error

    def octets(self, **values: object) -> bytes:
        """The same in UTF-8; the one way to render the HTML of mails."""
        return encoded(self.template, self.render(**values))


@dataclass(frozen=True, slots=True)
class Templates:
    """Compiled templates by name. Files that begin with an underscore are parts of others."""

    environment: jinja2.Environment
    names: frozenset[str]

    def get(self, name: str) -> Page:
        """Compiled at the first call. Raises TemplateError when there is none of that name, or it or what it includes is broken."""
        try:
            return Page(self.environment.get_template(name))
        except jinja2.TemplateSyntaxError as error:
            raise TemplateError(f"{error.filename or error.name}:{error.lineno}: {error.message}") from error
        except jinja2.TemplateNotFound as error:
            raise TemplateError(f"{name}: there is no template {error.name}") from error


class TemplateLoader:
    """Templates from several folders, the first of which wins: operators' own before those that come with the program."""

    def __init__(self, folders: Sequence[Path], cache_dir: Path | None = None) -> None:
        """`cache_dir` keeps what was compiled from one start to the next; without it every start compiles. The last folder is our own:
        templates from any other run in a sandbox, and so do ours then, since they may include each other."""
        self.folders, self.cache_dir = tuple(folders), cache_dir
        self._loaded: Templates | None = None

    def listing(self) -> list[Found]:
        """Every template, by name. Raises ConfigError when an operator's folder is not there."""
        for folder in self.folders[:-1]:
            if not folder.is_dir():
                raise ConfigError(f"templates: {folder} is no folder")
        found: dict[str, Found] = {}
        for folder in reversed(self.folders):
            for path in filter(Path.is_file, folder.rglob("*.j2")):
                name = path.relative_to(folder).as_posix()
                found[name] = Found(name, path, path if folder == self.folders[-1] else found[name].ours if name in found else None)
        return [found[name] for name in sorted(found)]

    def load(self) -> Templates:
        """Every template, read once; operators' own are compiled now, so that a broken one stops the start and not a mail, ours at their
        first use. Raises TemplateError naming file, line and tag, and ConfigError."""
        if self._loaded is None:
            found = self.listing()
            self._loaded = self._open(found)
            for each in found:
                if each.overridden and not each.part:
                    self._loaded.get(each.name)
        return self._loaded

    def faults(self) -> dict[str, TemplateError]:
        """By name the templates that cannot be compiled."""
        found, broken = self.listing(), {}
        templates = self._open(found)
        for each in found:
            try:
                if not each.part:
                    templates.get(each.name)
            except TemplateError as error:
                broken[each.name] = error
        return broken

    def _open(self, found: Sequence[Found]) -> Templates:
        texts = {each.name: (_read(each.path), each.path) for each in found}
        environment = _environment(self.cache_dir, sandboxed=any(each.overridden for each in found))

        def source(name: str) -> tuple[str, str, None] | None:
            if name not in texts:
                return None
            text, path = texts[name]
            return (self._compiled(environment, name, texts) if name.endswith(".mjml.j2") else text), str(path), None

        environment.loader = jinja2.FunctionLoader(source)
        return Templates(environment, frozenset(each.name for each in found if not each.part))

    def _compiled(self, environment: jinja2.Environment, name: str, texts: "Texts") -> str:
        """Compiled MJML from the disk, else compiled now and kept there. A cache that cannot be written costs time, nothing else."""
        text, path = texts[name]
        whole = _INCLUDE.sub(lambda match: _included(match.group(1), path, texts), text)
        kept = self.cache_dir / f"mjml-{_fingerprint(whole)}.html" if self.cache_dir else None
        if kept:
            with suppress(OSError, UnicodeDecodeError):
                return kept.read_text(encoding="utf-8")
        for part, place in [texts[each] for each in _INCLUDE.findall(text)] + [texts[name]]:
            environment.compile(part, name, str(place))  # its faults are named by its own lines, before MJML moves them
            _check_elements(_INCLUDE.sub("", part), str(place))
        compiled = compile_mjml(whole, str(path))
        if kept:
            with suppress(OSError):
                _write(kept, compiled)
        return compiled


Texts = Mapping[str, tuple[str, Path]]  # text and file by name


@lru_cache(maxsize=256)
def _fingerprint(text: str) -> str:
    """Of a text and of all that takes part in compiling it."""
    parts = (_FORM, *map(version, ("mjml", "css-inline", "jinja2")), text)
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:40]


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise TemplateError(f"{path}:1: cannot be read: {error}") from error


def _included(name: str, path: Path, texts: Texts) -> str:
    """A part shared by MJML templates, on one line, so that lines are still those of the file. MJML's own include reads any file."""
    if name not in texts:
        raise TemplateError(f"{path}:1: <mj-include>: there is no template {name}")
    return " ".join(texts[name][0].split("\n"))


def _write(path: Path, text: str) -> None:
    """Whole or not at all: another process may read it meanwhile."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile("w", encoding="utf-8", dir=path.parent, delete=False) as file:
        file.write(text)
    Path(file.name).replace(path)


def _place(error: Exception, template: jinja2.Template) -> str:
    """File, line, tag and what is wrong, of an error while rendering: Jinja puts the lines of its templates into the traceback."""
    path, line, source = str(template.filename), 1, ""
    for frame, number in traceback.walk_tb(error.__traceback__):
        if "__jinja_exception__" in frame.f_globals:
            path, line = frame.f_code.co_filename, number
    if path == template.filename and template.name and template.environment.loader:
        source = template.environment.loader.get_source(template.environment, template.name)[0]
    row = [*source.split("\n"), *[""] * line][line - 1]
    tags = [(int(origin), tag) for origin, tag in _ORIGIN.findall(row)] or [(line, tag) for tag in _TAG.findall(row)]
    names = set(_QUOTED.findall(str(error)))
    line, tag = next(((origin, tag) for origin, tag in tags if names & set(_WORD.findall(tag))), (tags or [(line, "")])[0])
    return f"{path}:{line}: {f'{tag}: ' if tag else ''}{error}"


class _KeptCode(jinja2.FileSystemBytecodeCache):
    """Compiled Jinja on the disk. A cache that cannot be read or written costs time, nothing else."""

    def load_bytecode(self, bucket: Bucket) -> None:
        try:
            super().load_bytecode(bucket)
        except (OSError, EOFError, TypeError, ValueError, UnpicklingError):  # unreadable, or cut short by a full disk
            bucket.reset()

    def dump_bytecode(self, bucket: Bucket) -> None:
        with suppress(OSError):
            Path(self.directory).mkdir(parents=True, exist_ok=True)
            super().dump_bytecode(bucket)


def _environment(cache_dir: Path | None, *, sandboxed: bool) -> jinja2.Environment:
    kind = ImmutableSandboxedEnvironment if sandboxed else jinja2.Environment
    environment = kind(
        autoescape=lambda name: name is None or not name.endswith(".txt.j2"),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
        bytecode_cache=_KeptCode(str(cache_dir), f"%s-{_fingerprint(kind.__name__)}.jinja") if cache_dir else None,
    )
    environment.code_generator_class = LeanCode
    environment.filters[kept_by.__name__] = kept_by
    return environment


# ---------------------------------------------------------------- MJML to Jinja


def compile_mjml(text: str, place: str) -> str:
    """A Jinja template in HTML from one in MJML. Jinja's tags are shielded while MJML and css-inline work: the one escapes what stands
    in them, the other moves them out of tables. Before each tag a comment says the line it came from. Raises TemplateError when MJML
    refuses the text or a tag was lost on the way."""
    from mjml import mjml_to_html  # here: 0.2 s that a kept template does not pay

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
    return _TOKEN.sub(lambda match: _with_origin(*tags[match.group(1) or match.group(2)]), html)


def _with_origin(tag: str, line: int) -> str:
    """The comment takes over the tag's sign, which says what becomes of the space before it."""
    return tag if tag.startswith("{#") else f"{{#{tag[2] if tag[2] in '+-' else ''}{line}#}}{tag}"


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
