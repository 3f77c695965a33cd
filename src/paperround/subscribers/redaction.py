"""Room: redaction. Logs name no person and open no door: addresses and signed tokens are taken out of every line (pure)."""

import re

_ADDRESS = re.compile(r"[^\s<>\"'`“”(),:;@=/]+@[\w.-]+\.\w+")
_TOKEN = re.compile(r"\b[0-9a-f]{32}\.[\w.-]{22,}|\b(?:yes|bounce)\+[\w-]+")


def redacted(text: str) -> str:
    """The text with `(address)` and `(token)` in place of what they were."""
    return _ADDRESS.sub("(address)", _TOKEN.sub("(token)", text))
