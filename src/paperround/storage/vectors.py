"""Vectors: of works, their sentences and people's own words, float16, each under the model that made it."""

import hashlib
import io
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import and_, exists, func, select

from paperround.models import WorkId
from paperround.records import ToEmbed, WorkVectors
from paperround.storage.database import Database, among, insert_many
from paperround.storage.schema import backgrounds, interest_texts, text_vectors, work_vectors, works

Matrix = NDArray[np.float32]


def text_hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def unpacked(blob: bytes) -> Matrix:
    return np.frombuffer(blob, dtype=np.float16).astype(np.float32)


class VectorRows:
    """The VectorStore."""

    db: Database
    _all: tuple[Any, list[WorkId], Matrix] = (None, [], np.zeros((0, 0), np.float32))  # the latest answer of all_work_vectors

    _background: tuple[Any, dict[str, NDArray[Any]]] = (None, {})  # the latest answer of background

    def _unembedded(self, model: str) -> Any:
        current = and_(
            work_vectors.c.work_id == works.c.id, work_vectors.c.model == model, work_vectors.c.content_hash == works.c.content_hash
        )
        return ~exists().where(current)

    async def works_to_embed(self, model: str, *, limit: int) -> list[ToEmbed]:
        query = select(works.c.id, works.c.content_hash, works.c.title, works.c.abstract).where(self._unembedded(model))
        rows = await self.db.rows(query.order_by(works.c.id).limit(limit))
        return [ToEmbed(work_id=WorkId(r.id), content_hash=r.content_hash, title=r.title, abstract=r.abstract) for r in rows]

    async def count_to_embed(self, model: str) -> int:
        return int(await self.db.value(select(func.count()).select_from(works).where(self._unembedded(model))))

    async def save_work_vectors(self, model: str, vectors: Sequence[WorkVectors]) -> None:
        upsert = self.db.upsert(work_vectors, ["work_id", "model"], ["content_hash", "vector", "sentences", "sentence_vectors"])
        rows = [
            {
                "work_id": each.work_id,
                "model": model,
                "content_hash": each.content_hash,
                "vector": each.vector.astype(np.float16).tobytes(),
                "sentences": list(each.sentences),
                "sentence_vectors": each.sentence_vectors.astype(np.float16).tobytes(),
            }
            for each in vectors
        ]
        self._all = VectorRows._all
        async with self.db.writing() as connection:
            ids = [each.work_id for each in vectors]
            there = {row.id async for row in among(connection, ids, works.c.id, select(works.c.id))}  # one may have been merged meanwhile
            await insert_many(connection, upsert, [row for row in rows if row["work_id"] in there])

    async def work_vectors(self, model: str, ids: Sequence[WorkId]) -> tuple[list[WorkId], Matrix]:
        query = select(work_vectors.c.work_id, work_vectors.c.vector).where(work_vectors.c.model == model)
        found = {row.work_id: row.vector async for row in self.db.rows_among(ids, work_vectors.c.work_id, query)}
        known = [work_id for work_id in ids if work_id in found]
        return known, stacked([found[work_id] for work_id in known])

    async def sentence_vectors(self, model: str, ids: Sequence[WorkId]) -> dict[WorkId, tuple[tuple[str, ...], Matrix]]:
        found = {}
        query = select(work_vectors).where(work_vectors.c.model == model)
        async for row in self.db.rows_among(ids, work_vectors.c.work_id, query):
            dimension = len(row.vector) // 2
            found[WorkId(row.work_id)] = (tuple(row.sentences), unpacked(row.sentence_vectors).reshape(-1, dimension))
        return found

    async def all_work_vectors(self, model: str, *, limit: int) -> tuple[list[WorkId], Matrix]:
        mine = work_vectors.c.model == model
        async with self.db.reading() as connection:
            newest = select(work_vectors.c.work_id).where(mine).order_by(work_vectors.c.work_id.desc())
            key = (model, limit, (await connection.execute(newest.limit(1))).scalar())
            if self._all[0] != key:  # read once for many searches; what another process embeds anew waits for the next new work
                rows = (await connection.execute(newest.add_columns(work_vectors.c.vector).limit(limit))).all()
                self._all = (key, [WorkId(row.work_id) for row in rows], stacked([row.vector for row in rows]))
        return self._all[1:]

    async def save_text_vectors(self, model: str, vectors: Mapping[str, NDArray[np.float16]]) -> None:
        rows = [
            {"model": model, "text_hash": text_hash(text), "vector": vector.astype(np.float16).tobytes()}
            for text, vector in vectors.items()
        ]
        async with self.db.writing() as connection:
            await insert_many(connection, self.db.insert(text_vectors).on_conflict_do_nothing(), rows)

    async def text_vectors(self, model: str, texts: Sequence[str]) -> dict[str, Matrix]:
        hashes = {text_hash(text): text for text in texts}
        query = select(text_vectors).where(text_vectors.c.model == model)
        rows = self.db.rows_among(hashes, text_vectors.c.text_hash, query)
        return {hashes[row.text_hash]: unpacked(row.vector) async for row in rows}

    async def texts_to_embed(self, model: str, *, limit: int) -> list[str]:
        known = exists().where(and_(text_vectors.c.text_hash == interest_texts.c.text_hash, text_vectors.c.model == model))
        query = select(interest_texts.c.text).where(~known).distinct().order_by(interest_texts.c.text).limit(limit)
        return [row.text for row in await self.db.rows(query)]

    async def save_background(self, model: str, arrays: Mapping[str, NDArray[Any]], *, now: datetime) -> None:
        packed = io.BytesIO()
        np.savez(packed, allow_pickle=False, **arrays)
        values = {"created_at": now, "arrays": packed.getvalue()}
        await self.db.write(self.db.upsert(backgrounds, ["model"], values).values(model=model, **values))

    async def background(self, model: str) -> tuple[datetime, dict[str, NDArray[Any]]] | None:
        mine = backgrounds.c.model == model
        async with self.db.reading() as connection:
            made = (await connection.execute(select(backgrounds.c.created_at).where(mine))).scalar()
            if made is None:
                return None
            if self._background[0] != (model, made):
                packed = (await connection.execute(select(backgrounds.c.arrays).where(mine))).scalar_one()
                with np.load(io.BytesIO(packed), allow_pickle=False) as arrays:
                    self._background = ((model, made), dict(arrays))
        return made, self._background[1]


def stacked(blobs: Sequence[bytes]) -> Matrix:
    """(n, dimension); (0, 0) for none."""
    if not blobs:
        return np.zeros((0, 0), dtype=np.float32)
    return np.frombuffer(b"".join(blobs), dtype=np.float16).reshape(len(blobs), -1).astype(np.float32)
