"""How many runs there are at once through a span of time, and where long runs overlap.

Rule: pure; lanes in, SVG out. A planned run is as long as the job's runs of the span usually are.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from math import ceil
from statistics import median
from typing import TYPE_CHECKING, Final

from markupsafe import Markup

from luad.web.drawing import LOW
from luad.web.lanes import WIDTH

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from luad.web.lanes import Lane, Span

SLOTS: Final = 288
LONG: Final = 5
"""A run is long if it takes so many units, which are minutes of a day."""
_SLOT: Final = WIDTH / SLOTS
_LEAST: Final = 0.01
_BOTTOM: Final = 40
_TALL: Final = 34


@dataclass(frozen=True, slots=True)
class Load:
    """The most runs at once in each slot. *overlaps*: where two or more long runs of different jobs are."""

    levels: Sequence[int]
    overlaps: Sequence[tuple[float, float]]

    @property
    def most(self) -> int:
        """Return the most runs at once."""
        return max(self.levels)

    @property
    def peak(self) -> float:
        """Return the part of the span, from 0 to 1, where the most runs are at once for the first time."""
        return self.levels.index(self.most) / SLOTS


def load_of(lanes: Sequence[Lane], span: Span) -> Load:
    """Return the load of the jobs of *lanes*."""
    bars = [list(_bars(lane, span)) for lane in lanes]
    levels = [0] * SLOTS
    for begin, end, level in _levels([bar for each in bars for bar in each]):
        first, after = int(begin / _SLOT + _LEAST), ceil(end / _SLOT - _LEAST)
        for slot in range(max(0, first), min(SLOTS, max(after, first + 1))):
            levels[slot] = max(levels[slot], level)
    long = [bar for each in bars for bar in _joined(each) if bar[1] - bar[0] >= LONG]
    shared = ((begin, end) for begin, end, level in _levels(long) if level > 1 and end > begin)
    return Load(levels, _joined(list(shared)))


def _bars(lane: Lane, span: Span) -> Iterator[tuple[float, float]]:
    """Yield the begin and the end of each run of a lane."""
    unit_ms = (span.end - span.start).total_seconds() * 1_000 / WIDTH
    took = [each["duration_ms"] for each in lane.done if each["status"] == "succeeded"]
    known = [each / unit_ms for each in took if each is not None]
    for run in lane.done:
        if run["status"] in LOW or not run["started_at"]:
            continue
        begin = span.place(run["started_at"])
        is_open = run["duration_ms"] is None
        end = span.at(span.now) if is_open else begin + run["duration_ms"] / unit_ms
        yield round(begin, 2), round(max(end, begin + _LEAST), 2)
    width = max(median(known) if known else 0, _LEAST)
    yield from ((round(begin, 2), round(begin + width, 2)) for begin in lane.planned)


def _joined(bars: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """Return bars with those that touch as one."""
    found: list[tuple[float, float]] = []
    for begin, end in sorted(bars):
        if found and begin <= found[-1][1]:
            found[-1] = (found[-1][0], max(end, found[-1][1]))
        else:
            found.append((begin, end))
    return found


def _levels(bars: Sequence[tuple[float, float]]) -> Iterator[tuple[float, float, int]]:
    """Yield how many of *bars* there are between two places at which that number changes."""
    steps = sorted([(begin, 1) for begin, _ in bars] + [(end, -1) for _, end in bars])
    level = 0
    for (place, step), (after, _) in pairwise(steps):
        level += step
        if level > 0:
            yield place, after, level


def draw_load(load: Load, span: Span) -> Markup:
    """Return the picture of the load, up to now and after it."""
    now = min(SLOTS, max(0, int(span.at(span.now) / _SLOT)))
    top = max(load.most, 1)
    heights = [_BOTTOM - _TALL * level / top for level in load.levels]
    pieces = [
        Markup('<path class="{}" d="{}"/>').format(kind, _area(heights, first, last))
        for kind, first, last in (("s-load", 0, now), ("s-plan", now, SLOTS))
        if first < last
    ]
    return Markup(
        '<svg viewBox="0 0 1440 40" preserveAspectRatio="none" role="img" aria-label="runs at once: {} at most">'
        "{}{}</svg>"
    ).format(load.most, shade(load, _BOTTOM), Markup("").join(pieces))


def _area(heights: Sequence[float], first: int, last: int) -> str:
    steps = "".join(f"V{heights[slot]:.1f}H{(slot + 1) * _SLOT:g}" for slot in range(first, last))
    return f"M{first * _SLOT:g} {_BOTTOM}{steps}V{_BOTTOM}z"


def shade(load: Load, height: int) -> Markup:
    """Return the shade where long runs overlap, as a part of a picture of so many units."""
    if not load.overlaps:
        return Markup("")
    shape = "".join(
        f"M{begin:.1f} 0h{max(1.0, end - begin):.1f}v{height}h-{max(1.0, end - begin):.1f}z"
        for begin, end in load.overlaps
    )
    return Markup('<path class="s-over" d="{}"/>').format(shape)
