"""Fetcher: conditional HTTP with size and time caps, an SSRF guard and politeness; and files (I/O)."""

import asyncio
import ipaddress
import socket
import zlib
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from datetime import UTC, datetime
from http.cookiejar import CookieJar, DefaultCookiePolicy
from pathlib import Path
from urllib.parse import urljoin, urlsplit

import brotli
import httpx2

from paperround.errors import FetchError
from paperround.models import Fetched
from paperround.sources.polling import retry_after

HOPS = 5  # redirects followed
PACE = {"arxiv.org": 3.0}  # seconds between requests to a domain and its hosts, by its own rules
CHUNK = 65_536
ACCEPT = "application/atom+xml, application/rss+xml, application/feed+json, application/json;q=0.9, text/html;q=0.8, */*;q=0.5"
_NAT64 = ipaddress.ip_network("64:ff9b::/96")
_UNICAST = ipaddress.ip_network("2000::/3")  # all that is given out of IPv6
_NOBODYS = tuple(  # inside what Python calls global, and for protocols and documentation all the same (IANA special-purpose registries)
    map(ipaddress.ip_network, ("192.0.0.0/24", "192.88.99.0/24", "2001::/23", "3fff::/20"))
)


class HttpFetcher:
    """One for all sources: it knows when each host was asked last, and never asks one twice at the same time."""

    def __init__(
        self,
        *,
        user_agent: str,
        allow_private_hosts: Sequence[str] = (),
        max_bytes: int = 10_000_000,
        total_seconds: float = 60.0,
        pace: Mapping[str, float] = PACE,
        turn: Callable[[str, float], Awaitable[float]] | None = None,
    ) -> None:
        """`turn`: given a host and its pace, the seconds until this process may ask it; for several processes that share a pace."""
        self._allowed = {host.casefold().rstrip(".") for host in allow_private_hosts}
        self._max_bytes, self._total, self._pace = max_bytes, total_seconds, pace
        self._client = httpx2.AsyncClient(
            headers={"User-Agent": user_agent, "Accept": ACCEPT, "Accept-Encoding": "gzip, deflate, br"},
            follow_redirects=False,  # every hop is checked
            cookies=CookieJar(DefaultCookiePolicy(allowed_domains=())),  # none: hosts that share an address would share them
            limits=httpx2.Limits(max_keepalive_connections=0),  # likewise: a connection is to an address, its certificate of one host
            trust_env=False,  # a proxy would connect to addresses that nobody checked
            timeout=httpx2.Timeout(total_seconds, connect=min(20.0, total_seconds)),
        )
        self._turn_of = turn
        self._locks: dict[str, asyncio.Lock] = {}
        self._asked: dict[str, float] = {}

    async def fetch(self, location: str, *, etag: str | None = None, last_modified: str | None = None) -> Fetched:
        """One conditional request, redirects followed; or one file read. Raises FetchError in one line that names the place."""
        if "://" not in location:
            return await asyncio.to_thread(read_file, Path(location), self._max_bytes)
        validators = {"If-None-Match": etag, "If-Modified-Since": last_modified}
        try:
            async with asyncio.timeout(self._total) as limit:
                return await self._follow(location, {name: value.encode("latin-1") for name, value in validators.items() if value}, limit)
        except TimeoutError:
            raise FetchError(f"{location}: no whole answer within {self._total:g} s") from None
        except (httpx2.HTTPError, httpx2.InvalidURL, OSError, ValueError) as error:
            if isinstance(error, FetchError):
                raise
            raise FetchError(f"{location}: {_told(error)}") from error

    async def aclose(self) -> None:
        await self._client.aclose()

    async def _follow(self, location: str, validators: dict[str, bytes], limit: asyncio.Timeout) -> Fetched:
        url, permanent = location, True
        for _ in range(HOPS + 1):
            answer = await self._ask(url, validators, limit)
            if answer.status == 304 and not validators:
                raise FetchError(f"{location}: the server answered 304 to a question without validators", status=304)
            if answer.status not in (301, 302, 303, 307, 308) or "location" not in answer.headers:
                return self._judged(answer, location, url if permanent and url != location else None)
            permanent = permanent and answer.status in (301, 308)
            url = urljoin(url, answer.headers["location"].encode("latin-1").decode("utf-8", "replace"))
        raise FetchError(f"{location}: more than {HOPS} redirects")

    def _judged(self, answer: Fetched, location: str, moved: str | None) -> Fetched:
        wait = retry_after(answer.headers.get("retry-after", ""), datetime.now(UTC))
        if answer.status in (200, 203, 304, 410):
            return replace(answer, permanent_redirect=moved, retry_after=wait)
        raise FetchError(f"{location}: the server answered {answer.status}", status=answer.status, retry_after=wait)

    async def _ask(self, url: str, validators: dict[str, bytes], limit: asyncio.Timeout) -> Fetched:
        """One request, to the first of the host's checked addresses that can be connected to."""
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise FetchError(f"{url}: only http and https are fetched")
        async with self._turn(parts.hostname.rstrip("."), limit):
            *others, last = await self._checked(parts.hostname)
            for address in others:
                with suppress(httpx2.ConnectError, httpx2.ConnectTimeout):
                    return await self._request(url, address, validators)
            return await self._request(url, last, validators)

    @asynccontextmanager
    async def _turn(self, host: str, limit: asyncio.Timeout) -> AsyncIterator[None]:
        """Our turn at a host: one request at a time, and its pace kept. The server's time stands still while we wait for it."""
        domain = host_group(host, self._pace)
        clock = asyncio.get_running_loop().time
        left = (limit.when() or clock()) - clock()
        limit.reschedule(None)
        async with self._locks.setdefault(domain, asyncio.Lock()):
            if domain in self._asked:
                await asyncio.sleep(self._asked[domain] + self._pace.get(domain, 0.0) - clock())
            if self._turn_of and domain in self._pace:
                await asyncio.sleep(await self._turn_of(domain, self._pace[domain]))
            limit.reschedule(clock() + left)
            try:
                yield
            finally:
                self._asked[domain] = clock()

    async def _request(self, url: str, address: str, validators: dict[str, bytes]) -> Fetched:
        target = httpx2.URL(url)
        request = self._client.build_request(
            "GET",
            target.copy_with(host=address),
            headers={b"Host": target.netloc.rpartition(b"@")[2], **{name.encode(): value for name, value in validators.items()}},
            extensions={"sni_hostname": target.raw_host.decode("ascii").rstrip(".")},
        )
        response = await self._client.send(request, stream=True)
        response.headers.encoding = "latin-1"  # validators go back byte for byte
        try:
            headers = {name.lower(): value for name, value in response.headers.items()}
            body = await self._body(response, url) if response.status_code in (200, 203) else b""
            return Fetched(status=response.status_code, url=url, body=body, headers=headers)
        finally:
            await response.aclose()

    async def _body(self, response: httpx2.Response, url: str) -> bytes:
        """The decoded body, counted while it comes: a small answer may unpack to gigabytes."""
        decoder = Decoder(response.headers.get("content-encoding", ""), self._max_bytes)
        parts, received, size = [], 0, 0
        async for raw in response.aiter_raw(CHUNK):
            received += len(raw)
            for part in decoder.decode(raw):
                size += len(part)
                parts.append(part)
                if size > self._max_bytes:
                    break
            if max(size, received) > self._max_bytes:
                raise FetchError(f"{url}: larger than {self._max_bytes:,} bytes")
        return b"".join(parts)

    async def _checked(self, host: str) -> list[str]:
        """Addresses of the host to connect to; each one must be public unless the host is allowed by name. Raises FetchError."""
        name = host.casefold().rstrip(".")
        loop = asyncio.get_running_loop()
        try:
            found = await loop.getaddrinfo(name, None, type=socket.SOCK_STREAM)
        except (OSError, UnicodeError) as error:
            raise FetchError(f"{host}: the name cannot be resolved: {_told(error)}") from None
        addresses = list(dict.fromkeys(str(each[4][0]) for each in found))
        if name not in self._allowed:
            for address in addresses:
                if not is_public(address):
                    raise FetchError(f"{host}: its address {address} is not public; name it in allow_private_hosts to read from it")
        return addresses[:3]


