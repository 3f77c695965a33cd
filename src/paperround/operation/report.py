"""Room: report. An installation's last months as plots and tables, from what was counted (pure)."""

from collections import Counter, defaultdict, deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from math import log10
from statistics import median, quantiles

from paperround.operation.plots import Plot, bars, dots, figure, lines, rows, scale, share, thinned
from paperround.records import Figures, Judged, Run

DAY = timedelta(days=1)
FEWEST = 30  # judged items below which a calibration curve would be noise
SOURCES = 12  # bars; the table names all
STATES = ("sent", "deferred", "failed", "in-doubt", "queued", "cancelled")
STEPS = {"collect": "sources polled", "embed": "texts embedded", "compose": "issues due", "deliver": "mails tried"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """All that the page shows. `line`: what there is in one sentence."""

    since: date
    until: date
    line: str
    plots: Sequence[Plot]


def report(figures: Figures, judged: Sequence[Judged], runs: Sequence[Run], *, since: datetime, now: datetime) -> Report:
    """Nothing is needed: an empty installation has an empty report that says so."""
    days = [since.date() + number * DAY for number in range((now.date() - since.date()).days + 1)]
    readers, issues = growth(figures, days), sum(count for _, _, count in figures.mails)
    mails = f"{figure(issues)} issue{'' if issues == 1 else 's'} by mail"
    active = int(readers.rows[-1][1].replace(",", "")) if readers.rows else 0
    line = f"{figure(active)} reader{'' if active == 1 else 's'}, {mails} and {len(figures.sources)} sources in {len(days)} days."
    plots = [
        readers,
        by_rank(figures),
        by_strength(figures),
        calibration(judged),
        contribution(figures),
        deliveries(figures, days),
        bounces(figures, days),
        timing(runs),
    ]
    return Report(since=days[0], until=days[-1], line=line, plots=plots)


def weeks(days: Sequence[date]) -> list[list[date]]:
    """Runs of seven days, the last of which ends today."""
    first = len(days) % 7
    return [part for part in (list(days[:first]), *(list(days[at : at + 7]) for at in range(first, len(days), 7))) if part]


def day(moment: date) -> str:
    return f"{moment.day} {moment:%b}"


def ends(days: Sequence[date]) -> list[str]:
    return [day(days[0]), day(days[len(days) // 2]), day(days[-1])]


def growth(figures: Figures, days: Sequence[date]) -> Plot:
    """Active readers at the end of each day, from their consent."""
    active, joined, left, counts = set[int](), Counter[date](), Counter[date](), []
    waiting = deque(figures.states)
    for today in days:
        while waiting and waiting[0][1].date() <= today:
            subscriber, at, state = waiting.popleft()
            if (state == "active") != (subscriber in active):
                (joined if state == "active" else left)[at.date()] += 1
                active ^= {subscriber}
        counts.append(len(active))
    top, up = scale(max(counts, default=0))
    table, position = [], -1
    for week in weeks(days):
        position += len(week)
        table.append((day(week[-1]), figure(counts[position]), *(figure(sum(each[d] for d in week)) for each in (joined, left))))
    return Plot(
        title="Readers",
        said="Active readers at the end of each day. Those who pause or leave are not counted.",
        head=("Week to", "Active", "Joined or came back", "Left or paused"),
        rows=table if figures.states else (),
        svg=lines([counts], top) if figures.states else "",
        up=up,
        across=ends(days),
    )


def _votes(title: str, said: str, what: str, groups: Iterable[tuple[str, Sequence[int]]], across_means: str) -> Plot:
    """Votes up and down in per cent of the items shown, a column each group."""
    kept = [(name, counts) for name, counts in groups if counts[0]]
    rates = [[100 * up / shown, 100 * down / shown] for _, (shown, up, down) in kept]
    top, _ = scale(max((sum(pair) for pair in rates), default=0))
    return Plot(
        title=title,
        said=said,
        head=(what, "Shown", "More like this", "Less like this", "Vote rate"),
        rows=[(name, *map(figure, counts), share(counts[1] + counts[2], counts[0])) for name, counts in kept],
        svg=bars(rates, top) if any(map(sum, rates)) else "",
        up=[f"{top * part / 4:.0f} %" for part in (4, 3, 2, 1, 0)],
        across=[name for name, _ in kept],
        legend=("more like this", "less like this"),
        across_means=across_means,
        even=True,
    )


def _summed(rows: Iterable[tuple[int, Sequence[int]]]) -> dict[int, list[int]]:
    found: dict[int, list[int]] = defaultdict(lambda: [0, 0, 0])
    for group, counts in rows:
        found[group] = [one + other for one, other in zip(found[group], counts, strict=True)]
    return found


def by_rank(figures: Figures) -> Plot:
    most = 15
    found = _summed((min(number, most), counts) for number, _, *counts in figures.shown)
    groups = [(f"{number}{'+' if number == most else ''}", found[number]) for number in sorted(found)]
    said = "Of the items that stood at each place of an issue, how many got a vote."
    return _votes("Votes by place", said, "Place", groups, "place in the issue")


def by_strength(figures: Figures) -> Plot:
    found = _summed((tenth, counts) for _, tenth, *counts in figures.shown)
    groups = [(f"{10 * tenth}–{10 * tenth + 10}", found[tenth]) for tenth in sorted(found)]
    said = "The strength that was shown, and how many items of that strength got a vote. It should rise to the right."
    return _votes("Votes by strength", said, "Strength, %", groups, "strength, per cent")


def calibration(judged: Sequence[Judged]) -> Plot:
    """Ten bins of equal count of the items of issues in which the reader voted: silence about a whole issue says nothing."""
    ordered = sorted(judged, key=lambda each: each.strength)
    bins = [ordered[len(ordered) * number // 10 : len(ordered) * (number + 1) // 10] for number in range(10)]
    full = [each for each in bins if each]
    points = [(sum(one.strength for one in each) / len(each), sum(one.value > 0 for one in each) / len(each)) for each in full]
    enough = len(ordered) >= FEWEST
    few = "" if enough or not ordered else f" So far {len(ordered)} items are too few to draw it."
    return Plot(
        title="What a strength is worth",
        said="Of the items of issues in which the reader voted: the share that was kept, against the strength that was shown. "
        f"On the dashed line both are equal.{few}",
        head=("Strength shown", "Kept", "Items"),
        rows=[(f"{100 * x:.0f} %", f"{100 * y:.0f} %", figure(len(each))) for (x, y), each in zip(points, full, strict=True)]
        if enough
        else (),
        svg=dots(points, diagonal=True) if enough else "",
        up=("100 %", "75 %", "50 %", "25 %", "0 %"),
        across=("0 %", "50 %", "100 %"),
        across_means="strength shown",
    )


def contribution(figures: Figures) -> Plot:
    """By how much of them readers got."""
    ordered = sorted(figures.sources, key=lambda each: (-each[2], -each[1], each[0]))
    shown = ordered[:SOURCES]
    top, steps = scale(max((items for _, _, items, _ in shown), default=0))
    return Plot(
        title="What the sources give",
        said="How often an item of each source stood in an issue, for the twelve that give most; all of them in the table. "
        "A work that came by several sources counts for each.",
        head=("Source", "Entries", "Items in issues", "Votes up"),
        rows=[(name, *map(figure, counts)) for name, *counts in ordered],
        svg=rows([items for _, _, items, _ in shown], top) if any(items for _, _, items, _ in shown) else "",
        up=[name for name, *_ in shown],
        across=steps[::-1],
        across_means="items in issues",
        sideways=True,
    )


def _by_week(counted: Sequence[tuple[date, str, int]], names: Sequence[str], days: Sequence[date]) -> list[tuple[date, list[int]]]:
    found = Counter[tuple[date, str]]()
    for each, name, count in counted:
        found[each, name] += count
    return [(week[-1], [sum(found[each, name] for each in week) for name in names]) for week in weeks(days)]


def _weekly(title: str, said: str, counted: Sequence[tuple[date, str, int]], names: Sequence[str], days: Sequence[date]) -> Plot:
    table = _by_week(counted, names, days)
    top, up = scale(max((sum(counts) for _, counts in table), default=0))
    return Plot(
        title=title,
        said=said,
        head=("Week to", *names),
        rows=[(day(last), *map(figure, counts)) for last, counts in table] if counted else (),
        svg=bars([counts for _, counts in table], top) if counted else "",
        up=up,
        across=thinned([day(last) for last, _ in table]),
        legend=names,
        even=True,
    )


def deliveries(figures: Figures, days: Sequence[date]) -> Plot:
    there = {state for _, state, _ in figures.mails}
    said = "Issues by mail and what became of them so far, by the week in which they were made. Whether anybody opened them is not known."
    return _weekly("Deliveries", said, figures.mails, [state for state in STATES if state in there], days)


def bounces(figures: Figures, days: Sequence[date]) -> Plot:
    said = "Addresses that are no longer mailed, by the week in which that began, and why."
    return _weekly("Bounces and complaints", said, figures.suppressed, sorted({reason for _, reason, _ in figures.suppressed}), days)


def timing(runs: Sequence[Run]) -> Plot:
    """Of each step that did something: the median and the slowest twentieth, on a scale of powers of ten."""
    by_step: dict[str, list[Run]] = defaultdict(list)
    for run in runs:
        by_step[run.step].append(run)
    steps, table, heights = sorted(by_step, key=lambda step: [*STEPS, step].index(step)), [], []
    for step in steps:
        seconds, done = [run.seconds for run in by_step[step]], sum(run.count for run in by_step[step])
        half, slow = median(seconds), quantiles(seconds * 2, n=20)[-1]
        per = f"{1000 * sum(seconds) / done:,.1f} ms" if done else "–"
        faults = sum(bool(run.fault) for run in by_step[step])
        table.append((f"{step} ({STEPS.get(step, '')})", figure(len(seconds)), _took(half), _took(slow), figure(done), per, figure(faults)))
        heights.append((_decades(half), max(0.0, _decades(slow) - _decades(half))))
    return Plot(
        title="How long the steps take",
        said="Runs that had something to do; each line of the picture is a hundred times the one below it.",
        head=("Step", "Runs", "Half within", "19 of 20 within", "Did", "Each", "Stopped"),
        rows=table,
        svg=bars(heights, 8) if steps else "",
        up=("28 h", "17 min", "10 s", "100 ms", "1 ms"),
        across=steps,
        legend=("half of the runs within", "19 of 20 within"),
        even=True,
    )


def _decades(seconds: float) -> float:
    """How many powers of ten above a millisecond."""
    return log10(max(1.0, 1000 * seconds))


def _took(seconds: float) -> str:
    if seconds >= 90:
        return f"{seconds / 60:.1f} min"
    return f"{seconds:.1f} s" if seconds >= 1 or not seconds else f"{1000 * seconds:.0f} ms"
