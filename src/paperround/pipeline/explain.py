"""Explain: why a work did or did not match, and why a mail was or was not sent, from what is stored."""

from datetime import date, datetime
from typing import Any

from paperround.digests import selection, wording
from paperround.digests.catalogues import Speech, speech
from paperround.digests.due_dates import period_of
from paperround.errors import NotFoundError
from paperround.matching import scoring
from paperround.matching.learned import learned
from paperround.models import Delivery, Digest, Subscriber
from paperround.pipeline.interfaces import Storage
from paperround.pipeline.readers import load_background, load_readers


async def explain_match(
    storage: Storage, model: str, subscriber: Subscriber, reference: str, *, now: datetime, language: str = "en"
) -> dict[str, Any]:
    """Score, strength, reason and parts of one work for one subscriber, and whether it could be in an issue now. Raises NotFoundError."""
    _ = speech(language)
    work = await storage.find_work(reference)
    ids, vectors = await storage.work_vectors(model, [work.id])
    if not ids:
        raise NotFoundError(f"{work.title!r} is not embedded yet; `paperround embed` does that")
    background = await load_background(storage, model, vectors.shape[1])
    (reader,) = await load_readers(storage, model, [subscriber], background, now=now)
    (matches,) = scoring.match_profiles([reader], scoring.WorkBlock.of([work], vectors), background, allowed=None, top=1)
    issued = (await storage.issued_works([subscriber.id], among=[work.id])).get(subscriber.id, {})
    told: dict[str, Any] = {"subscriber": subscriber.email or subscriber.public_id, "work": work.title}
    if work.id in issued:
        day = wording.long_date(period_of(issued[work.id], subscriber.profile.timezone), language)
        told["issued"] = _("in the issue of {day}: never sent twice", day=day)
    new = selection.eligible(work, selection.since_for(subscriber, now), now, issued)
    told["new"] = _("yes") if new else _("no: only what is new since the latest issue can be in it, once")
    if not matches:
        kept_out, trending = _("kept out by a word or author that is always to be kept out"), _("no interests: what is talked about comes")
        return {**told, "score": kept_out if reader.has_interests else trending}
    (match,) = matches
    reason = wording.because_of(match.reason, timezone=subscriber.profile.timezone, language=language)
    return {
        **told,
        "score": match.score,
        "strength": f"{match.strength:.2f} ({wording.strength(scoring.strength_word(match.strength), language)})",
        "because": _("{reason} ({share} of the score)", reason=reason, share=f"{match.reason.share:.0%}"),
        "parts": {_part(name, _): value for name, value in match.parts.items()},
    }


def _part(name: str, _: Speech) -> str:
    """As `scoring` calls it: a kind before its words, or a name."""
    kind, colon, words = name.partition(": ")
    names = {
        "interest": _("interest"),
        "liked": _("liked paper"),
        "the other likes": _("the other likes"),
        "avoid": _("what to rather leave out"),
        "what any work gets": _("what any paper gets"),
    }
    return names.get(kind, kind) + colon + words


async def explain_learning(storage: Storage, model: str, subscriber: Subscriber, *, now: datetime) -> list[str]:
    """What the subscriber's votes have taught, in sentences."""
    background = await load_background(storage, model, 0)
    (reader,) = await load_readers(storage, model, [subscriber], background, now=now)
    return learned(reader)


async def explain_delivery(storage: Storage, subscriber: Subscriber, period: date | None) -> list[str]:
    """The story of an issue in sentences: due, chosen, queued, what the server said. Without a date, of the latest three issues."""
    digests = await storage.digests_of(subscriber.id, limit=400 if period else 3)
    told = [
        f"{subscriber.email or subscriber.public_id} is {subscriber.state}"
        + (f", suppressed: {subscriber.suppressed}" if subscriber.suppressed else "")
    ]
    chosen = [digest for digest in digests if period is None or digest.period == period]
    deliveries = {each.digest_id: each for each in await storage.deliveries_of(subscriber.id, limit=1000)}
    for digest in chosen:
        told += story(digest, deliveries.get(digest.id))
    if subscriber.suppressed:
        known = {(subscriber.email or "").lower()}
        told += [f"evidence of {row['at']:%Y-%m-%d}: {row['evidence']}" for row in await storage.suppressions() if row["address"] in known]
    if not chosen:
        told.append(f"no issue {f'of {period}' if period else 'yet'}; " + next_issue(subscriber))
    return told


def story(digest: Digest, delivery: Delivery | None) -> list[str]:
    told = [
        f"issue {digest.number} of {digest.period}: due {digest.due_at:%Y-%m-%d %H:%M} UTC, composed {digest.created_at:%Y-%m-%d %H:%M}, "
        f"{len(digest.chosen)} of {digest.candidates} new works chosen"
    ]
    told += [f"  chosen: {item.work.title} (strength {item.strength:.2f})" for item in digest.chosen]
    if delivery is None:
        return [*told, "  no mail: nothing fitted and an empty day is skipped, or the reader takes only the feed, or may not be mailed"]
    told.append(f"  mail {delivery.message_id} to {delivery.recipient}: {delivery.state}, {delivery.attempts} tries")
    if delivery.first_attempt_at:
        told.append(f"  first try {delivery.first_attempt_at:%Y-%m-%d %H:%M} UTC")
    if delivery.reply:
        told.append(f"  the server said: {delivery.code or ''} {delivery.reply}".rstrip())
    moment, word = (delivery.finished_at, "finished") if delivery.finished_at else (delivery.next_attempt_at, "next try")
    return [*told, f"  {word} {moment:%Y-%m-%d %H:%M} UTC"] if moment else told


def next_issue(subscriber: Subscriber) -> str:
    if subscriber.next_due_at is None:
        return f"none is due: the schedule is {subscriber.profile.schedule!r} and the subscriber {subscriber.state}"
    return f"the next is due {subscriber.next_due_at:%Y-%m-%d %H:%M} UTC"
