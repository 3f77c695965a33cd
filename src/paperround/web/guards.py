"""Guards: how often one network, one subject and all together may ask for something that costs or mails."""

from dataclasses import dataclass, field

from limits import RateLimitItemPerHour
from limits.storage import MemoryStorage
from limits.strategies import MovingWindowRateLimiter
from starlette.requests import Request

from paperround.subscribers.consent import address_prefix


@dataclass(frozen=True, kw_only=True)
class Guards:
    """Moving windows of an hour, in memory: a restart forgives."""

    sign_ups_per_network: int = 5
    sign_ups: int = 200
    searches_per_network: int = 60
    searches: int = 1000
    links_per_reader: int = 3  # fresh links mailed to one owner
    _limiter: MovingWindowRateLimiter = field(default_factory=lambda: MovingWindowRateLimiter(MemoryStorage()))

    def sign_up(self, network: str) -> bool:
        """Whether one more sign-up is taken; one that is not counts for nothing."""
        return self._both("sign-up", network, self.sign_ups_per_network, self.sign_ups)

    def search(self, network: str) -> bool:
        return self._both("search", network, self.searches_per_network, self.searches)

    def owner_link(self, public_id: str) -> bool:
        return self._limiter.hit(RateLimitItemPerHour(self.links_per_reader), "link", public_id)

    def _both(self, what: str, network: str, most: int, most_in_all: int) -> bool:
        one, every = RateLimitItemPerHour(most), RateLimitItemPerHour(most_in_all)
        if not self._limiter.test(every, what, "all") or not self._limiter.hit(one, what, network):
            return False
        return self._limiter.hit(every, what, "all")


def network_of(request: Request) -> str | None:
    """The /24 or /48 that a request comes from; behind a proxy uvicorn has put the real address there."""
    return address_prefix(request.client.host) if request.client else None
