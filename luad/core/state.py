"""What the engine remembers: the installed jobs, the timetable, the open runs.

Room rule: holds, and decides nothing. The modules that do (`ledger`, `jobset`, `desk`, `engine`) share
one `State`; nobody outside the core sees it change.
"""

from __future__ import annotations

from dataclasses import dataclass

from luad.core.events import Effect, Log, SaveProgress
from luad.core.model import Instant, Job, JobStatus, Once, Pause, Skip, Wanted
from luad.core.runs import OpenRuns
from luad.core.timetable import Timetable


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
        self.is_loaded = False
        self.is_draining = False
        self._dirty: dict[str, Entry] = {}

    def job_in_force(self, name: str) -> Job | None:
        """Return the definition of an installed job."""
        entry = self.entries.get(name)
        return entry.job if entry else None

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
