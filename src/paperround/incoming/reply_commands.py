"""Room: reply commands. What a mail from a reader asks for in plain words, whatever history and signature are quoted below."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime

from paperround.incoming import mail_parts
from paperround.incoming.phrases import PHRASES
from paperround.incoming.spoken_dates import WEEKDAYS, spoken_date, spoken_time
from paperround.models import Aware

LINES, COMMANDS = 40, 20  # a mail asks for a few things; more is no mail by a person

# ---------------------------------------------------------------- reading


@dataclass(frozen=True, slots=True, kw_only=True)
class IncomingMail(Aware):
    """A mail as far as it concerns us. Addresses are bare; identifiers without brackets."""

    sender: str | None
    to: tuple[str, ...]  # everyone it was addressed or delivered to, the local mail server's word first
    subject: str
    text: str  # without quoted history and signature
    message_id: str | None
    in_reply_to: tuple[str, ...]  # In-Reply-To, then References from the latest back
    automatic: bool  # written by a machine: obey nothing, answer nothing (RFC 3834)
    received_at: datetime


def read_mail(raw: bytes, *, now: datetime) -> IncomingMail:
    """The mail in `raw`; at most its first megabyte is read. Never raises: what cannot be read is empty, and automatic."""
    try:
        return _read(mail_parts.parse(raw), now)
    except Exception:  # whatever the standard library's parser was not written for: one mail must not stop an inbox
        return IncomingMail(sender=None, to=(), subject="", text="", message_id=None, in_reply_to=(), automatic=True, received_at=now)


def _read(message: mail_parts.Message, now: datetime) -> IncomingMail:
    sender = next(iter(mail_parts.mailboxes([mail_parts.header(message, "From")])), None)
    names = ("Delivered-To", "X-Original-To", "Envelope-To", "To", "Cc")
    to = mail_parts.mailboxes(value for name in names for value in mail_parts.headers(message, name))
    replied = re.findall(r"<([^<>\s]+)>", mail_parts.header(message, "In-Reply-To"))
    references = re.findall(r"<([^<>\s]+)>", mail_parts.header(message, "References"))
    own = re.search(r"<([^<>\s]+)>", mail_parts.header(message, "Message-ID"))
    return IncomingMail(
        sender=sender,
        to=tuple(to),
        subject=mail_parts.header(message, "Subject")[:500],
        text=own_words(_text(message)),
        message_id=own[1] if own else None,
        in_reply_to=tuple(dict.fromkeys(replied + references[::-1])),
        automatic=sender is None or mail_parts.is_automatic(message),
        received_at=now,
    )


_HTML_HISTORY = re.compile(
    r"<blockquote|<div[^>]+(gmail_quote|divRplyFwdMsg|appendonsend|yahoo_quoted|moz-cite-prefix|protonmail_quote)", re.I
)


def _text(message: mail_parts.Message) -> str:
    """The first plain text, else the first HTML up to where its history begins. Attachments are not read."""
    leaves = [part for part in mail_parts.parts(message) if not part.is_multipart() and part.get_content_disposition() != "attachment"]
    for part in leaves:
        if part.get_content_type() == "text/plain":
            return mail_parts.body(part)
    for part in leaves:
        if part.get_content_type() == "text/html":
            return mail_parts.plain(_HTML_HISTORY.split(mail_parts.decoded(part), maxsplit=1)[0])
    return ""


_ATTRIBUTION = re.compile(r"^(on\b.{4,200}\bwrote|am\b.{4,200}\bschrieb\b.{0,120}|le\b.{4,200}\ba écrit)\s*:$", re.I | re.S)
_ATTRIBUTION_LINE = re.compile(r"^.{4,120}<[^<>@\s]+@[^<>\s]+>.{0,40}(wrote|schrieb|a écrit)\s*:$", re.I)
_HISTORY = re.compile(
    r"^(-{2,} ?(original message|forwarded message|ursprüngliche nachricht|weitergeleitete nachricht|message d'origine|message transféré)\b"
    r"|_{10,}$|(from|von|de) ?: .+@|begin forwarded message)",
    re.I,
)
_SIGNATURE = re.compile(
    r"^(--|sent from my .{0,60}|get outlook for .{0,40}|von meinem .{0,40} gesendet|gesendet mit .{0,60}|envoyé de(puis)? mon .{0,60})\s*$",
    re.I,
)


def own_words(text: str) -> str:
    """What the writer of a reply wrote: no quoted lines, nothing after a mail client's history or signature mark."""
    kept: list[str] = []
    lines = [line.strip() for line in text.replace("\xa0", " ").splitlines()[:2000]]
    at = 0
    while at < len(lines) and not _SIGNATURE.match(lines[at]) and not _HISTORY.match(lines[at]):
        if span := _attribution(lines, at):
            at += span
            if not next((line for line in lines[at:] if line), "").startswith(">"):
                break  # history without marks: nothing below can be told from it
            continue
        if not lines[at].startswith((">", "|>")):
            kept.append(lines[at])
        at += 1
    return "\n".join(kept).strip()


