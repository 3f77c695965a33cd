"""Subscriber actions: sign up, confirm, vote, change, pause, leave, forget. The one way for page, mail and command line."""

import asyncio
import secrets
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from paperround.digests import due_dates
from paperround.digests.catalogues import speech
from paperround.errors import AlreadyExistsError, ConsentError, NotFoundError, PaperroundError, TokenError
from paperround.matching.learned import not_read
from paperround.models import Channel, ConsentEvent, ConsentState, Digest, MailKind, Profile, Subscriber, SubscriberId, Vote, WorkId
from paperround.pipeline.interfaces import Clock, Storage
from paperround.records import Layer, NewDelivery, ProfileFile
from paperround.subscribers import consent, profile_layers, signed_links
from paperround.subscribers.consent import EventKind
from paperround.subscribers.imports import LEFT
from paperround.subscribers.profile_layers import FILE, READER
from paperround.subscribers.profile_values import check_values
from paperround.subscribers.signed_links import KeyRing, Purpose

FRESH = timedelta(hours=1)  # how long a link to the owner's page, or to a new address, is good
FORGOTTEN, MOVED = "forgotten", "moved"  # suppressions of a hashed address: they keep loads out, not the person
NO_HINDRANCE = (None, FORGOTTEN, MOVED, LEFT)
CONFIRM_ONCE_IN = timedelta(hours=24)  # confirmation mails to one mailbox, however it is spelt
MOVES_ASKED = 3  # questions to one new address within that time, one after the other's link has ended
READ_NOTED = timedelta(days=1)  # when a feed was read is kept to the day

LastWeek = Callable[[Profile], Awaitable[Digest]]  # the issue that a profile would have made of the last seven days


@dataclass(frozen=True, slots=True, kw_only=True)
class ActionRules:
    """What the actions need of the configuration."""

    base_url: str
    message_domain: str  # right side of Message-IDs
    consent_text: str  # what a reader agrees to, as it is shown at sign-up
    reply_domain: str | None = None  # where mails to signed addresses are read; None = no inbox
    default_profile: Profile = field(default_factory=Profile)  # what a profile has in the keys it does not name
    model: str = ""  # that reads the interests


@dataclass(frozen=True, slots=True, kw_only=True)
class Synced:
    """What a sync of profile files came to."""

    added: int
    changed: int
    unchanged: int
    refused: tuple[tuple[str, str], ...]  # who, and why