def host_group(host: str, paced: Iterable[str] = PACE) -> str:
    """Whose pace a host is asked at: hosts of one name are asked one after the other."""
    return next((domain for domain in paced if host == domain or host.endswith(f".{domain}")), host)


def is_public(address: str) -> bool:
    """Whether an address is of the public internet, looked at through every way to write an IPv4 address as an IPv6 one."""
    ip = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(ip, ipaddress.IPv6Address):
        inner = ip.ipv4_mapped or ip.sixtofour or (ipaddress.IPv4Address(int(ip) & 0xFFFFFFFF) if ip in _NAT64 else None)
        if inner is None and ip not in _UNICAST:
            return False
        ip = inner or ip
    return ip.is_global and not ip.is_multicast and not any(ip in network for network in _NOBODYS)


class Decoder:
    """Undoes a content encoding piece by piece, never more than `limit` bytes at once."""

    def __init__(self, encoding: str, limit: int) -> None:
        self._limit = limit
        self._names = [each.strip().lower() for each in encoding.split(",") if each.strip().lower() not in ("", "identity")]
        self._zlib: zlib._Decompress | None = None
        self._brotli: brotli.Decompressor | None = None
        if len(self._names) > 1 or (self._names and self._names[0] not in ("gzip", "x-gzip", "deflate", "br")):
            raise FetchError(f"the content encoding {encoding!r} is not read")
        if self._names == ["br"]:
            self._brotli = brotli.Decompressor()

    def decode(self, raw: bytes) -> Iterator[bytes]:
        try:
            if self._brotli is not None:
                yield self._brotli.process(raw, output_buffer_limit=self._limit + 1)
            elif self._names:
                yield from self._inflate(raw)
            else:
                yield raw
        except (zlib.error, brotli.error) as error:
            raise FetchError(f"the compressed answer is damaged: {error}") from None

    def _inflate(self, raw: bytes) -> Iterator[bytes]:
        if self._zlib is None:  # "deflate" comes with and without its header
            bare = self._names == ["deflate"] and raw[:1] not in (b"\x78",)
            self._zlib = zlib.decompressobj(-zlib.MAX_WBITS if bare else zlib.MAX_WBITS | 32)
        rest = raw
        while rest and not self._zlib.eof:  # what follows the end is no part of the answer
            yield self._zlib.decompress(rest, CHUNK * 4)
            rest = self._zlib.unconsumed_tail


def read_file(path: Path, max_bytes: int) -> Fetched:
    """A file as if it had been fetched. Raises FetchError."""
    try:
        if path.is_dir():
            raise FetchError(f"{path}: is a folder; add its files")
        with path.open("rb") as file:
            body = file.read(max_bytes + 1)
    except OSError as error:
        if isinstance(error, FetchError):
            raise
        raise FetchError(f"{path}: {error.strerror or error}") from None
    if len(body) > max_bytes:
        raise FetchError(f"{path}: larger than {max_bytes:,} bytes")
    return Fetched(status=200, url=str(path), body=body)


def expand(path: Path) -> list[Path]:
    """A folder's files, sorted, without hidden ones and sub-folders; a file as itself. Raises FetchError."""
    if not path.is_dir():
        if not path.exists():
            raise FetchError(f"{path}: there is no such file; an address begins with https://")
        return [path]
    with suppress(OSError):
        return sorted(each for each in path.iterdir() if each.is_file() and not each.name.startswith("."))
    raise FetchError(f"{path}: the folder cannot be read")


def _told(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__
