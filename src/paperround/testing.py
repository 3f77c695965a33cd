"""Fakes that our tests and our users' tests share: a clock that stands, an embedder without a model, a transport that remembers."""

import hashlib
import re
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import numpy as np
from numpy.typing import NDArray

from paperround.models import Envelope, SendResult

Progress = Callable[[int, int], None]


@dataclass(slots=True)
class FixedClock:
    """A clock that stands still until it is told to go on."""

    moment: datetime

    def now(self) -> datetime:
        return self.moment

    def advance(self, **by: float) -> None:
        self.moment += timedelta(**by)


class HashingEmbedder:
    """Words hashed into signed buckets: texts that share words are near each other. Deterministic, no model, no download."""

    def __init__(self, dimension: int = 256) -> None:
        self.dimension = dimension
        self.model = f"hashing@{dimension}"

    async def embed(self, texts: Sequence[str], *, progress: Progress | None = None) -> NDArray[np.float32]:
        vectors = np.zeros((len(texts), self.dimension), dtype=np.float32)
        for row, text in enumerate(texts):
            for word in re.findall(r"\w{3,}", text.casefold()):
                digest = hashlib.blake2b(word[:6].encode(), digest_size=8).digest()  # six letters: a crude stem
                number = int.from_bytes(digest, "big")
                vectors[row, number % self.dimension] += 1 if number >> 63 else -1
        if progress:
            progress(len(texts), len(texts))
        lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
        return (vectors / np.where(lengths == 0, 1, lengths)).astype(np.float32)


@dataclass(slots=True)
class RecordingTransport:
    """Accepts every message and keeps it; `answers` scripts other results, taken one a message."""

    sent: list[Envelope] = field(default_factory=list)
    answers: list[SendResult] = field(default_factory=list)

    async def send(self, envelope: Envelope, *, before_mail: Callable[[], Awaitable[bool]]) -> SendResult | None:
        if not await before_mail():
            return None
        result = self.answers.pop(0) if self.answers else SendResult(accepted=True, code=250)
        if result.accepted:
            self.sent.append(envelope)
        return result

    async def close(self) -> None:
        """Nothing to close."""