def _attribution(lines: list[str], at: int) -> int:
    """How many lines a "On …, … wrote:" takes that begins here; clients wrap it. 0 = none begins here."""
    if _ATTRIBUTION_LINE.match(lines[at]):
        return 1
    return next((span for span in (1, 2, 3) if _ATTRIBUTION.match(" ".join(lines[at : at + span]))), 0)


# ---------------------------------------------------------------- asking


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """One wish. `kind`: subscribe, confirm, more, less, why, pause, resume, schedule, interests, feed, know, stop, undo or help.

    `number`: which item (more, less, undo, why). `argument`: the schedule as far as it was said ("weekly friday 08:00", "daily"; see
    `completed_schedule`), or the end of a pause that could not be read. `items`: the interests. `until`: the day a pause ends."""

    kind: str
    number: int | None = None
    argument: str = ""
    items: tuple[str, ...] = ()
    until: date | None = None


_POLITE = re.compile(
    r"^(hi|hello|hey|dear|hallo|bonjour|salut|guten tag|moin)\b[^,.!?:]{0,30}[,.!]+\s*"
    r"|\b(please|pls|could you|can you|i'd like( to)?|i would like( to)?|i want( to)?|many thanks|thank you|thanks|cheers"
    r"|bitte|ich möchte|ich hätte gern|danke( schön)?|s'il (vous|te) pla[iî]t|svp|merci|je (voudrais|veux|souhaite))\b",
    re.I,
)
_INTERESTS = re.compile(
    r"^(?:my |meine |mes )?(?:new )?(?P<what>interests?|topics?|interessen?|themen|intérêts?|centres d'intérêt|sujets?"
    r"|subscribe(?: me)?(?: to)?|abonnier(?:e|en)|abonner)"
    r"(?: (?:are|is|sind|sont))? ?(?P<rest>:.*|$)",
    re.I,
)


def commands(text: str, *, now: datetime, language: str = "en") -> list[Command]:
    """What a reader's own words (see `own_words`) ask for, in their order; [] where nothing is understood. Never raises.

    All languages are understood whatever `language` is; it decides how 3/1 is read. `now`, in the reader's zone, gives dates their year."""
    found: list[Command] = []
    lines = [" ".join(line.split()) for line in text.replace("’", "'").splitlines()][:LINES]
    for at, line in enumerate(lines):
        if heading := _INTERESTS.match(line):
            found.append(_interests(heading, lines[at + 1 :]))
            if not heading["rest"].strip(": "):
                break  # the list goes on below
            continue
        for clause in _clauses(line):
            found += _understood(clause, now, language)
    return list(dict.fromkeys(found))[:COMMANDS]


_LANGUAGES = {  # words that greet, ask and join, and that English does not have
    "de": re.compile(r"\b(?:abonnier\w*|interessen|themen|hallo|guten tag|bitte|danke|ich|und|für)\b", re.I),
    "fr": re.compile(r"\b(?:abonne[rz]|intérêts?|bonjour|merci|voudrais|veuillez|je|des|les|pour)\b", re.I),
}


def language_of(text: str) -> str | None:
    """The language that a mail speaks beside English, where its small words tell."""
    hits = {language: len(words.findall(text)) for language, words in _LANGUAGES.items()}
    return max(hits, key=hits.__getitem__) if any(hits.values()) else None


def interests(text: str) -> tuple[str, ...]:
    """The interests in the body of a mail to the subscribe address: one a line (bullets, greetings aside), or one line split at ; or ,"""
    lines = [re.sub(r"^\s*(?:[-*•–]|\d{1,2}[.)])\s+", "", line).strip() for line in text.splitlines()[:LINES]]
    heading = next((found for line in lines if (found := _INTERESTS.match(line)) and found["rest"].strip(": ")), None)
    if heading is not None:
        return _split(heading["rest"])
    kept = [line for line in lines if line and not _INTERESTS.match(line) and _POLITE.sub("", line + ",").strip(" ,.!")]
    return _split(kept[0]) if len(kept) == 1 else tuple(line[:300] for line in kept[:COMMANDS])


