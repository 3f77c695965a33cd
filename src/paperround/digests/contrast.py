"""Room: contrast. Whether a list's own colours can be read on our papers, by day and by night (pure)."""

from collections.abc import Iterator

from paperround.models import ListIdentity

LIGHT, DARK = ("#fbf9f4", "#f4efe4"), ("#171512", "#26221c")  # paper and tint of our own templates
LEAST_CONTRAST = 4.5


def pale_colours(identity: ListIdentity) -> Iterator[str]:
    """Which accent colours are hard to read on the paper and the tinted boxes of our own templates (WCAG 2.2, 1.4.3)."""
    for key, colour, papers in (("colour", identity.colour, LIGHT), ("colour_dark", identity.colour_dark, DARK)):
        least = min(contrast(colour, paper) for paper in papers)
        if least < LEAST_CONTRAST:
            yield f"list.{key}: {colour} has a contrast of {least:.1f} to the paper; text needs {LEAST_CONTRAST}"


def contrast(one: str, other: str) -> float:
    """1 … 21, of two colours as #rrggbb."""
    darker, lighter = sorted(map(_luminance, (one, other)))
    return (lighter + 0.05) / (darker + 0.05)


def _luminance(colour: str) -> float:
    shares = [value / 255 for value in bytes.fromhex(colour[1:])]
    red, green, blue = [share / 12.92 if share <= 0.04045 else float(((share + 0.055) / 1.055) ** 2.4) for share in shares]
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue
