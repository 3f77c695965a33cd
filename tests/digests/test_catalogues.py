"""What readers are told is told in each language whole."""

import re
from datetime import timedelta
from string import Formatter
from types import ModuleType

import pytest
from babel.messages.catalog import Catalog

from paperround.digests.catalogues import LANGUAGES, speech, spoken
from paperround.digests.refusals import refusal
from paperround.digests.wording import rhythm
from paperround.errors import AlreadyExistsError, ConsentError, ProfileError
from paperround.incoming.reply_commands import commands, completed_schedule
from paperround.models import ConsentState
from paperround.pipeline.reply_answers import reply_words
from paperround.subscribers.profile_values import CHECKS

TRANSLATED = [language for language in LANGUAGES if language != "en"]


@pytest.fixture(scope="module")
def messages(renew: ModuleType) -> Catalog:
    found = renew.messages()
    assert len(found) > 80
    return found  # type: ignore[no-any-return]  # of a module loaded by path


def fields(text: str) -> set[str]:
    return {name for _, name, _, _ in Formatter().parse(text) if name is not None}


@pytest.mark.parametrize("language", TRANSLATED)
def test_every_message_is_translated_and_none_is_left_over(language: str, messages: Catalog, renew: ModuleType) -> None:
    kept = {message.id: message for message in renew.catalogue(language) if message.id}
    said = {message.id for message in messages if message.id}
    hint = "python tests/digests/renew.py catalogues, then translate"
    assert said - set(kept) == set(), hint
    assert set(kept) - said == set(), hint
    forms = {key: message.string if isinstance(message.string, tuple) else (message.string,) for key, message in kept.items()}
    assert [key for key, several in forms.items() if not all(several)] == []
    assert [key for key, message in kept.items() if message.fuzzy] == []


@pytest.mark.parametrize("language", TRANSLATED)
def test_translations_fill_in_the_same_values(language: str, renew: ModuleType) -> None:
    """A singular may leave a number out; nothing may name a value that is not given."""
    for message in renew.catalogue(language):
        if message.id:
            sources = message.id if isinstance(message.id, tuple) else (message.id,)
            given = set().union(*map(fields, sources))
            for form in message.string if isinstance(message.string, tuple) else (message.string,):
                assert fields(form) <= given, message.id
            assert fields(message.string[-1] if isinstance(message.string, tuple) else message.string) == fields(sources[-1]), message.id


@pytest.mark.parametrize("language", TRANSLATED)
def test_numbers_up_to_twelve_have_a_word_each(language: str) -> None:
    assert len(speech(language)("one two three four five six seven eight nine ten eleven twelve").split()) == 12


def test_a_dialect_reads_the_catalogue_of_its_language_and_others_are_english() -> None:
    assert speech("de-AT")("today") == speech("de_CH")("today") == speech("de")("today") == "heute"
    assert [spoken(tag) for tag in ("de-AT", "en-US", "ar", "", "../de")] == ["de-AT", "en-US", "en", "en", "en"]
    assert speech("pt-BR")("today") == "today"


def test_plural_forms_follow_the_language() -> None:
    votes = {language: [speech(language).ngettext("{count} vote", "{count} votes", n) for n in (0, 1, 2)] for language in LANGUAGES}
    assert votes == {
        "en": ["0 votes", "1 vote", "2 votes"],
        "de": ["0 Stimmen", "1 Stimme", "2 Stimmen"],
        "fr": ["0 vote", "1 vote", "2 votes"],
    }


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_reply_words_that_a_mail_teaches_are_understood(language: str, samples: ModuleType) -> None:
    _ = speech(language)
    said = [_("more {item}", item=1), _("less {item}", item=1), _("pause until Monday"), _("stop"), _("yes")]
    found = [commands(words, now=samples.NOW, language=language) for words in said]
    assert [[each.kind for each in several] for several in found] == [["more"], ["less"], ["pause"], ["stop"], ["confirm"]]
    assert found[2][0].until is not None
    assert samples.NOW.date() < found[2][0].until <= samples.NOW.date() + timedelta(days=7)
    assert found[2][0].until.weekday() == 0


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_words_that_an_answer_teaches_are_understood(language: str, samples: ModuleType) -> None:
    taught = [words for line in reply_words(language) for words in line.partition(" — ")[0].split(" · ")]
    kinds = [each.kind for words in taught for each in commands(words, now=samples.NOW, language=language)]
    schedules = ["schedule"] * 4
    assert kinds == ["more", "less", "undo", "why", "pause", "resume", *schedules, "interests", "feed", "know", "stop"]


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("before", ["daily 06:05", "weekdays 07:30", "weekly sunday 18:00", "monthly 15 08:00", "monthly 1 23:59"])
def test_the_words_that_undo_a_change_bring_the_old_schedule_back(language: str, before: str, samples: ModuleType) -> None:
    told, words = rhythm(before, language)
    (command,) = commands(words, now=samples.NOW, language=language)
    assert {completed_schedule(command.argument, current) for current in ("weekly friday 09:00", "monthly 3 10:00", "off")} == {before}
    assert before.split()[-1] in told


@pytest.mark.parametrize("language", LANGUAGES)
def test_whatever_a_form_refuses_is_told_in_a_sentence(language: str) -> None:
    keys = [*CHECKS, "until", "email", "erase"]
    told = {key: refusal(ProfileError("page", key, "is wrong"), language) for key in keys if key not in ("empty", "explore")}
    assert [key for key, sentence in told.items() if "is wrong" in sentence or not sentence.endswith(".")] == []
    kinds = [refusal(ConsentError("no"), language, state) for state in (ConsentState.PENDING, ConsentState.UNSUBSCRIBED)]
    assert len({*kinds, refusal(AlreadyExistsError("there"), language)}) == 3


def test_no_message_hides_from_extraction(renew: ModuleType) -> None:
    """A name of its own for the words of a language is `_` or none: whatever else is called with a sentence is not found."""
    for path in (renew.ROOT / "src").rglob("*.py"):
        text = path.read_text(encoding="utf-8")
        assert not re.findall(r"(?m)^\s+(?!_\b)(\w+) = speech\([^()]*\)$", text), path
