"""The recent runs of each job in memory: its strip, its last run and its counters for the metrics.

Rule: the daemon feeds it with committed records, so that requests need not read the store. A job with a full
strip takes some 2 kB.
"""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import field
from typing import TYPE_CHECKING, Final

from luad.core.events import (
    ClaimRun,
    ExtendSkip,
    InstallJob,
    RecordSkip,
    RemoveJob,
    SaveProgress,
    SaveRun,
)
from luad.core.lifecycle import BAD_STATES, NEVER_RAN, duration_ms
from luad.core.model import (
    OPEN_STATES,
    TERMINAL_STATES,
    Instant,
    Run,
    RunState,
    Skip,
    Trigger,
)
from luad.core.values import dataclass, replace
from luad.live import strips
from luad.live.strips import STRIP

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Container, Iterable, Mapping, Sequence

    from luad.core.events import Record
    from luad.store.query_types import RecentRun

BUCKETS_S: Final = (0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0)


@dataclass(frozen=True, slots=True)
class LastRun:
    """The newest run of a job, without skipped and missed rows.

    *ended_as*: the state of the newest run that has ended, which may be an older run.
    """

    id: str
    state: RunState
    started_at: Instant | None
    ended_at: Instant | None
    ended_as: RunState | None

    @property
    def duration_ms(self) -> int | None:
        """The duration of the run; None while it is open."""
        return duration_ms(self.started_at, self.ended_at)


@dataclass(slots=True)
class Histogram:
    """Counts by `BUCKETS_S`, a last count for all values above, and the sum in seconds."""

    counts: list[int] = field(default_factory=lambda: [0] * (len(BUCKETS_S) + 1))
    total_s: float = 0.0

    def add(self, seconds: float) -> None:
        """Count one value."""
        self.counts[bisect_left(BUCKETS_S, seconds)] += 1
        self.total_s += seconds


@dataclass(slots=True)
class Tally:
    """The strip, the last run and the counters of one job since the daemon started.

    *shared*: the tally of a handler, which counts the runs of all its dynamic jobs instead of this one.
    """

    name: str
    strip: str = ""  # in the form of `luad.live.strips`
    last: LastRun | None = None
    last_start: Instant | None = None
    last_success: Instant | None = None
    last_completion: Instant | None = None
    last_duration_ms: int | None = None
    is_last_success: bool | None = None
    has_failures: bool = False  # in a row
    run_counts: dict[tuple[RunState, Trigger], int] = field(default_factory=dict)
    skip_counts: dict[tuple[RunState, str], int] = field(default_factory=dict)
    retries: int = 0
    durations: Histogram | None = None
    delays: Histogram | None = None
    growing: tuple[str, int] | None = (
        None  # the latest skip row, which may be extended, and its count
    )
    shared: Tally | None = None

    @property
    def counters(self) -> Tally:
        """The tally that has the counters."""
        return self.shared or self


