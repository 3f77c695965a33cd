"""The Fetching rules, each on a real connection to a scripted server: what goes over the wire, what is refused, what is capped."""

import asyncio
import gzip
import itertools
import zlib
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import brotli
import pytest
from tests.sources.origin_server import Answer, Asked, Origin, response

from paperround.errors import FetchError
from paperround.sources.fetcher import PACE, HttpFetcher, is_public

AGENT = "Paperround/1 (+mailto:ada@example.org)"
BODY = b"<rss><channel><title>x</title></channel></rss>"
Fetching = Callable[..., HttpFetcher]


@pytest.fixture
async def fetching() -> AsyncIterator[Fetching]:
    """Makes fetchers that may read from this machine, and closes them."""
    made: list[HttpFetcher] = []

    def make(**given: object) -> HttpFetcher:
        made.append(HttpFetcher(**{"user_agent": AGENT, "allow_private_hosts": ["localhost"], **given}))
        return made[-1]

    yield make
    for each in made:
        await each.aclose()


# ---------------------------------------------------------------- what is asked, and what is made of the answer


@pytest.mark.parametrize("etag", [b'"plain"', b'W/"weak"', b'"caf\xe9"', b'"caf\xc3\xa9"', b"unquoted", b'"a, \\"b\\""'])
async def test_validators_go_back_byte_for_byte(origin: Origin, fetching: Fetching, etag: bytes) -> None:
    modified = "Mon,  2-Mar-2026 08:00 +0100"
    origin.answers["/feed"] = lambda asked: (
        response(304) if "if-none-match" in asked.headers else response(body=BODY, etag=etag, last_modified=modified)
    )
    fetcher = fetching()
    first = await fetcher.fetch(origin.url())
    second = await fetcher.fetch(origin.url(), etag=first.headers["etag"], last_modified=first.headers["last-modified"])
    assert (first.body, second.status, second.body) == (BODY, 304, b"")
    assert (origin.asked[1].headers["if-none-match"], origin.asked[1].headers["if-modified-since"]) == (etag, modified.encode())
    assert "if-none-match" not in origin.asked[0].headers


async def test_we_say_who_we_are_and_what_we_read(origin: Origin, fetching: Fetching) -> None:
    origin.answers["/feed"] = response(body=BODY, set_cookie="id=1")
    fetcher = fetching()
    for _ in range(2):
        await fetcher.fetch(origin.url())
    headers = origin.asked[1].headers
    assert headers["user-agent"] == AGENT.encode()
    assert headers["host"] == f"localhost:{origin.port}".encode()
    assert headers["accept-encoding"] == b"gzip, deflate, br"
    assert "cookie" not in headers


