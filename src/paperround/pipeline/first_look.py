"""First look: the issue that a profile would have made of the last week, for a visitor who has no issue yet."""

from paperround.models import ConsentState, Digest, Profile, Subscriber, SubscriberId
from paperround.pipeline.compose import ComposeRules, preview
from paperround.pipeline.embed import embed_words
from paperround.pipeline.interfaces import Clock, Embedder, Storage

DAYS = 7


async def first_look(storage: Storage, embedder: Embedder, rules: ComposeRules, clock: Clock, profile: Profile) -> Digest:
    """Chosen as every issue is, so it promises nothing that the issues will not keep. Words that were never embedded are, and kept as long
    as a profile holds them. Raises EmbeddingError."""
    known = await storage.text_vectors(embedder.model, profile.own_words)
    if new := [text for text in profile.own_words if text not in known]:
        await embed_words(storage, embedder, new)
    now = clock.now()
    visitor = Subscriber(
        id=SubscriberId(0), public_id="", email=None, state=ConsentState.ACTIVE, profile=profile, created_at=now, next_due_at=now
    )
    return await preview(storage, rules, visitor, now=now, days=DAYS)
