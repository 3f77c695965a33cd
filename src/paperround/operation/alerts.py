"""Room: alerts. What the administrator has to know, found in facts, and the words it is told in (pure)."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from itertools import zip_longest
from typing import Any

from paperround.models import DeliveryState, SourceState
from paperround.pipeline.status import HARMFUL, WORRYING
from paperround.pipeline.watch import DAY, MANY, Facts, Finding, Judgement
from paperround.sources.health import WEEKS, days_back, health_of

FEWEST_COMPLAINTS = 2  # one reader's slip is no rate
Group = tuple[str, list[str], str]  # heading, lines, advice
SURPRISE = 0.01  # an empty day is told where chance would bring it more rarely than this
SEVERAL = 5  # entries of all sources together
NAMED = 10  # lines under one heading of a mail
ABOUT_ALL = "all"
# What each kind is called, and what to do about it.
KINDS: Mapping[str, tuple[str, str]] = {
    "no-issue": (
        "Readers who were due and have no issue",
        "Composing does not keep up or fails. See `paperround status` and the log of `serve`; `paperround compose` makes the issues now.",
    ),
    "mail-failed": (
        "Issues that were refused",
        "`paperround explain delivery EMAIL` shows the server's answer. An address that is gone is suppressed by itself; "
        "after a refusal by policy, `paperround doctor` looks at DNS and relay.",
    ),
    "mail-doubtful": (
        "Issues of which nobody knows whether they arrived",
        "The connection broke between the mail's end and the server's answer. `paperround deliver --resend-in-doubt` sends them "
        "again under the same Message-ID; a reader may then have an issue twice.",
    ),
    "mail-stuck": (
        "Issues that a server keeps putting off",
        "They are tried for four days. `paperround explain delivery EMAIL` shows the server's answer.",
    ),
    "queue": (
        "What waits and does not move",
        "`paperround status` counts what waits. Is `paperround serve` or a worker running, and can the relay be reached? A quota "
        "([delivery] per_hour, per_day) that is too small also ends here.",
    ),
    "step": (
        "Steps that were stopped",
        "The text says why. A fault of ours at the relay (login, sender, policy) stops a run before readers are harmed: "
        "`paperround doctor` names what to change. What was queued goes by itself once it is mended.",
    ),
    "nothing-new": (
        "Nothing came in",
        "All sources together brought nothing where they always do. Is the network there? `paperround sources check URL` asks one of them.",
    ),
    "empty-issues": (
        "Issues without an item",
        "Everybody's issue was empty where it seldom is. `paperround sources list` tells what came in, `paperround status` what waits to "
        "be embedded, `paperround explain match EMAIL WORK` how one reader and one work meet.",
    ),
    "source-ended": (
        "Sources that are no longer asked",
        "The server said that the feed is gone, or it failed for a fortnight. Find its new address and `paperround sources add` it, or "
        "`paperround sources remove` it.",
    ),
    "source-failing": (
        "Sources that fail",
        "They are asked again, ever more rarely, and given up after 14 days. `paperround sources check URL` shows what they answer.",
    ),
    "source-silent": (
        "Sources whose silence is unlike them",
        "Their pages answer but bring nothing new. Look whether the feed moved or changed its form.",
    ),
    "complaints": (
        "Too many readers call it spam",
        "Send no more to people who did not ask: look at where the addresses came from, and at `paperround suppressions list`. Large "
        "providers ask for less than 0.1 % and turn mail away at 0.3 %.",
    ),
}


def findings(facts: Facts) -> list[Finding]:
    """Every matter that needs somebody, in the order of KINDS; where more than MANY share a kind, one finding speaks for all."""
    found = [*_readers(facts), *_machinery(facts), *_sources(facts), *_complaints(facts)]
    counts, order = Counter(each.kind for each in found), list(KINDS)
    kept = [each for each in found if counts[each.kind] <= MANY]
    kept += [_of_many([each for each in found if each.kind == kind]) for kind, count in counts.items() if count > MANY]
    return sorted(kept, key=lambda each: order.index(each.kind))


def _of_many(several: Sequence[Finding]) -> Finding:
    return Finding(kind=several[0].kind, about=ABOUT_ALL, text=f"more than {MANY}, among them: {several[0].text}")


def _readers(facts: Facts) -> Iterator[Finding]:
    for reader in facts.overdue:
        name, due = reader.email or reader.public_id, reader.next_due_at or facts.now
        yield Finding(kind="no-issue", about=str(reader.id), text=f"{name} was due at {_told(due)}")
    kinds = {DeliveryState.FAILED: "mail-failed", DeliveryState.IN_DOUBT: "mail-doubtful", DeliveryState.DEFERRED: "mail-stuck"}
    latest = {(kinds[mail.state], mail.subscriber_id): mail for mail in reversed(facts.late)}
    for (kind, reader_id), mail in latest.items():
        text = f"{mail.recipient}, issue of {_told(mail.created_at)}: {mail.reply or 'no answer'}"
        yield Finding(kind=kind, about=str(reader_id), text=text)


def _machinery(facts: Facts) -> Iterator[Finding]:
    faults: dict[str, list[str]] = {}
    for run in facts.runs:
        if run.fault:
            faults.setdefault(run.step, []).append(f"{run.fault} ({_told(run.at)})")
    for step, lines in faults.items():
        times = f"{len(lines)} times in a day, the last time" if len(lines) > 1 else "once in a day"
        yield Finding(kind="step", about=step, text=f"{step} was stopped {times} by: {lines[-1]}")
    worked = any(run.step == "embed" and not run.fault for run in facts.runs if facts.now - run.at < DAY / 4)
    for name, waiting in facts.backlogs.items():
        if name != "works" or not worked:  # embedding that goes on, however slowly, is no standstill
            kind = {"mails": "mails in the outbox", "works": "works without vectors"}.get(name, name)
            yield Finding(kind="queue", about=name, text=f"{waiting.count} {kind}, the oldest since {_told(waiting.oldest)}")
    if line := _all_empty(facts):
        yield Finding(kind="empty-issues", about=ABOUT_ALL, text=line)


def _all_empty(facts: Facts) -> str | None:
    """A day on which every issue was empty, where on the same day of each of the last weeks most were not. A share is estimated with one
    full and one empty issue more than were seen (the rule of succession), so that little history tells little."""
    by_day = [[0, 0] for _ in range(7 * WEEKS)]
    for moment, issues, full in facts.yields:
        if 0 <= (back := (facts.now - moment) // DAY) < len(by_day):
            by_day[back][0] += issues
            by_day[back][1] += full
    (today, full_today), before = by_day[0], by_day[7::7]
    usual = min((full + 1) / (issues + 2) for issues, full in before)
    if not today or full_today or usual <= 0.5 or (1 - usual) ** today >= SURPRISE:
        return None
    return f"all {today} issues of the last day; on the same day of the last weeks at least {usual:.0%} had items"


def _sources(facts: Facts) -> Iterator[Finding]:
    nothing = _nothing_new(facts)
    if nothing:
        yield Finding(kind="nothing-new", about=ABOUT_ALL, text=nothing)
    for source in facts.sources:
        health = health_of(source, facts.arrivals.get(source.id, ()), facts.now)
        ended = source.state is not SourceState.ACTIVE
        kind = "source-ended" if ended else "source-failing" if source.error else "source-silent"
        if health.sure and not (nothing and kind == "source-silent"):
            yield Finding(kind=kind, about=str(source.id), text=f"{source.name} {health.concern}")


def _nothing_new(facts: Facts) -> str | None:
    """A day on which no source brought anything, where on the same day of the last weeks they always brought several entries."""
    together = [0] * 7 * WEEKS
    for source in facts.sources:
        counts = days_back(source, facts.arrivals.get(source.id, ()), facts.now)
        together = [one + other for one, other in zip_longest(together, counts, fillvalue=0)]
    if len(facts.sources) < 2 or together[0] or min(together[7::7]) < SEVERAL:
        return None
    return f"none of {len(facts.sources)} sources in the last day; on the same day of the last weeks it was {_listed(together[7::7])}"


def _listed(counts: Sequence[int]) -> str:
    return ", ".join(map(str, counts))


def _complaints(facts: Facts) -> Iterator[Finding]:
    rate = facts.complaints / facts.sent if facts.sent else 0.0
    if facts.complaints >= FEWEST_COMPLAINTS and rate >= WORRYING:
        line = f"{facts.complaints} of {facts.sent} mails of 30 days were called spam: {rate:.2%}"
        yield Finding(kind="complaints", about="harmful" if rate >= HARMFUL else "worrying", text=line)


def _told(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d %H:%M} UTC"


# ---------------------------------------------------------------- the mails


def alert_mail(new: Sequence[Finding], standing: Sequence[Finding]) -> dict[str, Any]:
    """The words of a mail about new findings; what was told before and still stands follows in short. Values of the notice template."""
    subject = f"Paperround needs you: {new[0].text}" if len(new) == 1 else f"Paperround needs you: {len(new)} matters"
    groups = [_group(KINDS[kind][0], [each.text for each in new if each.kind == kind], KINDS[kind][1]) for kind in _kinds(new)]
    if standing:
        groups.append(_group("Told before, and still so", [each.text for each in standing], ""))
    lines = ["Each matter is told once; again only when it was over in between, or after a week."]
    return {"subject": subject, "heading": f"{_counted(len(new), 'matter')} that {'need' if len(new) > 1 else 'needs'} somebody",
            "lines": lines, "groups": groups}  # fmt: skip


def _kinds(several: Sequence[Finding]) -> list[str]:
    return list(dict.fromkeys(each.kind for each in several))


def _group(heading: str, lines: Sequence[str], advice: str) -> Group:
    more = [f"and {len(lines) - NAMED} more"] if len(lines) > NAMED else []
    return heading, [*lines[:NAMED], *more], advice


def health_mail(facts: Facts) -> dict[str, Any]:
    """The weekly words on the sources: those with a concern first, then what each brought in the last week."""
    judged = [(source, health_of(source, facts.arrivals.get(source.id, ()), facts.now).concern) for source in facts.sources]
    week = facts.now - timedelta(days=7)
    counts = {source.id: sum(n for at, n in facts.arrivals.get(source.id, ()) if at > week) for source in facts.sources}
    troubled = [f"{source.name} {concern}" for source, concern in judged if concern]
    well = sorted((source for source, concern in judged if not concern), key=lambda source: (-counts[source.id], source.name))
    groups = [_group("To look at", troubled, KINDS["source-failing"][1])] if troubled else []
    groups.append(("New entries of the week", [f"{source.name}: {counts[source.id]}" for source in well], ""))
    heading = f"{_counted(len(judged), 'source')}, {len(troubled)} to look at" if troubled else "All sources are well"
    lines = [f"Together they brought {_counted(sum(counts.values()), 'new entry', 'new entries')} in the last seven days."]
    return {
        "subject": f"Paperround's sources this week: {heading[0].lower()}{heading[1:]}",
        "heading": heading,
        "lines": lines,
        "groups": groups,
    }


def _counted(count: int, one: str, many: str | None = None) -> str:
    return f"{count} {one if count == 1 else many or one + 's'}"


RULES = Judgement(findings=findings, alert=alert_mail, health=health_mail)
