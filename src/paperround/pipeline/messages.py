"""Messages: what a delivery says, rendered from its digest or its words at the moment it goes."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property

from paperround.digests import mail_content, mime
from paperround.digests.mail_content import MailContent
from paperround.errors import NotFoundError
from paperround.matching.scoring import strength_word
from paperround.models import Delivery, Digest, Envelope, ListIdentity, MailKind, ReaderLinks, Subscriber
from paperround.pipeline.interfaces import Storage
from paperround.subscribers import signed_links


@dataclass(frozen=True, slots=True, kw_only=True)
class Letter:
    """A claimed delivery with all that its mail is made of."""

    delivery: Delivery
    digest: Digest | None = None
    subscriber: Subscriber | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Offers:
    """What this installation can do for a reader: nothing else is offered in a mail."""

    base_url: str
    list_address: str | None = None  # mails to it are read: reply words and mailto work
    bounce_domain: str = "localhost"  # of envelope senders


class Messages:
    """Letters and their bytes."""

    def __init__(
        self,
        *,
        storage: Storage,
        load_templates: Callable[[], mail_content.TemplateSource],
        keys: signed_links.KeyRing,
        identity: ListIdentity,
        offers: Offers,
    ) -> None:
        self.storage, self.keys, self.identity, self.offers = storage, keys, identity, offers
        self._load_templates = load_templates

    @cached_property
    def templates(self) -> mail_content.TemplateSource:
        """Compiled at the first use: most commands render nothing."""
        return self._load_templates()

    async def letters(self, deliveries: Sequence[Delivery]) -> list[Letter]:
        """The digests and subscribers of a batch, in two queries."""
        digests = await self.storage.digests([each.digest_id for each in deliveries if each.digest_id])
        people = await self.storage.subscribers_by_id([each.subscriber_id for each in deliveries if each.subscriber_id])
        return [
            Letter(
                delivery=each,
                digest=digests.get(each.digest_id) if each.digest_id else None,
                subscriber=people.get(each.subscriber_id) if each.subscriber_id else None,
            )
            for each in deliveries
        ]

    def issue(self, digest: Digest, subscriber: Subscriber, now: datetime, links: ReaderLinks | None = None) -> MailContent:
        """Subject, HTML and text."""
        links = links or self.links(subscriber, digest)
        return mail_content.render_issue(self.templates, digest, subscriber, self.identity, links, now=now, strength_word=strength_word)

    def links(self, subscriber: Subscriber, digest: Digest | None = None) -> ReaderLinks:
        """A reader's signed addresses, as far as this installation offers them. The feed's is not among them: whoever a mail is
        forwarded to could read it (design, decision 18)."""
        offers = self.offers
        return signed_links.reader_links(self.keys, offers.base_url, subscriber, digest, feeds=False, list_address=offers.list_address)

    def envelope(self, letter: Letter, now: datetime) -> Envelope:
        """The mail of a delivery, as it goes to the relay. Raises NotFoundError when its digest or subscriber is gone, TemplateError,
        ValueError."""
        delivery = letter.delivery
        if delivery.kind is not MailKind.ISSUE:
            message = self._short(delivery, now)
        elif letter.digest and letter.subscriber:
            message = self._issue(letter.digest, letter.subscriber, delivery.recipient, delivery.message_id, now)
        else:
            raise NotFoundError(f"the issue of delivery {delivery.id} is gone")
        sender = signed_links.verp_address(self.keys, delivery.id, self.offers.bounce_domain)
        return Envelope(sender=sender, recipient=delivery.recipient, message_id=delivery.message_id, message=message)

    def test_envelope(self, digest: Digest, subscriber: Subscriber, now: datetime) -> Envelope:
        """An issue to look at: it is nobody's delivery, so nothing that comes back of it counts."""
        if subscriber.email is None:
            raise NotFoundError(f"{subscriber.public_id} reads by feed alone: there is no address to send to")
        message_id = f"test.{digest.period}.{int(now.timestamp())}@{self.offers.bounce_domain}"
        message = self._issue(digest, subscriber, subscriber.email, message_id, now)
        return Envelope(sender=self.identity.sender, recipient=subscriber.email, message=message, message_id=message_id)

    def _issue(self, digest: Digest, subscriber: Subscriber, recipient: str, message_id: str, now: datetime) -> bytes:
        links = self.links(subscriber, digest)
        return mime.build_message(
            self.issue(digest, subscriber, now, links),
            identity=self.identity,
            recipient=recipient,
            recipient_name=subscriber.profile.name,
            message_id=message_id,
            date=now,
            links=links,
            kind=MailKind.ISSUE,
        )

    def _short(self, delivery: Delivery, now: datetime) -> bytes:
        values = delivery.values
        reply_to, language = values.get("reply_to"), values.get("language", "en")
        return mime.build_message(
            mail_content.render_short(self.templates, delivery.kind.value, values, self.identity, language),
            identity=self.identity,
            recipient=delivery.recipient,
            recipient_name="",
            message_id=delivery.message_id,
            date=now,
            links=None,
            kind=delivery.kind,
            list_headers={"Reply-To": str(reply_to)} if reply_to else None,
        )
