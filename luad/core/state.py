"""What the engine remembers: the installed jobs, the timetable, the open runs.

Room rule: holds, and decides nothing. The modules that do (`ledger`, `jobset`, `desk`, `engine`) share
one `State`; nobody outside the core sees it change.
"""

from __future__ import annotations

from dataclasses import dataclass

from luad.core.events import Effect, Log, SaveProgress
from luad.core.model import Instant, Interval, Job, JobStatus, Once, Pause, Run, Skip, Wanted
from luad.core.runs import OpenRuns
from luad.core.timetable import Alarm, Timetable


@dataclass(slots=True)
class Entry:
    """One installed job and what the engine must remember of it."""

    job_id: str
    wanted: Wanted
    installed_at: Instant
    grid_at: Instant
    handled_until: Instant
    consecutive_failures: int = 0
    pause: Pause | None = None
    open_skip: tuple[str, Skip] | None = None  # the row that further paused occurrences extend
    earlier_skip: Skip | None = None  # what was skipped by the same pause before a restart

    @property
    def job(self) -> Job:
        """The definition in force."""
        return self.wanted.job

    @property
    def status(self) -> JobStatus:
        """Is the job scheduled at all."""
        schedule = self.job.schedule
        if isinstance(schedule, Once) and self.handled_until >= schedule.execute_at:
            return JobStatus.COMPLETED
        is_paused = self.pause is not None or not self.job.enabled
        return JobStatus.PAUSED if is_paused else JobStatus.ACTIVE


class State:
    """Everything mutable of one engine. *out* collects the effects of the batch in hand."""

    def __init__(self, capacity: int, now: Instant) -> None:
        self.entries: dict[str, Entry] = {}
        self.timetable = Timetable(now)
        self.out: list[Effect] = []
        self.runs = OpenRuns(capacity, self.job_in_force, self.out)
        self.elapsed = 0  # of the steady clock: tells ids apart when the wall clock goes back
        self.is_loaded = False
        self.is_draining = False
        self._dirty: dict[str, Entry] = {}

    def job_in_force(self, run: Run) -> Job | None:
        """Return the definition that holds for *run* now; None once its job is removed."""
        entry = self.entries.get(run.job_name)
        return entry.job if entry and entry.job_id == run.job_id else None

    def arm(self, entry: Entry) -> None:
        """Put a job on the timetable, where it waits for what comes after `handled_until`."""
        if entry.job.enabled:
            self.timetable.add(entry.job, entry.grid_at, entry.handled_until)
        if entry.pause is not None and entry.pause.until is not None:
            self.timetable.set_alarm(Alarm("resume", entry.job.name), entry.pause.until)

    def follow_clock_back(self, entry: Entry, now: Instant) -> None:
        """Let *entry*, which has been looked after beyond *now*, wait for what comes after *now*.

        Instants that have a row already are refused by the store.
        """
        schedule = entry.job.schedule
        if isinstance(schedule, Once) or entry.handled_until <= now:
            return
        entry.handled_until = now
        if isinstance(schedule, Interval):
            entry.grid_at = now
        self.touch(entry)

    def touch(self, entry: Entry) -> None:
        """Let the progress of *entry* be saved with this batch."""
        self._dirty[entry.job.name] = entry

    def forget(self, entry: Entry) -> None:
        """Take a removed job out."""
        del self.entries[entry.job.name]
        self._dirty.pop(entry.job.name, None)

    def log(self, event: str, *, level: str = "info", **fields: object) -> None:
        """Put one line about one decision into the batch."""
        self.out.append(Log(event, fields, level))  # type: ignore[arg-type] # levels are literals

    def take_effects(self) -> list[Effect]:
        """Close the batch and return its effects."""
        self.out += (
            SaveProgress(
                each.job_id,
                each.grid_at,
                each.handled_until,
                each.consecutive_failures,
                each.pause,
            )
            for each in self._dirty.values()
        )
        self._dirty.clear()
        effects = self.out[:]
        self.out.clear()
        return effects
