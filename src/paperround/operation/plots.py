"""Room: plots. Numbers as small SVG pictures that stretch with their frame; labels stand beside them as text (pure)."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import ceil, log10

WIDE, HIGH = 1000, 300  # of the canvas; a picture is stretched to its frame, so only lines that keep their width are drawn


@dataclass(frozen=True, slots=True, kw_only=True)
class Plot:
    """One picture with all it needs to be understood, and the same numbers as a table. `svg` "": there is nothing to show yet."""

    title: str
    said: str  # the sentence above it
    head: Sequence[str]
    rows: Sequence[Sequence[str]]
    svg: str = ""
    up: Sequence[str] = ()  # labels of the upright axis, from the top
    across: Sequence[str] = ()  # labels of the other, from the left
    legend: Sequence[str] = ()  # names of the series, in the order of their colours
    across_means: str = ""
    even: bool = False  # each label of `across` stands under its own column
    sideways: bool = False  # each label of `up` stands beside its own row


def lines(series: Sequence[Sequence[float]], top: float) -> str:
    """Series of equally distant values as lines; the first with its ground tinted."""
    drawn = []
    for number, values in enumerate(series):
        points = " ".join(f"{x:.1f},{HIGH - HIGH * value / top:.1f}" for x, value in zip(_spread(len(values)), values, strict=True))
        if not number:
            drawn.append(f'<polygon class="ground" points="0,{HIGH} {points} {WIDE},{HIGH}"/>')
        drawn.append(f'<polyline class="line c{number}" points="{points}"/>')
    return _framed(drawn)


def bars(columns: Sequence[Sequence[float]], top: float, *, gap: float = 0.25) -> str:
    """Columns of stacked values from the bottom up; a value of each series, in the order of the colours."""
    drawn, width = [], WIDE / max(1, len(columns))
    for number, stack in enumerate(columns):
        bottom = float(HIGH)
        for series, value in enumerate(stack):
            if value:
                height = HIGH * value / top
                bottom -= height
                place = f'x="{number * width + width * gap / 2:.1f}" y="{bottom:.1f}" width="{width * (1 - gap):.1f}" height="{height:.1f}"'
                drawn.append(f'<rect class="c{series}" {place}/>')
    return _framed(drawn)


def rows(values: Sequence[float], top: float, *, gap: float = 0.3) -> str:
    """One bar a value from the left, the first on top."""
    high = HIGH / max(1, len(values))
    thick = high * (1 - gap)
    drawn = [
        f'<rect class="c0" x="0" y="{number * high + high * gap / 2:.1f}" width="{WIDE * value / top:.1f}" height="{thick:.1f}"/>'
        for number, value in enumerate(values)
    ]
    return _framed(drawn, upright=True)


def dots(points: Sequence[tuple[float, float]], *, diagonal: bool) -> str:
    """Points in the unit square, joined; with the line on which both are equal."""
    placed = [(x * WIDE, HIGH - y * HIGH) for x, y in points]
    drawn = [f'<polyline class="equal" points="0,{HIGH} {WIDE},0"/>'] if diagonal else []
    drawn.append(f'<polyline class="line c0" points="{" ".join(f"{x:.1f},{y:.1f}" for x, y in placed)}"/>')
    drawn += [f'<path class="dot" d="M{x:.1f} {y:.1f}h0"/>' for x, y in placed]
    return _framed(drawn)


def _framed(drawn: Sequence[str], *, upright: bool = False) -> str:
    places = [f"M{WIDE * part / 4:.0f} 0V{HIGH}" if upright else f"M0 {HIGH * part / 4 - HIGH / 4:.0f}H{WIDE}" for part in range(1, 5)]
    rules = "".join(f'<path class="rule" d="{place}"/>' for place in places)
    return f'<svg viewBox="0 0 {WIDE} {HIGH}" preserveAspectRatio="none" aria-hidden="true">{rules}{"".join(drawn)}</svg>'


def _spread(count: int) -> Iterator[float]:
    return (WIDE * number / max(1, count - 1) for number in range(count))


def scale(highest: float) -> tuple[float, list[str]]:
    """A round top not below the highest value, and the labels of four steps down from it."""
    size = 10 ** max(0, ceil(log10(max(highest, 1))) - 1)
    top = next(top for step in range(4, 101, 4) if (top := size * step if size > 1 else step) >= highest)
    return float(top), [figure(top * part / 4) for part in (4, 3, 2, 1, 0)]


def thinned(labels: Sequence[str], most: int = 6) -> list[str]:
    """At most so many of the labels, evenly and with the last; the others are empty."""
    step = ceil(len(labels) / most)
    return [label if (len(labels) - 1 - number) % step == 0 else "" for number, label in enumerate(labels)]


def share(part: float, whole: float) -> str:
    """A rate in per cent, with a digit after the point where it is small."""
    if not whole:
        return "–"
    rate = 100 * part / whole
    return f"{rate:.0f} %" if rate >= 10 or not rate else f"{rate:.1f} %"


def figure(value: float) -> str:
    return f"{value:,.0f}"
