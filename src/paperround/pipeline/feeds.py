"""Feeds: one subscriber's personal feed, from the digests that their mails are made of."""

from datetime import datetime, timedelta

from paperround.digests.personal_feed import MOST_ITEMS, render_feed
from paperround.matching.scoring import strength_word
from paperround.models import ListIdentity, Subscriber
from paperround.pipeline.interfaces import Storage
from paperround.subscribers.signed_links import KeyRing, reader_links

OLDEST = timedelta(days=30)


async def personal_feed(
    storage: Storage, keys: KeyRing, identity: ListIdentity, base_url: str, subscriber: Subscriber, form: str, *, now: datetime
) -> tuple[bytes, datetime]:
    """The bytes of the feed as rss, atom or json, and when it last changed: with its newest issue."""
    items = await storage.feed_items(subscriber.id, limit=MOST_ITEMS, since=now - OLDEST)
    updated = max((digest.created_at for digest, _ in items), default=subscriber.created_at)
    own = reader_links(keys, base_url, subscriber)
    body = render_feed(
        form,
        items=items,
        identity=identity,
        self_url={"rss": own.feed_rss, "atom": own.feed_atom, "json": own.feed_json}[form] or "",
        home_url=f"{base_url}/",
        reader_name=subscriber.profile.name,
        reader_id=subscriber.public_id[:8],  # enough to tell readers apart, too little to make a token of
        instance_id=storage.instance_id,
        updated=updated,
        links_of=lambda digest: reader_links(keys, base_url, subscriber, digest, feeds=False),
        strength_word=strength_word,
        timezone=subscriber.profile.timezone,
        language=subscriber.profile.language,
    )
    return body, updated