async def test_a_proxy_of_the_environment_is_not_used(origin: Origin, fetching: Fetching, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    origin.answers["/feed"] = response(body=BODY)
    assert (await fetching().fetch(origin.url())).body == BODY


async def test_retry_after_is_read_in_both_forms(origin: Origin, fetching: Fetching) -> None:
    date = format_datetime(datetime.now(UTC) + timedelta(hours=2), usegmt=True)
    origin.answers |= {"/a": response(429, retry_after="7200"), "/b": response(503, retry_after=date)}
    for path in ("/a", "/b"):
        with pytest.raises(FetchError) as caught:
            await fetching().fetch(origin.url(path))
        assert caught.value.retry_after == pytest.approx(7200, abs=60)
        assert caught.value.status in (429, 503)


@pytest.mark.parametrize("status", [400, 401, 403, 404, 429, 500, 502, 503])
async def test_a_refusal_is_an_error_with_its_status(origin: Origin, fetching: Fetching, status: int) -> None:
    origin.answers["/feed"] = response(status, BODY)
    with pytest.raises(FetchError, match=f"answered {status}") as caught:
        await fetching().fetch(origin.url())
    assert caught.value.status == status


async def test_gone_is_an_answer_and_not_modified_without_a_question_is_none(origin: Origin, fetching: Fetching) -> None:
    origin.answers |= {"/gone": response(410), "/odd": response(304)}
    assert (await fetching().fetch(origin.url("/gone"))).status == 410
    with pytest.raises(FetchError, match="without validators"):
        await fetching().fetch(origin.url("/odd"))


@pytest.mark.parametrize(
    ("chain", "permanent"), [((301,), True), ((308,), True), ((301, 308), True), ((302,), False), ((307,), False), ((303, 301), False)]
)
async def test_only_an_unbroken_chain_of_permanent_redirects_moves_a_source(
    origin: Origin, fetching: Fetching, chain: tuple[int, ...], permanent: bool
) -> None:
    for number, status in enumerate(chain):
        origin.answers[f"/{number}"] = response(status, location=f"/{number + 1}" if number else origin.url("/1"))
    end = f"/{len(chain)}"
    origin.answers[end] = response(body=BODY)
    found = await fetching().fetch(origin.url("/0"))
    assert (found.body, found.url) == (BODY, origin.url(end))
    assert found.permanent_redirect == (origin.url(end) if permanent else None)


@pytest.mark.parametrize(("hops", "read"), [(5, True), (6, False)])
async def test_five_redirects_are_followed_and_no_more(origin: Origin, fetching: Fetching, hops: int, read: bool) -> None:
    origin.answers |= {f"/{number}": response(302, location=f"/{number + 1}") for number in range(hops)}
    origin.answers[f"/{hops}"] = response(body=BODY)
    if read:
        assert (await fetching().fetch(origin.url("/0"))).body == BODY
    else:
        with pytest.raises(FetchError, match="more than 5 redirects"):
            await fetching().fetch(origin.url("/0"))
    assert len(origin.asked) == 6


async def test_a_redirect_in_letters_of_its_own_is_followed(origin: Origin, fetching: Fetching) -> None:
    origin.answers |= {"/feed": response(302, location="/café".encode()), "/caf%C3%A9": response(body=BODY)}
    assert (await fetching().fetch(origin.url())).body == BODY


# ---------------------------------------------------------------- politeness


async def test_one_host_is_asked_one_thing_at_a_time_and_others_beside_it(
    origin: Origin, fetching: Fetching, names: dict[str, list[str]]
) -> None:
    async def slowly(_: Asked) -> AsyncIterator[bytes]:
        await asyncio.sleep(0.03)
        yield response(body=BODY)

    names |= {"one.test": ["127.0.0.1"], "two.test": ["127.0.0.1"]}
    origin.answers |= {f"/{number}": slowly for number in range(4)}
    fetcher = fetching(allow_private_hosts=list(names))
    await asyncio.gather(*(fetcher.fetch(origin.url(f"/{number}", "one.test")) for number in range(4)))
    assert origin.most_at_once == 1
    await asyncio.gather(*(fetcher.fetch(origin.url("/1", name)) for name in names))
    assert origin.most_at_once == 2


async def test_the_pace_of_a_domain_holds_over_all_its_hosts_and_waiting_for_it_is_no_fault(
    origin: Origin, fetching: Fetching, names: dict[str, list[str]]
) -> None:
    hosts = ["paced.test", "export.paced.test", "RSS.paced.test", "paced.test."]
    names |= {host.lower().rstrip("."): ["127.0.0.1"] for host in hosts}
    origin.answers["/feed"] = response(body=BODY)
    fetcher = fetching(allow_private_hosts=list(names), pace={"paced.test": 0.12}, total_seconds=0.2)
    await asyncio.gather(*(fetcher.fetch(origin.url(host=host)) for host in hosts))
    times = [asked.at for asked in origin.asked]
    assert len(times) == 4
    assert all(later - sooner >= 0.12 for sooner, later in itertools.pairwise(times))


def test_arxiv_is_asked_once_in_three_seconds() -> None:
    assert PACE["arxiv.org"] == 3.0


# ---------------------------------------------------------------- caps


def deflated(body: bytes) -> bytes:
    return zlib.compress(body, wbits=-15)


ENCODINGS: list[tuple[str, Callable[[bytes], bytes]]] = [
    ("gzip", gzip.compress),
    ("x-gzip", gzip.compress),
    ("deflate", zlib.compress),
    ("deflate", deflated),
    ("br", lambda body: brotli.compress(body, quality=5)),
]


@pytest.mark.parametrize(("encoding", "pack"), ENCODINGS)
async def test_packed_answers_are_unpacked_and_bombs_are_stopped(
    origin: Origin, fetching: Fetching, encoding: str, pack: Callable[[bytes], bytes]
) -> None:
    origin.answers |= {"/feed": response(body=pack(BODY), content_encoding=encoding)}
    origin.answers |= {"/bomb": response(body=pack(bytes(11_000_000)), content_encoding=encoding)}
    fetcher = fetching()
    assert (await fetcher.fetch(origin.url())).body == BODY
    with pytest.raises(FetchError, match="larger than 10,000,000 bytes"):
        await fetcher.fetch(origin.url("/bomb"))


async def endless(_: Asked) -> AsyncIterator[bytes]:
    yield b"HTTP/1.1 200 OK\r\n\r\n"
    while True:
        yield bytes(100_000)


async def endless_behind_gzip(_: Asked) -> AsyncIterator[bytes]:
    yield b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\n\r\n" + gzip.compress(BODY)
    while True:
        yield bytes(100_000)


async def dripping(_: Asked) -> AsyncIterator[bytes]:
    yield b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n"
    while True:
        yield b"x"
        await asyncio.sleep(0.02)


async def dripping_headers(_: Asked) -> AsyncIterator[bytes]:
    yield b"HTTP/1.1 200 OK\r\n"
    while True:
        yield b"X-More: x\r\n"
        await asyncio.sleep(0.02)


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        (endless, "larger than"),
        (endless_behind_gzip, "larger than"),
        (dripping, "no whole answer within 0.5 s"),
        (dripping_headers, "no whole answer within 0.5 s"),
        (b"HTTP/1.1 200 OK\r\n" + b"X-Long: " + b"x" * 200_000 + b"\r\n\r\n", "feed: "),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\nshort", "feed: "),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", "feed: "),
        (b"what is this\r\n\r\n", "feed: "),
        (b"", "feed: "),
        (response(body=b"\x1f\x8bnot gzip", content_encoding="gzip"), "damaged"),
        (response(body=b"not brotli", content_encoding="br"), "damaged"),
        (response(body=b"x", content_encoding="gzip, gzip"), "not read"),
        (response(body=b"x", content_encoding="zstd"), "not read"),
    ],
)
async def test_answers_without_end_or_sense_are_errors_of_one_line(origin: Origin, fetching: Fetching, answer: Answer, told: str) -> None:
    origin.answers["/feed"] = answer
    with pytest.raises(FetchError, match=told) as caught:
        await fetching(total_seconds=0.5, max_bytes=1_000_000).fetch(origin.url())
    assert "\n" not in str(caught.value)


