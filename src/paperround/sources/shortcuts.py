"""Shortcuts: short names of places that many read, and addresses that hold the day (pure)."""

from datetime import UTC, datetime
from urllib.parse import quote, quote_plus, unquote_plus, urlsplit

_HUB = "https://huggingface.co/api/"
_SUBJECTS = {
    "arxiv": "https://rss.arxiv.org/atom/",
    "biorxiv": "https://connect.biorxiv.org/biorxiv_xml.php?subject=",
    "medrxiv": "https://connect.medrxiv.org/medrxiv_xml.php?subject=",
}
_DIGESTS = {  # the plain one lists the last hundred, so a day is read again until it is two days old
    "daily-papers": f"{_HUB}daily_papers?limit=100",
    "daily-papers/week": f"{_HUB}daily_papers?week={{week}}&limit=100",
    "daily-papers/month": f"{_HUB}daily_papers?month={{month}}&limit=100",
}


def expanded(place: str) -> str:
    """The address that a shortcut stands for, an address in its usual spelling, anything else as it is. Raises ValueError."""
    place = place.strip()
    name, _, rest = place.partition(":")
    name = name.casefold()
    if name in _SUBJECTS:
        if not rest.strip("/"):
            raise ValueError(f"{place}: which subject? For instance {name}:{'cs.CL' if name == 'arxiv' else 'neuroscience'}")
        return _SUBJECTS[name] + quote(rest.strip().replace(" ", "_"), safe="+._-")
    if name == "hf":
        if rest.startswith("search?q=") and rest != "search?q=":
            return f"{_HUB}papers/search?q={quote_plus(unquote_plus(rest.removeprefix('search?q=')))}"
        if rest not in _DIGESTS:
            raise ValueError(f"{place}: hf: knows {', '.join(_DIGESTS)} and search?q=WORDS")
        return _DIGESTS[rest]
    if name == "feed":  # what browsers once handed to feed readers
        place = rest if rest.startswith(("http:", "https:")) else f"https:{rest}"
    parts = urlsplit(place)
    if parts.scheme not in ("http", "https"):
        return place
    return parts._replace(netloc=parts.netloc if "@" in parts.netloc else parts.netloc.lower(), fragment="").geturl()


def dated(location: str, now: datetime) -> str:
    """The address with {date}, {week} and {month} filled in: today's, in UTC."""
    day = now.astimezone(UTC)
    year, week, _ = day.isocalendar()
    return location.replace("{date}", f"{day:%Y-%m-%d}").replace("{week}", f"{year}-W{week:02}").replace("{month}", f"{day:%Y-%m}")
