"""The lanes of a span of time: a row a job, real runs up to now and planned ones after.

Rule: pure; JSON of the API in, SVG out. A lane has 1440 units: those of a day are minutes.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from markupsafe import Markup

from luad.web.drawing import BAD, LOW, OPEN
from luad.web.times import count, parse

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from luad.web.inside import Json

MOST_LANES: Final = 40
WIDTH: Final = 1440
_LEAST: Final = 1.5
_GAP: Final = 0.6
"""Bars that are nearer than this become one."""


@dataclass(frozen=True, slots=True)
class Span:
    """The time that a lane shows, and the present instant."""

    start: datetime
    end: datetime
    now: datetime

    def at(self, instant: datetime) -> float:
        """Return the place of an instant."""
        return (instant - self.start) / (self.end - self.start) * WIDTH

    def place(self, text: str) -> float:
        """Return the place of an instant in RFC 3339."""
        return self.at(parse(text))

    @property
    def is_day(self) -> bool:
        """Whether it is a day, which may have 25 hours."""
        return self.end - self.start < timedelta(days=2)

    @property
    def parts(self) -> int:
        """Return into how many parts the grid divides it."""
        return 8 if self.is_day else 7

    def marks(self) -> list[str]:
        """Return the words above the grid."""
        if self.is_day:
            return [f"{hour:02}:00" for hour in range(0, 24, 3)]
        days = [self.start + timedelta(days=number) for number in range(7)]
        return [f"{each:%a} {each.day}" for each in days]


@dataclass(slots=True)
class Lane:
    """The runs of one job, and the planned ones."""

    job: str
    done: list[Json] = field(default_factory=list)
    planned: list[float] = field(default_factory=list)

    @property
    def said(self) -> str:
        """Return how often the job runs."""
        return f"{len(self.done) + len(self.planned):,}×"


def lanes_of(runs: Sequence[Json], fires: Sequence[Json], span: Span) -> list[Lane]:
    """Return the lanes of the jobs that run or will run, those with the fewest occurrences first."""
    found: dict[str, Lane] = {}
    for run in runs:
        found.setdefault(run["job"], Lane(run["job"])).done.append(run)
    for fire in fires:
        lane = found.setdefault(fire["job"], Lane(fire["job"]))
        lane.planned.append(span.place(fire["at"]))
    return sorted(found.values(), key=lambda each: (len(each.done) + len(each.planned), each.job))


def draw(lane: Lane, span: Span, shade: Markup) -> Markup:
    """Return the picture of a lane, above *shade*."""
    bars: dict[str, list[tuple[float, float]]] = defaultdict(list)
    failed = []
    for run in lane.done:
        x = span.place(run["started_at"] or run["scheduled_for"])
        took = timedelta(milliseconds=run["duration_ms"] or 0)
        width = max(_LEAST, took / (span.end - span.start) * WIDTH)
        status = run["status"]
        if status in BAD:
            width = max(width, 4)
            failed.append(f"M{x:.1f} 4l{width / 2:.1f} 5 {width / 2:.1f}-5v20h-{width:.1f}z")
        elif status in LOW:
            bars["s-skip"].append((x, x + 3))
        elif status in OPEN:
            bars["s-run"].append((x, max(x + 2, span.at(span.now))))
        else:
            bars["s-ok"].append((x, x + width))
    bars["s-due"] = [(x, x + 2) for x in lane.planned]
    grid = "".join(f"M{WIDTH * part / span.parts:.0f} 0v28" for part in range(span.parts))
    shapes = {"s-grid": grid}
    shapes |= {kind: _bars(bars[kind], *_PLACES[kind]) for kind in ("s-ok", "s-skip")}
    shapes |= {"s-bad": "".join(failed)}
    shapes |= {kind: _bars(bars[kind], *_PLACES[kind]) for kind in ("s-run", "s-due")}
    if span.start <= span.now < span.end:
        shapes["s-now"] = f"M{span.at(span.now):.1f} 0v28"
    pieces = [
        Markup('<path class="{}" d="{}"/>').format(kind, shape)
        for kind, shape in shapes.items()
        if shape
    ]
    label = f"{count(len(lane.done), 'run')} so far, {len(lane.planned):,} to come"
    return Markup(
        '<svg viewBox="0 0 1440 28" preserveAspectRatio="none" role="img" aria-label="{}">{}{}</svg>'
    ).format(label, shade, Markup("").join(pieces))


_PLACES: Final = {"s-ok": (8, 12), "s-skip": (20, 4), "s-run": (8.5, 11), "s-due": (11, 6)}
"""The top and the height of each kind of bar."""


def _bars(bars: list[tuple[float, float]], top: float, height: float) -> str:
    """Return bars as a path; near ones are one, so that a busy lane is small."""
    joined: list[tuple[float, float]] = []
    for begin, end in sorted(bars):
        if joined and begin - joined[-1][1] < _GAP:
            joined[-1] = (joined[-1][0], max(end, joined[-1][1]))
        else:
            joined.append((begin, end))
    return "".join(
        f"M{x:.1f} {top:g}h{end - x:.1f}v{height:g}h-{end - x:.1f}z" for x, end in joined
    )
