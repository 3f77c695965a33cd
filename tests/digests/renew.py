"""Renews what is kept beside the mails: message catalogues, golden files, pictures.

python tests/digests/renew.py catalogues   # messages new in sources and templates come into the .po files, untranslated
python tests/digests/renew.py golden       # then read `git diff tests/digests/golden`: it is what readers will see otherwise
python tests/digests/renew.py pictures     # of every kind, into out/pictures; needs Chromium
"""

import ast
import importlib.util
import io
import shutil
import sys
from collections.abc import Iterator, Mapping
from html import escape
from pathlib import Path
from types import ModuleType

from babel.messages.catalog import Catalog
from babel.messages.extract import extract_from_dir
from babel.messages.pofile import read_po, write_po

from paperround.bundled_files import bundled
from paperround.digests.catalogues import LANGUAGES
from paperround.digests.mail_content import MailContent, render_issue, render_short
from paperround.digests.template_loader import TemplateLoader, Templates

ROOT, GOLDEN = Path(__file__).resolve().parents[2], Path(__file__).with_name("golden")
CATALOGUES = ROOT / "src" / "paperround" / "bundled" / "catalogues"
TRANSLATED = tuple(language for language in LANGUAGES if language != "en")
HEADER = """\
# What Paperround says to readers, in {kept.locale.english_name}.
msgid ""
msgstr ""
"Language: {kept.locale}\\n"
"Plural-Forms: {kept.plural_forms}\\n"
"MIME-Version: 1.0\\n"
"Content-Type: text/plain; charset=utf-8\\n"
"Content-Transfer-Encoding: 8bit\\n"

"""
PALETTES, WIDTHS = ("light", "dark"), (375, 640)


def module(name: str) -> ModuleType:
    """A module beside this file; pytest's importlib mode has no path to import siblings by."""
    known = f"paperround_tests_digests_{name}"
    if known not in sys.modules:
        spec = importlib.util.spec_from_file_location(known, Path(__file__).with_name(f"{name}.py"))
        assert spec is not None
        assert spec.loader is not None
        sys.modules[known] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(sys.modules[known])
    return sys.modules[known]


# ---------------------------------------------------------------- catalogues


def messages() -> Catalog:
    """Every message that sources and templates say."""
    found = Catalog()
    for path in sorted((ROOT / "src").rglob("*.py")):
        for message in said(ast.parse(path.read_text(encoding="utf-8"))):
            found.add(message)
    for each in extract_from_dir(ROOT / "templates", [("**.j2", "jinja2")], {"**.j2": {"encoding": "utf-8"}}):
        found.add(each[2])
    return found


def said(tree: ast.AST) -> Iterator[str | tuple[str, ...]]:
    """What `_("…")`, `speech(language)("…")` and `….ngettext("…", "…", n)` say."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            words = tuple(each.value for each in node.args if isinstance(each, ast.Constant) and isinstance(each.value, str))
            function = node.func.func if isinstance(node.func, ast.Call) else node.func
            name = getattr(function, "id", getattr(function, "attr", ""))
            if name == "ngettext" and len(words) == 2:
                yield words
            elif words and (name == "_" or (name == "speech" and function is not node.func)):
                yield words[0]


def catalogue(language: str) -> Catalog:
    with (CATALOGUES / f"{language}.po").open("rb") as file:
        return read_po(file, locale=language)


def renew_catalogues() -> None:
    for language in TRANSLATED:
        kept = catalogue(language) if (CATALOGUES / f"{language}.po").exists() else Catalog(locale=language)
        kept.update(messages(), no_fuzzy_matching=True)
        kept.obsolete.clear()
        written = io.BytesIO()
        write_po(written, kept, width=120, sort_output=True, no_location=True, omit_header=True)
        (CATALOGUES / f"{language}.po").write_bytes(HEADER.format(kept=kept).encode() + written.getvalue())


# ---------------------------------------------------------------- golden files


def mails(templates: Templates, language: str) -> Iterator[tuple[str, MailContent]]:
    """A mail of every kind, by name."""
    samples, kinds = module("samples"), module("kinds")
    for name, (digest, subscriber, identity, links) in kinds.issues(samples, language).items():
        yield name, render_issue(templates, digest, subscriber, identity, links, now=samples.NOW, strength_word=samples.strength_word)
    for name, values in kinds.short(samples).items():
        yield name, render_short(templates, name, values, samples.identity(), language)


def golden(templates: Templates) -> Mapping[str, str]:
    """File names and what they hold: of every kind in each language HTML, and text under its subject and preheader."""
    found = {}
    for language in LANGUAGES:
        for name, content in mails(templates, language):
            found[f"{name}.{language}.html"] = content.html.rstrip("\n") + "\n"
            found[f"{name}.{language}.txt"] = f"{content.subject}\n{content.preheader}\n\n{content.text.rstrip()}\n"
    return found


def renew_golden() -> None:
    shutil.rmtree(GOLDEN, ignore_errors=True)
    GOLDEN.mkdir()
    for name, text in golden(TemplateLoader([bundled("templates")]).load()).items():
        (GOLDEN / name).write_text(text, encoding="utf-8")


# ---------------------------------------------------------------- pictures


def renew_pictures() -> None:
    """Every kind in each language, width and palette, without images; and the README's, one issue in both palettes."""
    from playwright.sync_api import sync_playwright

    out, templates = ROOT / "out" / "pictures", TemplateLoader([bundled("templates")]).load()
    out.mkdir(parents=True, exist_ok=True)
    made = {f"{name}.{language}": content.html for language in LANGUAGES for name, content in mails(templates, language)}
    path = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    with sync_playwright() as running:
        browser = running.chromium.launch(executable_path=path, args=["--no-sandbox", "--disable-gpu", "--disable-background-networking"])
        for palette in PALETTES:
            for width in WIDTHS:
                page = browser.new_page(color_scheme=palette, viewport={"width": width, "height": 300})
                page.route("**/*", lambda route: route.abort())  # images off
                for name, html in made.items():
                    page.set_content(html)
                    page.screenshot(path=out / f"{name}.{width}.{palette}.png", full_page=True)
                page.close()
        page = browser.new_page(viewport={"width": 1240, "height": 1375})
        page.set_content(side_by_side(made["three.en"]))
        page.screenshot(path=ROOT / "docs" / "pictures" / "digest.png")
        browser.close()


def side_by_side(html: str) -> str:
    """A page of a mail in the light and in the dark: a frame cannot be told which it prefers."""
    dark = html.replace("@media (prefers-color-scheme: dark)", "@media all")
    frame = '<iframe srcdoc="{}" style="border:0;width:620px;height:1375px;float:left" scrolling="no"></iframe>'
    return f'<body style="margin:0">{"".join(frame.format(escape(each)) for each in (html, dark))}'


if __name__ == "__main__":
    {"catalogues": renew_catalogues, "golden": renew_golden, "pictures": renew_pictures}[sys.argv[1]]()