def _interests(heading: re.Match[str], below: list[str]) -> Command:
    kind = "subscribe" if heading["what"].lower().startswith(("subscribe", "abon")) else "interests"
    rest = heading["rest"].strip(": ")
    return Command(kind=kind, items=_split(rest) if rest else interests("\n".join(below)))


def _split(line: str) -> tuple[str, ...]:
    at = ";" if ";" in line else ","
    return tuple(dict.fromkeys(part.strip(" .:\"'")[:300] for part in line.split(at) if part.strip(" .:\"'")))[:COMMANDS]


def _clauses(line: str) -> Iterator[str]:
    """The parts of a line that may each be a wish: sentences, and commas only where a new verb follows."""
    for sentence in re.split(r"[;!?]+|\.(?= |$)(?<!\d\.)(?<!no\.)(?<!nr\.)", _POLITE.sub(" ", line)):
        for clause in re.split(r",? (?:and|und|et|then|but|aber|mais) (?=\D)|, ?(?=[^\d ])", sentence):
            if bare := " ".join(clause.split()).strip(" ,.:-\"'"):
                yield bare


def _understood(clause: str, now: datetime, language: str) -> list[Command]:
    for kind, pattern in PHRASES:
        if (found := pattern.fullmatch(clause)) is None:
            continue
        groups = found.groupdict()
        if "numbers" in groups:
            return [Command(kind=kind, number=int(number)) for number in re.findall(r"\d+", groups["numbers"] or "")]
        if "until" in groups:
            return _pause((groups["until"] or "").strip(), now, language)
        if "schedule" in groups:
            return [Command(kind=kind, argument=wanted)] if (wanted := _schedule(clause)) else []
        return [Command(kind=kind)]
    return []


_UNTIL = re.compile(r"(until|till|til|for|from|to|bis|für|ab|jusqu'?(au|à|aux)?|pendant|pour|du)\b", re.I)


def _pause(words: str, now: datetime, language: str) -> list[Command]:
    until = spoken_date(words, today=now.date(), language=language) if words else None
    if words and until is None and not _UNTIL.match(words):
        return []
    return [Command(kind="pause", argument="" if until else words, until=until)]


# ---------------------------------------------------------------- schedules


_RHYTHMS = (
    (
        "weekdays",
        r"weekday|workday|werktag|werktäglich|en semaine|jours ouvr|monday (?:to|through|-) friday|montag bis freitag|lundi au vendredi",
    ),
    ("monthly", r"month|monat|mois|mensuel"),
    ("daily", r"daily|every ?day|each day|täglich|jeden tag|quotidien|tous les jours|chaque jour|once a day|einmal am tag"),
    ("weekly", r"week|woche|wöchentlich|semaine|hebdomadaire"),
)


_DAY_OF_MONTH = re.compile(
    r"\b(?:monthly|monatlich|mensuel\w*|day|the|am|tag|le|jour) ([1-9]|[12]\d|3[01])(?:st|nd|rd|th)?\b(?![:.h]\d| ?(?:uhr|am|pm|h)\b)"
)


def _schedule(words: str) -> str | None:
    """The rhythm, day and time that were said, in the order of a profile file's schedule; None where it is none."""
    words = words.lower()
    day = next((name for name, pattern in WEEKDAYS if re.search(pattern, words)), None)
    rhythm = next((name for name, pattern in _RHYTHMS if re.search(pattern, words)), "weekly" if day else None)
    if rhythm is None:
        return None
    of_month = _DAY_OF_MONTH.search(words)
    named = {"weekly": day, "monthly": of_month and of_month[1]}.get(rhythm)
    return " ".join(part for part in (rhythm, named, spoken_time(words)) if part)


def completed_schedule(wanted: str, current: str) -> str:
    """What was said (`Command.argument`) as a whole schedule: the time, and day where both have one, stay as they are now."""
    said, now = wanted.split(), current.split()
    clock = next((part for part in said[1:] + now if ":" in part), "07:30")
    kept = {part for part in said[1:] if ":" not in part} or {part for part in now[1:-1] if now[0] == said[0]}
    day = next(iter(kept), {"weekly": "monday", "monthly": "1"}.get(said[0], ""))
    return " ".join(part for part in (said[0], day if said[0] in ("weekly", "monthly") else "", clock) if part)