class SubscriberActions:
    """Whatever a person can do about their subscription. Each action records its event or layer; the rules are in the pure rooms."""

    def __init__(self, *, storage: Storage, clock: Clock, keys: KeyRing, rules: ActionRules, last_week: LastWeek | None = None) -> None:
        self.storage, self.clock, self.keys, self.rules, self._last_week = storage, clock, keys, rules, last_week
        self._signing_up = asyncio.Lock()  # two sign-ups of one mailbox at the same time must not both mail it

    # ------------------------------------------------------------ who holds a link

    async def holder(self, purpose: Purpose, token: str) -> tuple[Subscriber, tuple[int, ...]]:
        """The subscriber whom a signed link is about, and its numbers. Raises TokenError: unknown, or gone."""
        public_id, epoch, numbers = signed_links.read_numbered_token(self.keys, purpose, token)
        if purpose in (Purpose.OWNER, Purpose.MOVE):
            signed_links.check_end(numbers[0], self.clock.now())
        subscriber = await self.storage.by_public_id(public_id)
        if subscriber is None or (subscriber.state is ConsentState.FORGOTTEN and purpose is not Purpose.UNSUBSCRIBE):
            raise TokenError
        if purpose is not Purpose.UNSUBSCRIBE:
            signed_links.check_epoch(epoch, subscriber.feed_epoch if purpose is Purpose.FEED else subscriber.link_epoch)
        if purpose is Purpose.FEED and subscriber.email is None:
            await self._note_reading(subscriber)
        return subscriber, numbers

    async def _note_reading(self, subscriber: Subscriber) -> None:
        """Only of those without a mail address, whose feed ends when nobody reads it."""
        now = self.clock.now()
        if subscriber.feed_read_at is None or now - subscriber.feed_read_at >= READ_NOTED:
            await self.storage.note_feed_read(subscriber.id, now)

    # ------------------------------------------------------------ coming

    def checked(self, values: Mapping[str, object], place: str) -> dict[str, object]:
        """Profile values, tidied. Raises ProfileError that names the key."""
        now = self.clock.now()
        return check_values(values, place, lambda schedule: due_dates.next_due(schedule, "UTC", now))

    async def last_week(self, values: Mapping[str, object]) -> Digest | None:
        """What a profile of these checked values would have been sent of the last week; None where that cannot be said."""
        return await self._issue_of_last_week(profile_layers.values_to_profile(values, self.rules.default_profile))

    async def _issue_of_last_week(self, profile: Profile) -> Digest | None:
        with suppress(PaperroundError):  # a model that does not load keeps nobody from subscribing
            return await self._last_week(profile) if self._last_week else None
        return None

    async def sign_up(self, email: str, values: Mapping[str, object], *, way: str, address_prefix: str | None = None) -> None:
        """Someone asks for an address to be subscribed. Whatever is known of it, the caller learns nothing: answer before awaiting this.

        New and former addresses become pending and get one confirmation mail a day, however the mailbox is spelt; suppressed ones get
        none. What an unconfirmed sign-up wants replaces what the one before it wanted. Raises ProfileError or ValueError."""
        address = signed_links.normalise_email(email)
        wanted = self.checked(values, "sign-up")
        async with self._signing_up:
            known = await self.find(address)
            event = self._event(known, EventKind.ASKED, way, address_prefix=address_prefix)
            if event.state is not ConsentState.PENDING or await self.suppressed(address) not in NO_HINDRANCE:
                return
            if await self._mailed_lately(address):
                if known is not None and known.state is ConsentState.PENDING:
                    await self._layer(known, READER, wanted)
                return
            if known is None:
                known = await self._add(address, wanted, event, layer=READER)
            else:
                await self._layer(known, READER, wanted)
                await self._record(known, event)
            await self._ask_for_confirmation(known, address)

    async def sign_up_for_feed(self, values: Mapping[str, object], *, way: str, address_prefix: str | None = None) -> Subscriber:
        """A reader without a mail address: active at once, since nobody can be mailed by it."""
        wanted = {**self.checked(values, "sign-up"), "channels": [Channel.FEED.value]}
        subscriber = await self._add(None, wanted, self._event(None, EventKind.ASKED, way, address_prefix=address_prefix), layer=READER)
        return await self.confirm(subscriber, way=way, address_prefix=address_prefix)

    async def add(self, email: str, values: Mapping[str, object], *, active: bool, way: str = "cli", **evidence: str | None) -> Subscriber:
        """An administrator adds an address; `active` vouches for a consent given elsewhere, else they are asked by mail first.

        `evidence` of that consent is kept with it: a note, the address_prefix.
        Raises AlreadyExistsError, ConsentError (suppressed, or left and not vouched for), ProfileError, ValueError."""
        address = signed_links.normalise_email(email)
        wanted = self.checked(values, address)
        kind = EventKind.IMPORTED if way == "import" else EventKind.ADMIN
        known = await self.find(address)
        event = self._event(known, kind, way, evidence=active, **evidence)
        if known is not None and known.state is event.state:
            raise AlreadyExistsError(f"{address} is {known.state} already")
        if reason := await self.suppressed(address):
            raise ConsentError(f"{address} is suppressed ({reason}); `suppressions remove` comes first")
        if known is None:
            known = await self._add(address, wanted, event, layer=FILE)
        else:
            await self._layer(await self._record(known, event), FILE, wanted)
        if event.state is ConsentState.PENDING and not await self._mailed_lately(address):
            await self._ask_for_confirmation(known, address)
        return await self.storage.subscriber(known.id)

    async def confirm(self, subscriber: Subscriber, *, way: str, address_prefix: str | None = None) -> Subscriber:
        """The owner of the address says yes; saying it again changes nothing. Raises ConsentError where the question has ended."""
        event = self._event(subscriber, EventKind.CONFIRMED, way, address_prefix=address_prefix)
        return subscriber if subscriber.state is event.state else await self._record(subscriber, event)

    async def come_back(self, subscriber: Subscriber, *, way: str) -> Subscriber:
        """Who left asks for it again where nobody else could, such as in a reply to a mail of ours: asked and confirmed in one.

        Raises ConsentError."""
        if subscriber.suppressed:
            raise ConsentError(f"the address is suppressed: {subscriber.suppressed}")
        asked = await self._record(subscriber, self._event(subscriber, EventKind.ASKED, way))
        return await self.confirm(asked, way=way)

    # ------------------------------------------------------------ steering

    async def vote(self, subscriber: Subscriber, work_id: WorkId, value: int, *, way: str) -> None:
        """+1 more like it, -1 less, 0 takes a vote back. Counts from the next issue on."""
        title = ""
        if value:
            works = await self.storage.works([work_id])
            if work_id not in works:
                raise NotFoundError(f"there is no work {work_id}")
            title = works[work_id].title
        vote = Vote(work_id=work_id, value=max(-1, min(1, value)), at=self.clock.now(), way=way, title=title)
        await self.storage.save_vote(subscriber.id, vote)

    async def change_profile(self, subscriber: Subscriber, changes: Mapping[str, object], *, way: str) -> Subscriber:
        """Set keys of a profile. `way` reader: their own layer; cli or file: the administrator's. Per key the later change wins.

        Raises ProfileError."""
        wanted = self.checked(changes, subscriber.email or subscriber.public_id)
        await self._layer(subscriber, READER if way == READER else FILE, wanted)
        return await self.storage.subscriber(subscriber.id)

    async def pause(self, subscriber: Subscriber, until: datetime | None = None, *, way: str) -> Subscriber:
        """Send nothing until a moment, or until resumed. Raises ConsentError."""
        return await self._record(subscriber, self._event(subscriber, EventKind.PAUSED, way), paused_until=until)

    async def resume(self, subscriber: Subscriber, *, way: str) -> Subscriber:
        """End a pause. Raises ConsentError."""
        event = self._event(subscriber, EventKind.RESUMED, way)
        return subscriber if subscriber.state is event.state else await self._record(subscriber, event, resumed_at=event.at)

    async def end_pauses(self, now: datetime) -> int:
        """Resume everyone whose pause has ended by `now`."""
        ended = await self.storage.paused_until(now)
        for subscriber in ended:
            await self.resume(subscriber, way="date")
        return len(ended)

    # ------------------------------------------------------------ moving to another address

    async def ask_to_move(self, subscriber: Subscriber, email: str) -> None:
        """Ask a new address whether the paper may come there: with a fresh link, and not where a paper comes already or somebody else had
        a mail sent within the day. Lost mails are sent again, when the link has ended. The caller learns nothing of that. Raises
        ConsentError, AddressError."""
        consent.apply(subscriber.state, EventKind.MOVED)
        address = signed_links.normalise_email(email)
        async with self._signing_up:
            if (
                await self.find(address)
                or await self.suppressed(address) not in NO_HINDRANCE
                or not await self._may_ask(subscriber, address)
            ):
                return
            url = signed_links.move_link(self.keys, self.rules.base_url, subscriber, address, self.clock.now() + FRESH)
            _ = speech(subscriber.profile.language)
            lines = [_("A reader asks for the paper to come to this address from now on. The button works for one hour.")]
            values = {"language": subscriber.profile.language, "lines": lines, "confirm_url": url}
            await self._queue(MailKind.CONFIRMATION, subscriber.id, address, {**values, "consent_text": self.rules.consent_text})

    async def move(self, subscriber: Subscriber, number: int) -> Subscriber:
        """The new address says yes: `number` names which (see `signed_links.move_link`). The old one is told, and its links but the way
        out are worth nothing from now on; history stays. Raises ConsentError, AlreadyExistsError, TokenError."""
        event, old = self._event(subscriber, EventKind.MOVED, "page"), subscriber.email or ""
        asked = [each for each in await self.storage.deliveries_of(subscriber.id, limit=100) if each.kind is MailKind.CONFIRMATION]
        new = next((each.recipient for each in asked if signed_links.address_number(self.keys, each.recipient) == number), None)
        if new is None:
            raise TokenError
        await self.storage.move_address(subscriber.id, new, event)
        await self.storage.unsuppress(signed_links.address_hash(self.keys, new))
        _ = speech(subscriber.profile.language)
        lines = [_("It was confirmed from there; everything else stays as it was, and nothing more comes here.")]
        lines.append(_("If this was not you, write to us at once."))
        await self.answer(subscriber, {"subject": _("Your paper goes to another address now"), "lines": lines})
        await self.suppress(signed_links.address_hash(self.keys, old), reason=MOVED, evidence="the reader moved to another address")
        return await self.storage.subscriber(subscriber.id)

    # ------------------------------------------------------------ leaving

    async def unsubscribe(self, subscriber: Subscriber, *, way: str, revoke_feed: bool = False, note: str | None = None) -> None:
        """Leave. Nothing is sent from now on, queued issues included; the feed keeps its address unless it is revoked. Idempotent."""
        event = self._event(subscriber, EventKind.UNSUBSCRIBED, way, note=note)
        if subscriber.state is not event.state:
            await self._record(subscriber, event, raise_feed_epoch=revoke_feed)
        elif revoke_feed and event.state is not ConsentState.FORGOTTEN:
            await self.rotate_feed(subscriber)

    async def forget(self, subscriber: Subscriber, *, way: str) -> None:
        """Erase everything about a person; a keyed hash of the address and dates remain, so that no load brings them back."""
        hashed = signed_links.address_hash(self.keys, subscriber.email or subscriber.public_id)
        await self.storage.forget(subscriber.id, address_hash=hashed, event=self._event(subscriber, EventKind.FORGOTTEN, way))

    async def rotate_feed(self, subscriber: Subscriber) -> Subscriber:
        """Give the feed a new address; the old one answers that it is gone."""
        await self.storage.raise_epochs(subscriber.id, feed=True)
        return await self.storage.subscriber(subscriber.id)

    def not_read(self, interests: Iterable[str]) -> list[str]:
        """Those that are in a language the model does not read."""
        return not_read(interests, self.rules.model)

    def feed_addresses(self, subscriber: Subscriber) -> tuple[str, ...]:
        """RSS, Atom and JSON Feed of one reader."""
        links = signed_links.reader_links(self.keys, self.rules.base_url, subscriber)
        return tuple(url for url in (links.feed_rss, links.feed_atom, links.feed_json) if url)

    async def suppress(self, address: str, *, reason: str, evidence: str) -> None:
        await self.storage.suppress(address, reason=reason, evidence=evidence[:500], now=self.clock.now())

    async def unsuppress(self, address: str) -> bool:
        """Allow an address to be mailed again, also where only its hash is kept; whether there was anything to lift."""
        names = [address, *signed_links.address_hashes(self.keys, address)]
        return any([await self.storage.unsuppress(name) for name in names])

    async def suppressed(self, address: str) -> str | None:
        """Why an address is never mailed; None when it may be."""
        return await self.storage.suppression([address, *signed_links.address_hashes(self.keys, address)])

    # ------------------------------------------------------------ files

    async def sync_files(self, files: Sequence[ProfileFile], *, adopt: bool = False) -> Synced:
        """Bring profile files into force (design, decision 7). `adopt` drops the readers' own edits. One refused never stops the others."""
        counts = {"added": 0, "changed": 0, "unchanged": 0}
        refused = []
        for file in files:
            try:
                counts[await self._sync(file, adopt=adopt)] += 1
            except PaperroundError as error:
                refused.append((file.who, str(error)))
        return Synced(**counts, refused=tuple(refused))

    async def _sync(self, file: ProfileFile, *, adopt: bool) -> str:
        known = await self.find(file.email or file.id or "")
        event = self._event(known, EventKind.FILE, "file")
        if known is None:
            if file.email and (reason := await self.suppressed(file.email)):
                raise ConsentError(f"the address is suppressed: {reason}")
            await self._add(file.email, file.values, event, layer=FILE, file_id=file.id)
            return "added"
        if adopt:
            await self.storage.drop_layer(known.id, READER)
        before = await self.storage.layers(known.id)
        new = profile_layers.file_changes(before, file.values, self.clock.now())
        changed = await self._put(known, before, new) if new or adopt else False
        return "changed" if changed else "unchanged"

    # ------------------------------------------------------------ parts of it

    async def find(self, email_or_id: str) -> Subscriber | None:
        """Whom an address, a public id or a file's id names."""
        try:
            return await self.storage.find_subscriber(email_or_id)
        except NotFoundError:
            return None

    def _event(self, known: Subscriber | None, kind: EventKind, way: str, *, evidence: bool = False, **more: str | None) -> ConsentEvent:
        """The event, with the state after it. Raises ConsentError where it is not allowed."""
        shown = kind in (EventKind.ASKED, EventKind.CONFIRMED, EventKind.MOVED)
        return ConsentEvent(
            at=self.clock.now(),
            kind=kind,
            state=consent.apply(known.state if known else None, kind, evidence=evidence),
            way=way,
            consent_text_hash=consent.consent_text_hash(self.rules.consent_text) if shown else None,
            **more,
        )

    async def _record(self, subscriber: Subscriber, event: ConsentEvent, **more: Any) -> Subscriber:
        """Write an event, and the due time that follows from the state after it. `more`: as storage takes it."""
        due = await self._next_due(subscriber, subscriber.profile, event.state)
        await self.storage.record_consent(subscriber.id, event, next_due_at=due, **more)
        return await self.storage.subscriber(subscriber.id)

    async def _add(
        self, email: str | None, values: Mapping[str, Any], event: ConsentEvent, *, layer: str, file_id: str | None = None
    ) -> Subscriber:
        layers = profile_layers.changes(layer, (), values, event.at)
        profile = profile_layers.merge(layers, self.rules.default_profile)
        active = event.state is ConsentState.ACTIVE
        due = due_dates.next_due(profile.schedule, profile.timezone, event.at) if active else None
        subscriber = await self.storage.add_subscriber(
            email=email, public_id=secrets.token_hex(16), profile=profile, event=event, next_due_at=due, file_id=file_id
        )
        await self.storage.save_layers(subscriber.id, layers)
        return subscriber

    async def _layer(self, subscriber: Subscriber, layer: str, values: Mapping[str, Any]) -> None:
        """Write what one layer says anew, and the profile and due time that follow."""
        before = await self.storage.layers(subscriber.id)
        new = profile_layers.changes(layer, before, values, self.clock.now())
        # A value said again counts as said now where the other layer had the last word.
        said = profile_layers.profile_to_values(profile_layers.merge([*_without(before, new), *new], self.rules.default_profile))
        again = [
            Layer(layer=layer, key=key, value=value, changed_at=self.clock.now()) for key, value in values.items() if said[key] != value
        ]
        await self._put(subscriber, before, [*new, *again])

    async def _put(self, subscriber: Subscriber, before: Sequence[Layer], new: Sequence[Layer]) -> bool:
        """Store layers and the profile in force; whether that is another one than before."""
        if new:
            await self.storage.save_layers(subscriber.id, new)
        profile = profile_layers.merge([*_without(before, new), *new], self.rules.default_profile)
        if profile == subscriber.profile:
            return False
        due = await self._next_due(subscriber, profile, subscriber.state)
        await self.storage.save_profile(subscriber.id, profile, next_due_at=due)
        return True

    async def _next_due(self, subscriber: Subscriber, profile: Profile, state: ConsentState) -> datetime | None:
        """After an edit: the first due instant after now and after the date of the latest issue (design, decision 3)."""
        if state is not ConsentState.ACTIVE:
            return None
        now = self.clock.now()
        if latest := await self.storage.digests_of(subscriber.id, limit=1):
            return due_dates.next_after_issue(profile.schedule, profile.timezone, latest[0].due_at, now)
        return due_dates.next_due(profile.schedule, profile.timezone, now)

    # ------------------------------------------------------------ short mails

    async def _mailed_lately(self, address: str) -> bool:
        latest = await self.storage.last_mail_to(address, MailKind.CONFIRMATION)
        return latest is not None and self.clock.now() - latest < CONFIRM_ONCE_IN

    async def _may_ask(self, subscriber: Subscriber, address: str) -> bool:
        """Whether one more question about moving may go to an address: a reader may ask it a few times a day, all others not even once."""
        day, asked = self.clock.now() - CONFIRM_ONCE_IN, signed_links.fold_address(address)
        sent = await self.storage.deliveries_of(subscriber.id, limit=100)
        ours = [
            each.created_at for each in sent if each.kind is MailKind.CONFIRMATION and signed_links.fold_address(each.recipient) == asked
        ]
        latest = max(ours, default=None)
        if latest is None or latest <= day:
            return not await self._mailed_lately(address)
        return self.clock.now() - latest >= FRESH and sum(each > day for each in ours) < MOVES_ASKED

    async def _ask_for_confirmation(self, subscriber: Subscriber, address: str) -> None:
        """Nothing that a visitor typed stands in this mail: whoever gets it may never have heard of us."""
        profile = (await self.storage.subscriber(subscriber.id)).profile
        look = await self._issue_of_last_week(profile)
        values: dict[str, Any] = {
            "titles": [item.work.title for item in look.chosen] if look else [],
            "language": profile.language,
            "consent_text": self.rules.consent_text,
            "confirm_reply": self.rules.reply_domain is not None,
            "confirm_url": signed_links.confirm_link(self.keys, self.rules.base_url, subscriber.public_id, subscriber.link_epoch),
        }
        if self.rules.reply_domain:
            values["reply_to"] = signed_links.confirm_address(self.keys, subscriber.public_id, self.rules.reply_domain)
        await self._queue(MailKind.CONFIRMATION, subscriber.id, address, values)

    async def answer(self, subscriber: Subscriber, values: Mapping[str, Any]) -> None:
        """Queue a short mail to the address we know, whoever asked. `values`: see the template of answers."""
        if subscriber.email and subscriber.suppressed is None:
            await self._queue(MailKind.ANSWER, subscriber.id, subscriber.email, {"language": subscriber.profile.language, **values})

    def owner_link(self, subscriber: Subscriber) -> str:
        """For an hour; whoever shows it has to be sure to show it to the owner."""
        ends = self.clock.now() + FRESH
        return signed_links.owner_link(self.keys, self.rules.base_url, subscriber.public_id, subscriber.link_epoch, ends)

    async def mail_owner_link(self, subscriber: Subscriber) -> None:
        """Mail the owner a link, good for an hour, to what a link in an issue is not worth."""
        url = self.owner_link(subscriber)
        _ = speech(subscriber.profile.language)
        lines = [_("You asked for the page where your whole profile can be read and changed. The link works for one hour.")]
        await self.answer(subscriber, {"subject": _("The link to your own page"), "lines": lines, "links": [(_("Open my page"), url)]})

    async def _queue(self, kind: MailKind, subscriber_id: SubscriberId | None, recipient: str, values: Mapping[str, Any]) -> None:
        message_id = f"{secrets.token_hex(16)}@{self.rules.message_domain}"  # unguessable: a reply to it proves that it arrived
        await self.storage.queue(
            NewDelivery(kind=kind, subscriber_id=subscriber_id, recipient=recipient, message_id=message_id, values=values),
            now=self.clock.now(),
        )


def _without(layers: Sequence[Layer], replaced: Sequence[Layer]) -> list[Layer]:
    keys = {(each.layer, each.key) for each in replaced}
    return [each for each in layers if (each.layer, each.key) not in keys]