class RecentRuns:
    """The latest runs of every job. All ids are job ids.

    *dynamic_handler* returns the handler of a dynamic job, None for other ids.
    """

    def __init__(self, dynamic_handler: Callable[[str], str | None] = lambda _: None) -> None:
        self._dynamic_handler = dynamic_handler
        self._dynamic: dict[str, Tally] = {}
        self._tallies: dict[str, Tally] = {}
        self._growing: dict[str, Tally] = {}  # by the id of the latest skip row
        self._forgiven: dict[str, None] = {}

    @property
    def tallies(self) -> Mapping[str, Tally]:
        """All tallies by job id; callers must not change them."""
        return self._tallies

    @property
    def dynamic(self) -> Mapping[str, Tally]:
        """By handler, the counters of all runs of dynamic jobs since the daemon started."""
        return self._dynamic

    @property
    def forgiven(self) -> Collection[str]:
        """The ids of jobs whose last run failed, but whose failures in a row were reset since."""
        return self._forgiven.keys()

    def last(self, job_id: str) -> LastRun | None:
        """Return the newest run of a job, without skipped and missed rows."""
        tally = self._tallies.get(job_id)
        return tally.last if tally else None

    def strip(self, job_id: str) -> str:
        """Return the strip of a job, oldest run first: JSON objects joined by commas."""
        tally = self._tallies.get(job_id)
        return strips.render(tally.strip) if tally else ""

    def observe(  # noqa: C901 - one case a kind of record
        self,
        records: Iterable[Record],
        refused: Container[str] = (),
        *,
        is_counted: bool = True,
    ) -> list[str]:
        """Apply committed *records*, except claims that the store *refused*; return ids of ended runs.

        The ends of runs count in the metrics if *is_counted*: another node may have counted them.
        """
        ended = []
        for record in records:
            match record:
                case ClaimRun(run):
                    if run.id not in refused:
                        self._note(run)
                case SaveRun(run):
                    self._note(run)
                    if run.state in TERMINAL_STATES:
                        self._count(run, is_counted=is_counted)
                        ended.append(run.id)
                case RecordSkip(row_id):
                    if row_id not in refused:
                        self._note_skip(record)
                case ExtendSkip(row_id, skip):
                    self._extend_skip(row_id, skip)
                case SaveProgress():
                    self._note_failures(record)
                case InstallJob():
                    self._note_handler(record)
                case RemoveJob(job_id):
                    self._remove(job_id)
                case _:
                    pass  # not about runs
        return ended

    def seed(
        self, name: str, job_id: str, past: Sequence[RecentRun], *, has_failures: bool = False
    ) -> None:
        """Add *past*, rows of a job from before the daemon started, oldest first.

        *has_failures*: the job has failures in a row now. Observed runs are newer and win. Counters do not change: they count since the start of the daemon.
        """
        tally = self._tally(job_id, name)
        cells = [strips.cell(row.id, row.state, _took(row), row.reason) for row in past[-STRIP:]]
        if tally.strip:
            for text in cells:
                tally.strip = strips.put(tally.strip, text, is_older=True)
        else:
            tally.strip = strips.join(cells)
        _complete(tally, _tally_of(name, past))
        tally.has_failures = has_failures
        self._note_forgiven(job_id, tally)

    # --- inside ---

    def _tally(self, job_id: str, name: str) -> Tally:
        tally = self._tallies.get(job_id)
        if tally is None:
            tally = self._tallies[job_id] = Tally(name)
            self._share(tally, self._dynamic_handler(job_id))
        return tally

    def _share(self, tally: Tally, handler: str | None) -> None:
        """Let *tally* count for *handler*, that of a dynamic job."""
        if handler is not None:
            tally.shared = self._dynamic.setdefault(handler, Tally(handler))

    def _note_handler(self, record: InstallJob) -> None:
        tally = self._tallies.get(record.job_id)
        if tally is not None and record.creation is not None:
            self._share(tally, record.job.handler)

    def _note(self, run: Run) -> None:
        tally = self._tally(run.job_id, run.job_name)
        took = duration_ms(run.started_at, run.ended_at)
        tally.strip = strips.put(tally.strip, strips.cell(run.id, run.state, took))
        self._remember(tally, run)
        self._note_forgiven(run.job_id, tally)

    def _note_failures(self, record: SaveProgress) -> None:
        tally = self._tallies.get(record.job_id)
        if tally is not None:
            tally.has_failures = record.consecutive_failures > 0
            self._note_forgiven(record.job_id, tally)

    def _note_forgiven(self, job_id: str, tally: Tally) -> None:
        last = tally.last
        if last is not None and last.ended_as in BAD_STATES and not tally.has_failures:
            self._forgiven[job_id] = None
        else:
            self._forgiven.pop(job_id, None)

    @staticmethod
    def _remember(tally: Tally, run: Run) -> None:
        """Store the job's newest run, and its newest end."""
        before, is_open = tally.last, run.state in OPEN_STATES
        if before is None or run.id >= before.id:
            ended_as = before.ended_as if before is not None else None
            tally.last = LastRun(run.id, run.state, run.started_at, run.ended_at, ended_as)
            tally.last_start = run.started_at or tally.last_start
        if not is_open:
            _note_end(tally, run)

    def _count(self, run: Run, *, is_counted: bool) -> None:
        if not is_counted:
            return
        tally = self._tally(run.job_id, run.job_name).counters
        key = (run.state, run.trigger)
        tally.run_counts[key] = tally.run_counts.get(key, 0) + 1
        tally.retries += run.attempt - 1
        took = duration_ms(run.started_at, run.ended_at)
        if took is not None and run.started_at is not None:
            tally.durations = tally.durations or Histogram()
            tally.durations.add(took / 1000)
            tally.delays = tally.delays or Histogram()
            tally.delays.add(max(0, run.started_at - run.fire_at) / 1000)

    def _note_skip(self, record: RecordSkip) -> None:
        skip = record.skip
        tally = self._tally(record.job_id, record.job_name)
        tally.strip = strips.put(
            tally.strip, strips.cell(record.row_id, skip.state, None, skip.reason)
        )
        self._add_skips(tally, skip, skip.count)
        self._stop_growing(tally)
        tally.growing = (record.row_id, skip.count)
        self._growing[record.row_id] = tally

    def _extend_skip(self, row_id: str, skip: Skip) -> None:
        tally = self._growing.get(row_id)
        if tally is None or tally.growing is None:
            return
        self._add_skips(tally, skip, skip.count - tally.growing[1])
        tally.growing = (row_id, skip.count)

    def _stop_growing(self, tally: Tally) -> None:
        if tally.growing is not None:
            self._growing.pop(tally.growing[0], None)
            tally.growing = None

    def _remove(self, job_id: str) -> None:
        self._forgiven.pop(job_id, None)
        tally = self._tallies.pop(job_id, None)
        if tally is not None:
            self._stop_growing(tally)

    @staticmethod
    def _add_skips(tally: Tally, skip: Skip, count: int) -> None:
        key, tally = (skip.state, skip.reason.value), tally.counters
        tally.skip_counts[key] = tally.skip_counts.get(key, 0) + count


