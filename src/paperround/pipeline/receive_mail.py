"""Receive mail: what one mail does. A report is believed as far as it is ours, a wish is done and answered once, all else is left alone."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import timedelta
from zoneinfo import ZoneInfo

from paperround.delivery import outbox
from paperround.errors import PaperroundError
from paperround.incoming import bounces, reply_commands
from paperround.incoming.reply_commands import Command, IncomingMail
from paperround.models import BounceEvent, ConsentState, Delivery, DeliveryState, MailKind, Subscriber
from paperround.pipeline.interfaces import Clock, Storage
from paperround.pipeline.reply_answers import Replier, did_not_understand, summary
from paperround.pipeline.subscriber_actions import SubscriberActions
from paperround.subscribers import signed_links
from paperround.subscribers.signed_links import KeyRing

ANSWER_ONCE_IN = timedelta(hours=24)  # friendly answers to what was not understood, to one mailbox
LEAVING = {"stop"}  # obeyed on the word of the From line alone: what it does is silence
_MESSAGE_ID = re.compile(rb"^message-id:\s*<([^<>\s]{3,200})>", re.I | re.M)
_REPORTS = {"dead", "soft", "sender", "complaint", "unsubscribe", "delayed", "auto-reply"}


class ReceiveMail:
    """The inbox's one handler. Never answers anything automatic (RFC 3834); an answer goes to the address we know, not to the From line."""

    def __init__(self, *, storage: Storage, actions: SubscriberActions, clock: Clock, keys: KeyRing, list_address: str | None) -> None:
        """`list_address`: mails to it subscribe."""
        self.storage, self.actions, self.clock, self.keys, self.list_address = storage, actions, clock, keys, list_address
        self.replier = Replier(storage, actions)

    async def receive(self, raw: bytes, recipient: str = "", *, trusted: bool = False) -> str:
        """Do what a mail asks for; says in a few words what that was. `recipient`: whom the mail server delivered it to ("" = see the
        headers). `trusted`: an administrator handed it over, so a report is believed without a sign of ours. Raises StorageError alone."""
        now = self.clock.now()
        mail = reply_commands.read_mail(raw, now=now)
        addressed = tuple(dict.fromkeys(each for each in (recipient, *mail.to) if each))
        events = [event for event in bounces.classify(raw) if event.kind in _REPORTS]
        if events:
            return await self._reports(raw, addressed, events, trusted=trusted)
        if mail.automatic or mail.sender is None:
            return "left alone: automatic"
        if asked := await self._confirmation(mail, addressed):
            return await self._confirm(asked, mail)
        return await self._wishes(mail, addressed)

    # ------------------------------------------------------------ reports about our own mails

    async def _reports(self, raw: bytes, addressed: Sequence[str], events: Sequence[BounceEvent], *, trusted: bool) -> str:
        delivery = await self._about(raw, addressed)
        if delivery is None and not trusted:
            return f"left alone: {events[0].kind} about no mail of ours"
        done = []
        for event in events[:1] if delivery else events:
            address = delivery.recipient if delivery else event.recipient
            if address:
                done.append(await self._believe(event, address, delivery))
        return "; ".join(dict.fromkeys(done)) or "left alone: a report that names nobody"

    async def _about(self, raw: bytes, addressed: Sequence[str]) -> Delivery | None:
        """The delivery that a report is about: by its signed envelope sender, else by our Message-ID in what was sent back."""
        for address in addressed:
            if (number := signed_links.read_verp(self.keys, address)) is not None:
                return await self.storage.delivery(number)
        return await self._ours(dict.fromkeys(name.decode("ascii", "replace") for name in _MESSAGE_ID.findall(raw[:200_000])))

    async def _ours(self, message_ids: Iterable[str]) -> Delivery | None:
        """The delivery that the first of our Message-IDs among these names."""
        for name in message_ids:
            if found := await self.storage.delivery_by_message_id(name):
                return found
        return None

    async def _believe(self, event: BounceEvent, address: str, delivery: Delivery | None) -> str:
        subscriber = await self.actions.find(address)
        evidence = f"{event.kind} {event.status or ''} {' '.join(event.text.split())}".strip()
        if event.kind in ("complaint", "unsubscribe"):
            if subscriber:
                await self.actions.unsubscribe(subscriber, way="mail", note=event.kind)
            if event.kind == "complaint":
                await self.actions.suppress(address, reason="complained", evidence=evidence)
            return "complained: unsubscribed and suppressed" if event.kind == "complaint" else "unsubscribed"
        if event.kind in ("dead", "soft", "sender") and delivery and delivery.state is not DeliveryState.FAILED:
            failed = replace(delivery, state=DeliveryState.FAILED, reply=evidence[:500], finished_at=self.clock.now())
            await self.storage.finish([failed])
        if event.kind == "dead" or (event.kind == "soft" and subscriber and await self._keeps_failing(subscriber)):
            await self.actions.suppress(address, reason="bounced", evidence=evidence)
            return "suppressed: the address does not take mail"
        return f"noted: {event.kind}"

    async def _keeps_failing(self, subscriber: Subscriber) -> bool:
        return outbox.keeps_failing(await self.storage.deliveries_of(subscriber.id, limit=50))

    # ------------------------------------------------------------ saying yes

    async def _confirmation(self, mail: IncomingMail, addressed: Sequence[str]) -> Subscriber | None:
        """Whom a reply to a confirmation is from: by the signed address it came to, or by the Message-ID it answers. Both only who
        got that mail can know."""
        for address in addressed:
            if public_id := signed_links.read_confirm_address(self.keys, address):
                return await self.storage.by_public_id(public_id)
        for name in mail.in_reply_to[:20]:
            found = await self.storage.delivery_by_message_id(name)
            if found and found.kind is MailKind.CONFIRMATION and found.subscriber_id:
                return await self.storage.subscriber(found.subscriber_id)
        return None

    async def _confirm(self, subscriber: Subscriber, mail: IncomingMail) -> str:
        kinds = {command.kind for command in reply_commands.commands(mail.text, now=mail.received_at)}
        if kinds & LEAVING:
            await self.actions.unsubscribe(subscriber, way="mail")
            return "unsubscribed instead of confirmed"
        before = subscriber.state
        try:
            subscriber = await self.actions.confirm(subscriber, way="mail")
        except PaperroundError as error:
            return f"not confirmed: {error}"
        if before is subscriber.state:
            return "confirmed already"
        await self.replier.welcome(subscriber)
        return "confirmed"

    # ------------------------------------------------------------ wishes

    async def _wishes(self, mail: IncomingMail, addressed: Sequence[str]) -> str:
        answered = await self._ours(mail.in_reply_to[:20])
        subscriber = await self.actions.find(mail.sender or "")
        if answered and answered.subscriber_id:
            subscriber = await self.storage.subscriber(answered.subscriber_id)
        ours = signed_links.fold_address(self.list_address) if self.list_address else None
        to_list = ours is not None and ours in map(signed_links.fold_address, addressed)
        if not to_list and not answered:
            return "left alone: not addressed to the list"
        language = subscriber.profile.language if subscriber else "en"
        zone = ZoneInfo(subscriber.profile.timezone) if subscriber else None
        text = mail.text or mail.subject
        commands = reply_commands.commands(text, now=mail.received_at.astimezone(zone), language=language)
        if subscriber is None or subscriber.state in (ConsentState.PENDING, ConsentState.UNSUBSCRIBED):
            return await self._newcomer(mail, subscriber, commands, answered)
        return await self._do(subscriber, commands, answered, mail)

    async def _newcomer(
        self, mail: IncomingMail, subscriber: Subscriber | None, commands: Sequence[Command], answered: Delivery | None
    ) -> str:
        """A mail to the list from someone who does not get it: a sign-up, unless it says stop. Who left is asked for the word again."""
        leaving = LEAVING & {command.kind for command in (*commands, *reply_commands.commands(mail.subject, now=mail.received_at))}
        if leaving:
            if subscriber:
                await self.actions.unsubscribe(subscriber, way="mail")
            return "left alone: leaves what was not joined"
        if subscriber and answered and subscriber.state is ConsentState.UNSUBSCRIBED:
            if "subscribe" not in {command.kind for command in commands}:
                return "left alone: has left"
            if _same(mail.sender, subscriber.email):
                return await self._returned(subscriber)
        named = next((command.items for command in commands if command.kind in ("subscribe", "interests") and command.items), ())
        interests = named or (() if commands else reply_commands.interests(mail.text))
        values: dict[str, object] = {"interests": list(interests)} if interests else {}
        if subscriber is None and (language := reply_commands.language_of(f"{mail.subject}\n{mail.text}")):
            values["language"] = language
        try:
            await self.actions.sign_up(mail.sender or "", values, way="mail")
        except (PaperroundError, ValueError) as error:
            return f"not signed up: {type(error).__name__}"
        return "signed up"

    async def _returned(self, subscriber: Subscriber) -> str:
        try:
            subscriber = await self.actions.come_back(subscriber, way="mail")
        except PaperroundError as error:
            return f"not signed up: {type(error).__name__}"
        await self.replier.welcome(subscriber)
        return "signed up again"

    async def _do(self, subscriber: Subscriber, commands: Sequence[Command], answered: Delivery | None, mail: IncomingMail) -> str:
        """Obey, then answer once. Without a mail of ours that it replies to, only what silences is done on the From line's word."""
        if not commands:
            commands = reply_commands.commands(mail.subject, now=mail.received_at) if not mail.in_reply_to else ()
        if not commands:
            if await self._answered_lately(subscriber):
                return "not understood, answered before"
            await self.actions.answer(subscriber, did_not_understand(subscriber.profile.language))
            return "not understood: answered"
        own = _same(mail.sender, subscriber.email)
        asked = [each for each in commands if each.kind in LEAVING][:1] or commands  # beside a farewell nothing else counts
        done = [await self.replier.obey(subscriber.id, command, answered, own=own) for command in asked]
        await self.actions.answer(subscriber, summary(done, subscriber.profile.language))
        return f"answered: {', '.join(command.kind for command in asked)}"

    # ------------------------------------------------------------ parts of it

    async def _answered_lately(self, subscriber: Subscriber) -> bool:
        latest = await self.storage.last_mail_to(subscriber.email or "", MailKind.ANSWER)
        return latest is not None and self.clock.now() - latest < ANSWER_ONCE_IN


def _same(one: str | None, other: str | None) -> bool:
    """Whether two addresses are one mailbox."""
    return signed_links.fold_address(one or "") == signed_links.fold_address(other or "")
