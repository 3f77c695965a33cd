"""Feeds: one subscriber's personal feed, from the digests that their mails are made of; and what they liked, as citations."""

from collections.abc import Hashable
from datetime import UTC, datetime, timedelta

from paperround.digests.citations import citations
from paperround.digests.personal_feed import MOST_ITEMS, render_feed
from paperround.matching.scoring import strength_word
from paperround.models import ListIdentity, Subscriber
from paperround.pipeline.interfaces import Storage
from paperround.subscribers.signed_links import KeyRing, reader_links

OLDEST = timedelta(days=30)  # before the newest item: so a feed changes with an issue, never by the mere passing of days
BEGINNING = datetime(1970, 1, 1, tzinfo=UTC)


async def personal_feed(
    storage: Storage,
    keys: KeyRing,
    identity: ListIdentity,
    base_url: str,
    subscriber: Subscriber,
    form: str,
    *,
    by_issue: bool = False,
) -> tuple[bytes, datetime]:
    """The bytes of the feed as rss, atom or json, and when it last changed: with its newest issue that holds anything."""
    found = await storage.feed_items(subscriber.id, limit=MOST_ITEMS, since=BEGINNING)
    updated = max((digest.created_at for digest, _ in found), default=subscriber.created_at)
    own = reader_links(keys, base_url, subscriber)
    address = {"rss": own.feed_rss, "atom": own.feed_atom, "json": own.feed_json}[form] or ""
    body = render_feed(
        form,
        items=[(digest, item) for digest, item in found if digest.created_at > updated - OLDEST],
        subscriber=subscriber,
        identity=identity,
        instance_id=storage.instance_id,
        self_url=f"{address}?by=issue" if by_issue else address,
        home_url=f"{base_url}/",
        updated=updated,
        links_of=lambda digest: reader_links(keys, base_url, subscriber, digest, feeds=False),
        strength_word=strength_word,
        by_issue=by_issue,
    )
    return body, updated


def feed_version(subscriber: Subscriber) -> Hashable:
    """What a reader's feeds are made of, in short: while it is the same, so are their bytes. Every issue counts `issues` up."""
    return subscriber.issues, subscriber.profile, subscriber.link_epoch, subscriber.feed_epoch


async def liked_works(storage: Storage, subscriber: Subscriber, form: str) -> bytes:
    """Everything the reader likes, by the profile's examples or by vote, as bib or ris; the latest vote last, so files grow at the end."""
    votes = (await storage.votes([subscriber.id])).get(subscriber.id, [])
    examples = (await storage.resolve(subscriber.profile.liked)).values()
    liked = dict.fromkeys([*examples, *(vote.work_id for vote in votes)])
    refused = {vote.work_id for vote in votes if vote.value < 0}
    works = await storage.works([each for each in liked if each not in refused])
    return citations(form, works.values())
