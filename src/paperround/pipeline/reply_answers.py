"""Reply answers: does what a reader's reply asks for, and says in plain words what changed and how to undo it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, time
from typing import Any
from zoneinfo import ZoneInfo

from paperround.digests.wording import because, local_day, long_date, shorten
from paperround.errors import PaperroundError
from paperround.incoming.reply_commands import Command, completed_schedule
from paperround.models import ConsentState, Delivery, Digest, DigestItem, MailKind, Subscriber, SubscriberId
from paperround.pipeline.interfaces import Storage
from paperround.pipeline.subscriber_actions import SubscriberActions
from paperround.subscribers.profile_layers import profile_to_values

NEEDS_A_REPLY = {"more", "less", "why", "interests", "subscribe", "schedule"}  # what a forged From line must not be able to do
NEEDS_OWN_ADDRESS = {"interests", "subscribe"}  # what is not worth a link in a mail, which may be forwarded (design, decision 18)
WORDS = (
    "more 2 · less 5 — like or dislike an item by its number",
    "why 3 — why an item was chosen",
    "pause until 3 January · resume",
    "daily · weekdays · weekly friday 08:00 · monthly",
    "interests: first interest; second interest — replaces your interests",
    "feed — the address of your personal feed",
    "what do you know — everything that is kept about you",
    "stop — unsubscribe",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Done:
    """One wish, done or refused. `what` one sentence; `undo` the words of a reply that takes it back."""

    what: str
    undo: str | None = None
    more: tuple[str, ...] = ()


def did_not_understand() -> dict[str, Any]:
    """The one friendly answer to a reply that asks for nothing we know."""
    lines = ["Nothing has changed. These words work in a reply, each on a line of its own:"]
    return {"subject": "I did not understand that", "lines": lines, "quoted": list(WORDS)}


def summary(done: Sequence[Done]) -> dict[str, Any]:
    """What was done for one mail, as the values of an answer."""
    lines = [line for each in done for line in (each.what, f"To undo: reply “{each.undo}”." if each.undo else "") if line]
    subject = shorten(done[0].what, 80) if len(done) == 1 else f"{len(done)} things you asked for"
    return {"subject": subject, "heading": "What you asked for", "lines": lines, "quoted": [line for each in done for line in each.more]}


class Replier:
    """Obeys one command at a time, always on the subscriber as they are now."""

    def __init__(self, storage: Storage, actions: SubscriberActions) -> None:
        self.storage, self.actions = storage, actions
        self._ways: dict[str, Callable[[Subscriber, Command, Delivery | None], Any]] = {
            "more": self._vote,
            "less": self._vote,
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
        if command.kind in NEEDS_A_REPLY and answered is None:
            return Done(what=f"“{command.kind}” works in a reply to one of your issues: nothing else proves that it is you.")
        if command.kind in NEEDS_OWN_ADDRESS and not own:
            return Done(what=f"“{command.kind}” works from the address that your paper comes to: this came from another one.")
        way = self._ways.get(command.kind)
        if way is None:
            return Done(what="These words work in a reply to an issue:", more=WORDS)
        try:
            done: Done = await way(subscriber, command, answered)
        except PaperroundError as error:
            return Done(what=f"Not done: {error}.")
        return done

    async def welcome(self, subscriber: Subscriber) -> None:
        """The answer to a yes by mail."""
        when = (
            f"The first issue comes {_moment(subscriber.next_due_at, subscriber)}." if subscriber.next_due_at else "No issue is scheduled."
        )
        lines = [when, "These words steer it, in a reply to any issue:"]
        await self.actions.answer(subscriber, {"subject": "You are subscribed", "lines": lines, "quoted": list(WORDS)})

    # ------------------------------------------------------------ one a kind

    async def _vote(self, subscriber: Subscriber, command: Command, answered: Delivery | None) -> Done:
        item = await self._item(subscriber, command, answered)
        if isinstance(item, Done):
            return item
        value = 1 if command.kind == "more" else -1
        await self.actions.vote(subscriber, item.work.id, value, way="mail")
        return Done(
            what=f"{'More' if value > 0 else 'Less'} like “{item.work.title}”, from the next issue on.",
            undo=f"{'less' if value > 0 else 'more'} {item.number}",
        )

    async def _why(self, subscriber: Subscriber, command: Command, answered: Delivery | None) -> Done:
        item = await self._item(subscriber, command, answered)
        if isinstance(item, Done):
            return item
        sentence = (f"What fits best: “{item.reason.sentence}”",) if item.reason.sentence else ()
        return Done(what=f"Number {item.number}, “{item.work.title}”, was chosen {because(item)}.", more=sentence)

    async def _item(self, subscriber: Subscriber, command: Command, answered: Delivery | None) -> DigestItem | Done:
        digest = await self._digest(subscriber, answered)
        numbered = {item.number: item for item in digest.items if item.number} if digest else {}
        if command.number in numbered:
            return numbered[command.number]
        return Done(what=f"There is no number {command.number} in that issue.")

    async def _digest(self, subscriber: Subscriber, answered: Delivery | None) -> Digest | None:
        if answered and answered.kind is MailKind.ISSUE and answered.digest_id:
            return await self.storage.digest(answered.digest_id)
        latest = await self.storage.digests_of(subscriber.id, limit=1)
        return latest[0] if latest else None

    async def _pause(self, subscriber: Subscriber, command: Command, answered: Delivery | None) -> Done:  # noqa: ARG002 (one shape for all)
        if command.argument:
            return Done(what=f"Until when? “{command.argument}” is no date that I can read; “pause until 3 January” is.")
        zone = ZoneInfo(subscriber.profile.timezone)
        until = datetime.combine(command.until, time(), zone) if command.until else None
        await self.actions.pause(subscriber, until, way="mail")
        return Done(what=f"Paused{f' until {_day(until, subscriber)}' if until else ', until you say otherwise'}.", undo="resume")

    async def _resume(self, subscriber: Subscriber, command: Command, answered: Delivery | None) -> Done:  # noqa: ARG002
        if subscriber.state is not ConsentState.PAUSED:
            return Done(what="Your issues are not paused.")
        resumed = await self.actions.resume(subscriber, way="mail")
        return Done(what=f"Your issues go on; the next one comes {_moment(resumed.next_due_at, resumed)}.", undo="pause")

    async def _schedule(self, subscriber: Subscriber, command: Command, answered: Delivery | None) -> Done:  # noqa: ARG002
        before = subscriber.profile.schedule
        wanted = completed_schedule(command.argument, before)
        changed = await self.actions.change_profile(subscriber, {"schedule": wanted}, way="reader")
        return Done(what=f"Your schedule is now {wanted}; the next issue comes {_moment(changed.next_due_at, changed)}.", undo=before)

    async def _interests(self, subscriber: Subscriber, command: Command, answered: Delivery | None) -> Done:  # noqa: ARG002
        if not command.items:
            return Done(what="You are subscribed already.")
        before = "; ".join(each.text for each in subscriber.profile.interests)
        await self.actions.change_profile(subscriber, {"interests": list(command.items)}, way="reader")
        return Done(what=f"Your interests are now: {'; '.join(command.items)}.", undo=f"interests: {before}" if before else None)

    async def _feed(self, subscriber: Subscriber, command: Command, answered: Delivery | None) -> Done:  # noqa: ARG002
        return Done(what="Your personal feed; whoever knows its address can read it:", more=self.actions.feed_addresses(subscriber))

    async def _know(self, subscriber: Subscriber, command: Command, answered: Delivery | None) -> Done:  # noqa: ARG002
        votes = (await self.storage.votes([subscriber.id])).get(subscriber.id, [])
        events = await self.storage.consent_events(subscriber.id)
        profile = (f"{key}: {value}" for key, value in profile_to_values(subscriber.profile).items() if value not in ("", []))
        return Done(
            what="This is everything that is kept about you:",
            more=(
                f"address: {subscriber.email}",
                *profile,
                *(
                    f"vote of {_day(vote.at, subscriber)}: {'more' if vote.value > 0 else 'less'} like “{vote.title}”"
                    for vote in votes
                    if vote.value
                ),
                *(f"{event.at:%Y-%m-%d %H:%M} UTC: {event.kind} by {event.way}" for event in events),
                f"issues so far: {subscriber.issues}",
            ),
        )

    async def _stop(self, subscriber: Subscriber, command: Command, answered: Delivery | None) -> Done:  # noqa: ARG002
        await self.actions.unsubscribe(subscriber, way="mail")
        return Done(what="You are unsubscribed; nothing more will come.", undo="subscribe")


def _moment(moment: datetime | None, subscriber: Subscriber) -> str:
    if moment is None:
        return "when you set a schedule"
    profile = subscriber.profile
    return f"on {_day(moment, subscriber)} at {moment.astimezone(ZoneInfo(profile.timezone)):%H:%M}"


def _day(moment: datetime, subscriber: Subscriber) -> str:
    return long_date(local_day(moment, subscriber.profile.timezone), "en")
