"""Reply answers: does what a reader's reply asks for, and says in plain words what changed and how to undo it, in their language."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, time
from typing import Any
from zoneinfo import ZoneInfo

from paperround.digests.catalogues import Speech, speech
from paperround.digests.refusals import not_read, refusal
from paperround.digests.wording import because, local_day, long_date, moment, rhythm, shorten
from paperround.errors import PaperroundError
from paperround.incoming.reply_commands import Command, completed_schedule
from paperround.models import Channel, ConsentState, Delivery, Digest, DigestItem, MailKind, Subscriber, SubscriberId
from paperround.pipeline.interfaces import Storage
from paperround.pipeline.subscriber_actions import SubscriberActions
from paperround.subscribers.consent import EventKind
from paperround.subscribers.profile_layers import profile_to_values

NEEDS_A_REPLY = {"more", "less", "undo", "why", "interests", "subscribe", "schedule"}  # what a forged From line must not be able to do
NEEDS_OWN_ADDRESS = {"interests", "subscribe"}  # what is not worth a link in a mail, which may be forwarded (design, decision 18)


def reply_words(language: str) -> list[str]:
    """What can be said in a reply, and what it does."""
    _ = speech(language)
    return [
        _("more 2 · less 5 · undo 2 — like or dislike an item by its number, or take that back"),
        _("why 3 — why an item was chosen"),
        _("pause until 3 January · resume"),
        _("daily · weekdays · weekly friday 08:00 · monthly"),
        _("interests: first interest; second interest — replaces your interests"),
        _("feed — the address of your personal feed"),
        _("what do you know — everything that is kept about you"),
        _("stop — unsubscribe"),
    ]


@dataclass(frozen=True, slots=True, kw_only=True)
class Done:
    """One wish, done or refused. `what` one sentence; `undo` the words of a reply that takes it back."""

    what: str
    undo: str | None = None
    more: tuple[str, ...] = ()


def did_not_understand(language: str) -> dict[str, Any]:
    """The one friendly answer to a reply that asks for nothing we know."""
    _ = speech(language)
    lines = [_("Nothing has changed. These words work in a reply, each on a line of its own:")]
    return {"subject": _("I did not understand that"), "lines": lines, "quoted": reply_words(language)}


def summary(done: Sequence[Done], language: str) -> dict[str, Any]:
    """What was done for one mail, as the values of an answer."""
    _, done = speech(language), list(dict.fromkeys(done))  # a refusal said once
    lines = [line for each in done for line in (each.what, _("To undo: reply “{words}”.", words=each.undo) if each.undo else "") if line]
    subject = shorten(done[0].what.rstrip(".:"), 80) if len(done) == 1 else _("{count} things you asked for", count=len(done))
    return {"subject": subject, "heading": _("What you asked for"), "lines": lines, "quoted": [line for each in done for line in each.more]}


class Replier:
    """Obeys one command at a time, always on the subscriber as they are now."""

    def __init__(self, storage: Storage, actions: SubscriberActions) -> None:
        self.storage, self.actions = storage, actions
        self._ways: dict[str, Callable[[Subscriber, Command, Delivery | None], Any]] = {
            "more": self._vote,
            "less": self._vote,
            "undo": self._vote,
            "why": self._why,
            "pause": self._pause,
            "resume": self._resume,
            "schedule": self._schedule,
            "interests": self._interests,
            "subscribe": self._interests,
            "feed": self._feed,
            "know": self._know,
            "stop": self._stop,
        }

    async def obey(self, subscriber_id: SubscriberId, command: Command, answered: Delivery | None, *, own: bool) -> Done:
        """Do what the command asks; a refusal by a rule is said, never raised. `answered`: the mail of ours that was replied to;
        `own`: from the address it went to, by nobody it was forwarded to."""
        subscriber = await self.storage.subscriber(subscriber_id)
        _ = speech(subscriber.profile.language)
        if command.kind in NEEDS_A_REPLY and answered is None:
            return Done(what=_("That works in a reply to one of your issues: nothing else proves that it is you."))
        if command.kind in NEEDS_OWN_ADDRESS and not own:
            return Done(what=_("That works from the address that your paper comes to: this came from another one."))
        way = self._ways.get(command.kind)
        if way is None:
            return Done(what=_("These words work in a reply to an issue:"), more=tuple(reply_words(subscriber.profile.language)))
        try:
            done: Done = await way(subscriber, command, answered)
        except PaperroundError as error:
            return Done(what=_("Not done: {why}", why=refusal(error, subscriber.profile.language, subscriber.state)))
        return done

    async def welcome(self, subscriber: Subscriber) -> None:
        """The answer to a yes by mail."""
        _, language = speech(subscriber.profile.language), subscriber.profile.language
        when = _moment(subscriber)
        first = _("Your first issue comes {when}.", when=when) if when else _("No issue is scheduled yet.")
        zone = _("Times are those of {zone}; a link in every issue changes that.", zone=subscriber.profile.timezone)
        foreign = not_read(self.actions.not_read(each.text for each in subscriber.profile.interests), language)
        lines = [f"{first} {zone}", *foreign, _("These words steer it, in a reply to any issue:")]
        await self.actions.answer(subscriber, {"subject": _("You are subscribed"), "lines": lines, "quoted": reply_words(language)})

    # ------------------------------------------------------------ one a kind

    async def _vote(self, subscriber: Subscriber, command: Command, answered: Delivery | None) -> Done:
        _, item = speech(subscriber.profile.language), await self._item(subscriber, command, answered)
        if isinstance(item, Done):
            return item
        value = {"more": 1, "less": -1}.get(command.kind, 0)
        votes = (await self.storage.votes([subscriber.id])).get(subscriber.id, [])
        before = next((vote.value for vote in votes if vote.work_id == item.work.id), 0)
        await self.actions.vote(subscriber, item.work.id, value, way="mail")
        words = {1: _("more {item}", item=item.number), -1: _("less {item}", item=item.number), 0: _("undo {item}", item=item.number)}
        told = {
            1: _("More like “{title}”, from the next issue on.", title=item.work.title),
            -1: _("Less like “{title}”, from the next issue on.", title=item.work.title),
            0: _("Your vote on “{title}” is taken back.", title=item.work.title),
        }
        return Done(what=told[value], undo=words[before] if before != value else None)

    async def _why(self, subscriber: Subscriber, command: Command, answered: Delivery | None) -> Done:
        profile, item = subscriber.profile, await self._item(subscriber, command, answered)
        if isinstance(item, Done):
            return item
        _, reason = speech(profile.language), because(item, timezone=profile.timezone, language=profile.language)
        what = _("Number {number}, “{title}”: {reason}.", number=item.number, title=item.work.title, reason=reason)
        fits = _("What fits best: “{sentence}”", sentence=item.reason.sentence) if item.reason.sentence else ""
        return Done(what=f"{what} {fits}".strip())

    async def _item(self, subscriber: Subscriber, command: Command, answered: Delivery | None) -> DigestItem | Done:
        digest = await self._digest(subscriber, answered)
        numbered = {item.number: item for item in digest.items if item.number} if digest else {}
        if command.number in numbered:
            return numbered[command.number]
        return Done(what=speech(subscriber.profile.language)("There is no number {number} in that issue.", number=command.number))

    async def _digest(self, subscriber: Subscriber, answered: Delivery | None) -> Digest | None:
        if answered and answered.kind is MailKind.ISSUE and answered.digest_id:
            return await self.storage.digest(answered.digest_id)
        latest = await self.storage.digests_of(subscriber.id, limit=1)
        return latest[0] if latest else None

    async def _pause(self, subscriber: Subscriber, command: Command, answered: Delivery | None) -> Done:  # noqa: ARG002 (one shape for all)
        _ = speech(subscriber.profile.language)
        if command.argument:
            return Done(what=_("Until when? “{words}” is no date that I can read; “pause until 3 January” is.", words=command.argument))
        zone = ZoneInfo(subscriber.profile.timezone)
        until = datetime.combine(command.until, time(), zone) if command.until else None
        await self.actions.pause(subscriber, until, way="mail")
        what = _("Paused until {day}.", day=_day(until, subscriber)) if until else _("Paused, until you say otherwise.")
        return Done(what=what, undo=_("resume"))

    async def _resume(self, subscriber: Subscriber, command: Command, answered: Delivery | None) -> Done:  # noqa: ARG002
        _ = speech(subscriber.profile.language)
        if subscriber.state is not ConsentState.PAUSED:
            return Done(what=_("Your issues are not paused."))
        resumed = await self.actions.resume(subscriber, way="mail")
        return Done(what=f"{_('Your issues go on.')} {_next(resumed)}", undo=_("pause"))

    async def _schedule(self, subscriber: Subscriber, command: Command, answered: Delivery | None) -> Done:  # noqa: ARG002
        before, language = subscriber.profile.schedule, subscriber.profile.language
        wanted = completed_schedule(command.argument, before)
        changed = await self.actions.change_profile(subscriber, {"schedule": wanted}, way="reader")
        told = speech(language)("Your paper comes {when} now.", when=rhythm(wanted, language)[0])
        return Done(what=f"{told} {_next(changed)}", undo=rhythm(before, language)[1])

    async def _interests(self, subscriber: Subscriber, command: Command, answered: Delivery | None) -> Done:  # noqa: ARG002
        _, language = speech(subscriber.profile.language), subscriber.profile.language
        if not command.items:
            return Done(what=_("You are subscribed already."))
        before = "; ".join(each.text for each in subscriber.profile.interests)
        if "," in before and ";" not in before:
            before += ";"  # else the comma would part it
        await self.actions.change_profile(subscriber, {"interests": list(command.items)}, way="reader")
        now = _("Your interests are now: {interests}.", interests="; ".join(command.items))
        return Done(
            what=" ".join([now, *not_read(self.actions.not_read(command.items), language)]),
            undo=_("interests: {interests}", interests=before) if before else None,
        )

    async def _feed(self, subscriber: Subscriber, command: Command, answered: Delivery | None) -> Done:  # noqa: ARG002
        what = speech(subscriber.profile.language)("Your personal feed; whoever knows its address can read it:")
        return Done(what=what, more=self.actions.feed_addresses(subscriber))

    async def _know(self, subscriber: Subscriber, command: Command, answered: Delivery | None) -> Done:  # noqa: ARG002
        _ = speech(subscriber.profile.language)
        votes = (await self.storage.votes([subscriber.id])).get(subscriber.id, [])
        events = await self.storage.consent_events(subscriber.id)
        return Done(
            what=_("This is everything that is kept about you:"),
            more=(
                f"{_('Mail address')}: {subscriber.email}",
                *_known(subscriber, _),
                *(
                    f"{_day(vote.at, subscriber)}: {_('More like this') if vote.value > 0 else _('Less like this')}: {vote.title}"
                    for vote in votes
                    if vote.value
                ),
                *(
                    f"{event.at:%Y-%m-%d %H:%M} UTC: {_event(event.kind, _)} ({', '.join(filter(None, (event.way, event.address_prefix)))})"
                    for event in events
                ),
                _("Issues so far: {count}", count=subscriber.issues),
            ),
        )

    async def _stop(self, subscriber: Subscriber, command: Command, answered: Delivery | None) -> Done:  # noqa: ARG002
        _ = speech(subscriber.profile.language)
        await self.actions.unsubscribe(subscriber, way="mail")
        return Done(what=_("You are unsubscribed; nothing more will come."), undo=_("subscribe"))


def _known(subscriber: Subscriber, _: Speech) -> Iterator[str]:
    """The profile, a line a key, by the names of the form on the page."""
    names = {
        "name": _("Your name"),
        "interests": _("What interests you"),
        "avoid": _("Rather not"),
        "must": _("Always let in"),
        "never": _("Always keep out"),
        "liked": _("Papers you like"),
        "schedule": _("When it comes"),
        "timezone": _("Time zone"),
        "max_items": _("Papers an issue, at most"),
        "min_score": _("Show"),
        "explore": _("One paper from outside my interests"),
        "empty": _("Tell me also when nothing fits"),
        "sources": _("From these sources only"),
        "channels": _("How it comes"),
        "language": _("Language"),
    }
    values = profile_to_values(subscriber.profile)
    ways = {Channel.EMAIL: _("By mail"), Channel.FEED: _("As a feed")}
    values |= {
        "empty": subscriber.profile.empty == "note",
        "schedule": rhythm(subscriber.profile.schedule, _.language)[0],
        "channels": [ways[each] for each in subscriber.profile.channels],
        "min_score": _("what is likely to interest me") if subscriber.profile.min_score is None else values["min_score"],
    }
    for key, value in values.items():
        if isinstance(value, bool):
            value = _("yes") if value else _("no")
        told = "; ".join(_text(each) for each in value) if isinstance(value, list | tuple) else _text(value)
        if told:
            yield f"{names.get(key, key.replace('_', ' '))}: {told}"


def _text(value: object) -> str:
    """An interest with its weight, where it has one; whatever else as it stands."""
    return f"{value['text']} (× {value['weight']:g})" if isinstance(value, Mapping) else str(value)


def _event(kind: str, _: Speech) -> str:
    words = _("asked, confirmed, paused, resumed, moved, unsubscribed, forgotten, added by a file, added by the operator, imported")
    return dict(zip(map(str, EventKind), words.split(", "), strict=True)).get(kind, kind)  # in the order of the kinds


def _next(subscriber: Subscriber) -> str:
    when, _ = _moment(subscriber), speech(subscriber.profile.language)
    return _("Your next issue comes {when}.", when=when) if when else _("No issue is scheduled yet.")


def _moment(subscriber: Subscriber) -> str:
    return moment(subscriber.next_due_at, subscriber.profile.timezone, subscriber.profile.language)


def _day(moment: datetime, subscriber: Subscriber) -> str:
    return long_date(local_day(moment, subscriber.profile.timezone), subscriber.profile.language)