# ---------------------------------------------------------------- which hosts may be read

SPELLINGS = """
http://127.0.0.1:PORT/ http://127.0.0.1.:PORT/ http://127.1:PORT/ http://127.0.1:PORT/ http://0:PORT/ http://0.0.0.0:PORT/
http://2130706433:PORT/ http://017700000001:PORT/ http://0x7f000001:PORT/ http://0x7F.1:PORT/ http://0177.0.0.1:PORT/ http://0x7f.0x0.0x0.0x1:PORT/
http://127.0.0.1%2e:PORT/ http://①②⑦.⓪.⓪.①:PORT/ http://127。0。0。1:PORT/ http://[::1]:PORT/ http://[::]:PORT/ http://[0:0:0:0:0:0:0:1]:PORT/
http://[::ffff:127.0.0.1]:PORT/ http://[::ffff:7f00:1]:PORT/ http://[::127.0.0.1]:PORT/ http://[::ffff:0:127.0.0.1]:PORT/
http://[64:ff9b::127.0.0.1]:PORT/ http://[64:ff9b:1::7f00:1]:PORT/ http://[2002:7f00:1::]:PORT/ http://[2001:0:1::1]:PORT/
http://[fe80::1]:PORT/ http://[fe80::1%25lo]:PORT/ http://[fc00::1]:PORT/ http://[fec0::1]:PORT/ http://[ff02::1]:PORT/ http://[100::1]:PORT/
http://[2001:db8::1]:PORT/ http://10.0.0.1:PORT/ http://172.16.0.1:PORT/ http://192.168.0.1:PORT/ http://169.254.169.254:PORT/
http://100.64.0.1:PORT/ http://198.18.0.1:PORT/ http://192.0.0.8:PORT/ http://224.0.0.1:PORT/ http://240.0.0.1:PORT/ http://255.255.255.255:PORT/
http://localhost:PORT/ http://LOCALHOST:PORT/ http://localhost.:PORT/ HTTP://localhost:PORT/ http://example.org@127.0.0.1:PORT/
http://example.org:80@127.0.0.1:PORT/ http://example.org%40127.0.0.1:PORT/ http://example.org\\@127.0.0.1:PORT/ http://127.0.0.1:PORT\\@example.org/
http://127.0.0.1:PORT#@example.org/ http://127.0.0.1:PORT?@example.org/ http://user:pass@[::1]:PORT/ http://[::1]@127.0.0.1:PORT/
http://127.0.0.1:99999/ http://:PORT/ http:///127.0.0.1:PORT/ http:127.0.0.1:PORT/// ://127.0.0.1:PORT/ file:///etc/hostname gopher://127.0.0.1:PORT/_x
ftp://127.0.0.1:PORT/ ws://127.0.0.1:PORT/ https://127.0.0.1:PORT/ http://127.0.0.1\t:PORT/ data://text/html,x javascript://127.0.0.1:PORT/ jar:http://127.0.0.1:PORT/!/
""".replace("\\t", "\t").split(" ")


