"""The lanes of a day: a row a job, real runs up to now and planned ones after.

Rule: pure; JSON of the API in, SVG out. A unit of a lane is a minute.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from markupsafe import Markup

from luad.web.drawing import BAD, LOW, OPEN
from luad.web.times import count, parse

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from luad.web.inside import Json

MOST_LANES: Final = 40
_DAY: Final = 1440
_GRID: Final = "".join(f"M{minute} 0v28" for minute in range(0, _DAY, 180))


@dataclass(slots=True)
class Lane:
    """The runs of one job on a day, and the planned ones."""

    job: str
    done: list[Json] = field(default_factory=list)
    planned: list[float] = field(default_factory=list)

    @property
    def said(self) -> str:
        """Return how often the job runs on this day."""
        number = len(self.done) + len(self.planned)
        return f"{number}×"


def lanes_of(runs: Sequence[Json], fires: Sequence[Json], start: datetime) -> list[Lane]:
    """Return the lanes of the jobs that run or will run, those with the fewest occurrences first."""
    found: dict[str, Lane] = {}
    for run in runs:
        found.setdefault(run["job"], Lane(run["job"])).done.append(run)
    for fire in fires:
        lane = found.setdefault(fire["job"], Lane(fire["job"]))
        lane.planned.append(_minute(fire["at"], start))
    return sorted(found.values(), key=lambda each: (len(each.done) + len(each.planned), each.job))


def draw(lane: Lane, start: datetime, now: datetime) -> Markup:
    """Return the picture of a lane."""
    parts: dict[str, list[str]] = defaultdict(list)
    for run in lane.done:
        x = _minute(run["started_at"] or run["scheduled_for"], start)
        width = max(1.5, (run["duration_ms"] or 0) / 60_000)
        status = run["status"]
        if status in BAD:
            width = max(width, 4)
            parts["s-bad"].append(
                f"M{x:.1f} 4l{width / 2:.1f} 5 {width / 2:.1f}-5v20h-{width:.1f}z"
            )
        elif status in LOW:
            parts["s-skip"].append(f"M{x:.1f} 20h3v4h-3z")
        elif status in OPEN:
            width = max(2.0, _at(now, start) - x)
            parts["s-run"].append(f"M{x:.1f} 8.5h{width:.1f}v11h-{width:.1f}z")
        else:
            parts["s-ok"].append(f"M{x:.1f} 8h{width:.1f}v12h-{width:.1f}z")
    parts["s-due"] = [f"M{x:.1f} 11h2v6h-2z" for x in lane.planned]
    pieces = [Markup('<path class="s-grid" d="{}"/>').format(_GRID)]
    pieces += [
        Markup('<path class="{}" d="{}"/>').format(kind, "".join(shapes))
        for kind, shapes in parts.items()
        if shapes
    ]
    here = _at(now, start)
    if 0 <= here < _DAY:
        pieces.append(Markup('<path class="s-now" d="M{:.1f} 0v28"/>').format(here))
    label = f"{count(len(lane.done), 'run')} so far, {len(lane.planned)} to come"
    return Markup(
        '<svg viewBox="0 0 1440 28" preserveAspectRatio="none" role="img" aria-label="{}">{}</svg>'
    ).format(label, Markup("").join(pieces))


def _minute(text: str, start: datetime) -> float:
    return _at(parse(text), start)


def _at(instant: datetime, start: datetime) -> float:
    return (instant - start).total_seconds() / 60
