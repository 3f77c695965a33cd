"""Room: catalogues. What is said to readers, in their language, by the gettext catalogues that come with the program (pure)."""

import pkgutil
from collections.abc import Callable
from functools import lru_cache
from gettext import GNUTranslations, NullTranslations
from io import BytesIO

from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po

LANGUAGES = ("en", "de", "fr")  # English is the source; the others lie as catalogues/LANGUAGE.po among the bundled files


class Speech:
    """The words of one language. As a template's `_` it is called with an English message, and with values for the {names} in it."""

    def __init__(self, language: str, translations: NullTranslations) -> None:
        self.language, self._translations = language, translations

    def __call__(self, message: str, /, **values: object) -> str:
        said = self._translations.gettext(message)
        return said.format(**values) if values else said

    def ngettext(self, one: str, many: str, count: int, /, **values: object) -> str:
        """The form for so many things; `{count}` is the number unless `values` says it otherwise, for instance in words."""
        return self._translations.ngettext(one, many, count).format(**{"count": count, **values})

    @property
    def functions(self) -> dict[str, Callable[..., str]]:
        """What templates call, by the names that babel extracts messages by: `render(…, **speech(language).functions)`."""
        return {"_": self, "ngettext": self.ngettext}


def spoken(language: str) -> str:
    """The language tag as it is where there is a catalogue for it (`de-AT` reads that of `de`), else `en`: dates and texts agree."""
    return language if _base(language) in LANGUAGES else "en"


@lru_cache(maxsize=64)
def speech(language: str) -> Speech:
    """The words of a language tag; English where there is no catalogue for it."""
    return Speech(spoken(language), _translations(_base(spoken(language))))


def _base(language: str) -> str:
    return language.replace("_", "-").partition("-")[0].casefold()


@lru_cache(maxsize=len(LANGUAGES))
def _translations(base: str) -> NullTranslations:
    """Constants of the package, read once at the first use, as zoneinfo and Babel read theirs."""
    source = pkgutil.get_data("paperround", f"bundled/catalogues/{base}.po") if base != "en" else None
    if source is None:
        return NullTranslations()
    compiled = BytesIO()
    write_mo(compiled, read_po(BytesIO(source), locale=base))
    compiled.seek(0)
    return GNUTranslations(compiled)