def _took(row: RecentRun) -> int | None:
    return duration_ms(row.started_at, row.ended_at)


def _note_end(tally: Tally, run: Run) -> None:
    """Store the end of a run, unless a newer end is known."""
    if run.ended_at is None or (tally.last_completion or 0) > run.ended_at:
        return
    tally.last_completion = run.ended_at
    tally.last_duration_ms = duration_ms(run.started_at, run.ended_at)
    if run.state is RunState.SUCCEEDED:
        tally.last_success = run.ended_at
        tally.is_last_success = True
    elif run.state in BAD_STATES:
        tally.is_last_success = False
    last = tally.last
    if last is not None:
        tally.last = replace(last, ended_as=run.state)


def _tally_of(name: str, past: Sequence[RecentRun]) -> Tally:
    """Return the tally of *past*, rows of a job from the oldest to the newest."""
    tally = Tally(name)
    ran = [row for row in past if row.state not in NEVER_RAN]
    if not ran:
        return tally
    newest = ran[-1]
    tally.last_start = newest.started_at
    ended_as = None
    for row in sorted((row for row in ran if row.ended_at is not None), key=_ended_at):
        tally.last_completion, tally.last_duration_ms = row.ended_at, _took(row)
        ended_as = row.state
        if row.state is RunState.SUCCEEDED:
            tally.last_success, tally.is_last_success = row.ended_at, True
        elif row.state in BAD_STATES:
            tally.is_last_success = False
    tally.last = LastRun(newest.id, newest.state, newest.started_at, newest.ended_at, ended_as)
    return tally


def _ended_at(row: RecentRun) -> Instant:
    return row.ended_at or 0


def _complete(newer: Tally, older: Tally) -> None:
    """Fill empty fields of *newer* from *older*."""
    newer.last_start = newer.last_start or older.last_start
    if newer.last_completion is None:
        newer.last_completion = older.last_completion
        newer.last_duration_ms = older.last_duration_ms
        newer.is_last_success = older.is_last_success
    newer.last_success = newer.last_success or older.last_success
    if newer.last is None:
        newer.last = older.last
    elif newer.last.ended_as is None and older.last is not None:
        newer.last = replace(newer.last, ended_as=older.last.ended_as)
