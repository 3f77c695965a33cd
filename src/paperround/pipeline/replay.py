"""Replay: past issues and votes out of storage, scored again with what was known of each reader on that day."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from itertools import groupby

import numpy as np

from paperround.matching import scoring
from paperround.matching.background import Background
from paperround.matching.replay import ReplayedIssue, replay_figures
from paperround.models import Subscriber
from paperround.pipeline.interfaces import Progress, Storage
from paperround.pipeline.readers import Tastes, load_background, load_tastes
from paperround.records import Judged


async def replay(storage: Storage, model: str, *, since: datetime, now: datetime, progress: Progress | None = None) -> dict[str, object]:
    """The figures of `replay_figures` over the issues made since then in which somebody voted. Profiles are today's, votes those cast
    before the issue was made: a later one never scores its own past."""
    judged = await storage.judged(since=since)
    ids, vectors = await storage.work_vectors(model, sorted({each.work_id for each in judged}))
    known = dict(zip(ids, vectors, strict=True))
    background = await load_background(storage, model, vectors.shape[1])
    by_issue = [list(several) for _, several in groupby(judged, key=lambda each: each.digest_id)]
    subscribers = {each: await storage.subscriber(each) for each in dict.fromkeys(row.subscriber_id for row in judged)}
    tastes = await load_tastes(storage, model, list(subscribers.values()), background, now=now)
    replayed = []
    for done, rows in enumerate(by_issue, 1):
        if shown := [row for row in rows if row.work_id in known]:
            works = await storage.works([row.work_id for row in shown])
            block = scoring.WorkBlock.of([works[row.work_id] for row in shown], np.stack([known[row.work_id] for row in shown]))
            replayed.append(again(subscribers[rows[0].subscriber_id], shown, block, tastes, background))
        if progress:
            progress(done, len(by_issue))
    return replay_figures(replayed)


def again(
    subscriber: Subscriber, shown: Sequence[Judged], block: scoring.WorkBlock, tastes: Tastes, background: Background
) -> ReplayedIssue:
    """One issue, scored with the votes before it and without any."""
    ways = {"with the votes so far": tastes, "without votes": replace(tastes, votes={})}
    readers = [each.reader(subscriber, now=shown[0].cutoff) for each in ways.values()]
    matches = scoring.match_profiles(readers, block, background, allowed=None, top=len(shown))
    scored = [{match.work_id: match.score for match in each} for each in matches]
    return ReplayedIssue(
        reader=subscriber.id,
        values=np.array([row.value for row in shown]),
        strengths=np.array([row.strength for row in shown]),
        scores={"as sent": np.array([row.score for row in shown])}
        | {
            way: np.array([found.get(row.work_id, -np.inf) for row in shown])  # a word in `never` keeps it out today
            for way, found in zip(ways, scored, strict=True)
        },
    )