@pytest.mark.parametrize("spelling", [each for several in SPELLINGS for each in several.split("\n") if each])
async def test_no_spelling_of_a_private_address_is_read(origin: Origin, fetching: Fetching, spelling: str) -> None:
    origin.answers["/"] = response(body=BODY)
    with pytest.raises(FetchError):
        await fetching(allow_private_hosts=[]).fetch(spelling.replace("PORT", str(origin.port)))
    assert origin.asked == []


@pytest.mark.parametrize(
    "location",
    [
        "http://127.0.0.1:PORT/",
        "//127.0.0.1:PORT/",
        "http://0x7f.1:PORT/",
        "http://[::1]:PORT/",
        "http://private.test:PORT/",
        "file:///etc/hostname",
    ],
)
async def test_each_redirect_is_checked_again(origin: Origin, fetching: Fetching, names: dict[str, list[str]], location: str) -> None:
    names |= {"open.test": ["127.0.0.1"], "private.test": ["10.0.0.1"], "127.0.0.1": ["127.0.0.1"], "0x7f.1": ["127.0.0.1"], "::1": ["::1"]}
    origin.answers |= {"/feed": response(302, location=location.replace("PORT", str(origin.port))), "/": response(body=BODY)}
    with pytest.raises(FetchError, match=r"not public|only http"):
        await fetching(allow_private_hosts=["open.test"]).fetch(origin.url(host="open.test"))
    assert [asked.path for asked in origin.asked] == ["/feed"]


async def test_one_private_address_among_public_ones_is_enough_to_refuse(
    origin: Origin, fetching: Fetching, names: dict[str, list[str]]
) -> None:
    names["mixed.test"] = ["93.184.215.14", "127.0.0.1"]
    with pytest.raises(FetchError, match=r"127\.0\.0\.1 is not public"):
        await fetching().fetch(origin.url(host="mixed.test"))


async def test_what_was_checked_is_connected_to_though_the_name_changes_its_mind(
    origin: Origin, fetching: Fetching, names: dict[str, list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    loop, looked_up = asyncio.get_running_loop(), []
    names["fickle.test"] = ["127.0.0.1"]
    resolve = loop.getaddrinfo

    async def once(host: str, *_: object, **__: object) -> object:
        looked_up.append(host)
        found = await resolve(host, None)
        names["fickle.test"] = ["10.0.0.1"]
        return found

    monkeypatch.setattr(loop, "getaddrinfo", once)
    origin.answers["/feed"] = response(body=BODY)
    assert (await fetching(allow_private_hosts=["fickle.test"]).fetch(origin.url(host="fickle.test"))).body == BODY
    assert looked_up == ["fickle.test"]
    assert origin.asked[0].headers["host"] == f"fickle.test:{origin.port}".encode()


async def test_an_address_that_does_not_answer_gives_way_to_the_next(
    origin: Origin, fetching: Fetching, names: dict[str, list[str]]
) -> None:
    names["two.test"] = ["127.0.0.2", "127.0.0.1"]
    origin.answers["/feed"] = response(body=BODY)
    assert (await fetching(allow_private_hosts=["two.test"]).fetch(origin.url(host="two.test"))).body == BODY


async def test_a_private_host_may_be_read_when_it_is_named(origin: Origin) -> None:
    origin.answers["/feed"] = response(body=BODY)
    async with aclosing(HttpFetcher(user_agent=AGENT, allow_private_hosts=["Localhost."])) as fetcher:
        assert (await fetcher.fetch(origin.url())).body == BODY


@pytest.mark.parametrize(
    "address", ["93.184.215.14", "2606:4700::1111", "::ffff:93.184.215.14", "64:ff9b::93.184.215.14", "2002:5db8:d70e::1"]
)
def test_public_addresses_are_public_however_they_are_written(address: str) -> None:
    assert is_public(address)
