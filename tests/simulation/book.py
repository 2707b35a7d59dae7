"""A history, sorted for whoever asks it: definitions by job, rows by job, what stood in the way when."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass

from simulation.history import (
    Booted,
    Draining,
    Ended,
    Fact,
    Healed,
    History,
    Installed,
    Removed,
    Slept,
    Started,
    Stepped,
    Stopped,
    StoreFailed,
    StoreHealed,
)

from luad.core.model import Instant, Interval, Job, Once, Run, RunState, Trigger
from luad.store.query_types import RunRow

GUARDED = frozenset({Trigger.SCHEDULE, Trigger.CATCHUP})
NEVER_RAN = frozenset({RunState.SKIPPED, RunState.MISSED})
STEP_MS = 1_000
"""A clock that is off by less was not stepped: nobody could tell."""


@dataclass(slots=True)
class Period:
    """One schedule of a job was in force: its occurrences after *after*, up to *until*.

    *runs_after*: those that may have run; an edit never runs the past. *grid_steady*: when, by the
    steady clock, the grid of its interval was chosen.
    """

    job_id: str
    job: Job
    at: Instant
    steady: int
    after: Instant
    grid_at: Instant
    runs_after: Instant
    grid_steady: int
    until: Instant | None = None
    until_steady: int | None = None


class Book:
    """One history, sorted."""

    def __init__(self, history: History) -> None:
        self.history = history
        self.runs: dict[str, Run] = {}
        self.runs_of: dict[str, list[Run]] = defaultdict(list)
        self.skips_of: dict[str, list[RunRow]] = defaultdict(list)
        for row in history.rows:
            if row.run.state in NEVER_RAN:
                self.skips_of[row.run.job_id].append(row)
            else:
                self.runs[row.run.id] = row.run
                self.runs_of[row.run.job_id].append(row.run)
        self.starts: list[Started] = []
        self.ends: dict[tuple[str, int], Ended] = {}
        self.definitions: dict[str, list[Installed]] = defaultdict(list)
        self.changes: dict[str, list[tuple[int, Job | None]]] = defaultdict(list)
        self.periods: dict[str, list[Period]] = defaultdict(list)
        self.boots: list[int] = []  # by the steady clock
        self.steps: list[Stepped] = []
        self.has_drifted = False
        self.hindered: list[tuple[Instant, Instant]] = []  # by the wall
        self.on_time_ms = history.on_time_ms or 0
        self.up_until: Instant = history.wall
        self.healed: Healed | None = None
        self._down: Fact | None = None
        self._failing: Fact | None = None
        for fact in history.log:
            self._note(fact)
        for hindrance in (self._down, self._failing):
            if hindrance is not None:
                self.up_until = min(self.up_until, hindrance.wall)
                self.hindered.append((hindrance.wall, history.wall))

    @property
    def steps_back(self) -> bool:
        """Did the wall clock ever go back, so that instants came a second time."""
        return any(step.by < 0 for step in self.steps)

    def _note(self, fact: Fact) -> None:  # noqa: PLR0912 - one case a fact
        match fact:
            case Started():
                self.starts.append(fact)
            case Ended():
                self.ends[fact.run_id, fact.attempt] = fact
            case Installed():
                self._install(fact)
            case Removed():
                self._close(fact.job_id, fact)
                self.changes[fact.job_id].append((fact.steady, None))
            case Stepped() if abs(fact.by) < STEP_MS:
                self.has_drifted = True
            case Stepped():
                self.steps.append(fact)
                # Set ahead, it leaves instants out; set back, it gives those of intervals new names, and
                # another jitter with them.
                self.hindered.append((fact.wall - max(0, fact.by), fact.wall))
            case Slept():
                self.hindered.append((fact.wall - fact.ms, fact.wall))
            case StoreFailed():
                self._failing = fact
            case StoreHealed():
                self._hinder(self._failing, fact)
                self._failing = None
            case Draining():
                self._down = self._down or fact
            case Stopped():
                self._down = self._down or fact
                self._hinder(self._failing, fact)
                self._failing = None
            case Booted():
                self.boots.append(fact.steady)
                self._hinder(self._down, fact)
                self._down = None
            case Healed():
                self.healed = fact
            case _:
                pass

    def _hinder(self, begin: Fact | None, end: Fact) -> None:
        if begin is not None:  # the clock may have gone back meanwhile
            self.hindered.append((min(begin.wall, end.wall), max(begin.wall, end.wall)))

    def _install(self, fact: Installed) -> None:
        self.definitions[fact.job_id].append(fact)
        self.changes[fact.job_id].append((fact.steady, fact.job))
        job, periods = fact.job, self.periods[fact.job_id]
        current = periods[-1] if periods and periods[-1].until is None else None
        if current is not None:
            if (current.job.schedule, current.job.enabled) == (job.schedule, job.enabled):
                if isinstance(job.schedule, Once) and fact.is_dynamic:
                    current.after = min(current.after, job.schedule.execute_at - 1)
                    current.runs_after = current.after
                return
            self._close(fact.job_id, fact)
        after, schedule = fact.wall, job.schedule
        runs_after = after
        if isinstance(schedule, Once):
            after = min(after, schedule.execute_at - 1)
            if fact.is_dynamic or current is None:
                runs_after = after
        grid_at, grid_steady = fact.wall if fact.grid_at is None else fact.grid_at, fact.steady
        if current is not None and fact.grid_at is None and current.job.schedule == schedule:
            # It was switched on or off: its grid is where the steps of the clock have left it.
            grid_at, grid_steady = current.grid_at, current.grid_steady
        elif isinstance(schedule, Interval) and schedule.start_at is not None:
            grid_at = schedule.start_at
        periods.append(
            Period(
                fact.job_id, job, fact.wall, fact.steady, after, grid_at, runs_after, grid_steady
            )
        )

    def _close(self, job_id: str, fact: Fact) -> None:
        periods = self.periods[job_id]
        if periods and periods[-1].until is None:
            periods[-1].until, periods[-1].until_steady = fact.wall, fact.steady

    # --- questions ---

    def all_periods(self) -> Iterator[Period]:
        for periods in self.periods.values():
            yield from periods

    def in_force(self, job_id: str, steady: int, within: int = 0) -> list[Job]:
        """The definition that a job had at that instant; several if it changed in it, or *within* so many
        ms before it."""
        latest: Job | None = None
        found: list[Job | None] = []
        for at, job in self.changes[job_id]:
            if at > steady:
                break
            if at >= steady - within:
                found.append(latest)
            latest = job
        return [job for job in (*found, latest) if job is not None]

    def is_hindered(self, since: Instant, until: Instant) -> bool:
        """Did anything stand in the daemon's way in that time."""
        return any(begin <= until and since <= end for begin, end in self.hindered)

    def is_stepped(self, period: Period) -> bool:
        """Was the wall clock stepped while that definition was in force, or its grid."""
        until = self.history.steady if period.until_steady is None else period.until_steady
        return any(period.grid_steady <= step.steady <= until for step in self.steps)
