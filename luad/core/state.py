"""The state of an engine: the installed jobs, the timetable, the open runs.

Rule: stores, and decides nothing. The modules that decide (`claims`, `jobset`, `run_requests`,
`dynamic_jobs`, `engine`) share one `State`, which no module outside the core changes.
"""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import field
from hashlib import blake2b
from typing import Final

from luad.core.events import Effect, Log, SaveProgress, SaveStanding
from luad.core.installed import (
    IN_FORCE,
    NO_ALERT,
    NO_OVERLAY,
    AlertState,
    JobStatus,
    Overlay,
    Pause,
    Standing,
)
from luad.core.job_index import Filed, JobIndex, Mark
from luad.core.model import (
    AlertPolicy,
    Cron,
    Instant,
    Interval,
    Job,
    Once,
    Run,
    Schedule,
    Skip,
    Wanted,
)
from luad.core.overlays import lay_over, without_redeclared
from luad.core.runs import OpenRuns
from luad.core.schedule import next_occurrence
from luad.core.timetable import Alarm, Timetable
from luad.core.uncompared import Uncompared
from luad.core.values import dataclass, replace


@dataclass(slots=True)
class Entry:
    """One installed job, and its state in the engine."""

    job_id: str
    wanted: Wanted
    installed_at: Instant
    grid_at: Instant
    handled_until: Instant
    consecutive_failures: int = 0
    pause: Pause | None = None
    open_skip: tuple[str, Skip] | None = None  # the row that further paused occurrences extend
    earlier_skip: Skip | None = None  # the skips of the same pause before a restart
    overlay: Overlay = NO_OVERLAY
    alert: AlertState = NO_ALERT
    standing: Standing = IN_FORCE
    consecutive_stops: int = 0  # the failures in a row that a stop of the daemon caused
    filed: Filed | None = field(default=None, repr=False)
    filed_as: Wanted | None = field(default=None, repr=False)
    _merged: tuple[Job, Overlay, Job] | None = field(default=None, repr=False)

    def clear_failures(self) -> None:
        """Reset the counts of failures in a row."""
        self.consecutive_failures = self.consecutive_stops = 0

    @property
    def job(self) -> Job:
        """The definition in force."""
        return self.wanted.job

    @property
    def key(self) -> str:
        """The name of the job, or its id if it does not hold its name."""
        return self.wanted.job.name if self.standing.holds_name else self.job_id

    @property
    def halt(self) -> Pause | None:
        """The pause in force: of the displacement, or the job's own."""
        return self.standing.displaced or self.pause

    def is_before_start(self, now: Instant) -> bool:
        """Return whether the job is an interval whose `start_at` is after *now*."""
        schedule = self.job.schedule
        if not isinstance(schedule, Interval) or schedule.start_at is None:
            return False
        return max(self.handled_until, now) < self.grid_at

    @property
    def counts_for_quotas(self) -> bool:
        """True if the job counts towards the limits of dynamic jobs."""
        return self.wanted.is_dynamic and not self.makes_room

    @property
    def can_be_over(self) -> bool:
        """True if the job is a `once`, or was over at the previous check."""
        return isinstance(self.job.schedule, Once) or self.standing.over_at is not None

    @property
    def makes_room(self) -> bool:
        """True if the job gives its name to the next one: it is over, dynamic and without `keep`."""
        is_over = self.standing.over_at is not None
        return is_over and self.wanted.is_dynamic and not self.job.keep

    @property
    def current(self) -> Job:
        """The definition in force, with the current metadata."""
        job, overlay = self.wanted.job, self.overlay
        if overlay is NO_OVERLAY:
            return job
        merged = self._merged
        if merged is None or merged[0] is not job or merged[1] is not overlay:
            merged = self._merged = (job, overlay, replace(job, metadata=lay_over(job, overlay)))
        return merged[2]

    @property
    def version(self) -> str:
        """The version of the definition and the metadata, which the API uses as ETag."""
        if not self.overlay.values and not self.overlay.removed:
            return self.job.revision
        text = json.dumps(
            [self.job.revision, dict(self.overlay.values), self.overlay.removed], sort_keys=True
        )
        return blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).hexdigest()

    @property
    def status(self) -> JobStatus:
        """The status of the job: active, paused or completed."""
        job = self.wanted.job  # each property costs a call, and a list asks for a million
        if type(job.schedule) is Once and self.handled_until >= job.schedule.execute_at:
            return JobStatus.COMPLETED
        is_paused = self.halt is not None or not job.enabled
        return JobStatus.PAUSED if is_paused else JobStatus.ACTIVE

    def to_file(self) -> Filed:
        """Return what the index files the job by, besides its declaration."""
        marks: tuple[Mark, ...] = (Mark.STALE,) if self.wanted.stale else ()
        if self.consecutive_failures:
            marks += (Mark.FAILING,)
            if self.standing.over_at is not None:
                marks += (Mark.FAILED_AND_OVER,)
        if not self.standing.holds_name and not self.makes_room:
            marks += (Mark.WITHOUT_NAME,)
        if self.pause is not None and self.pause.revision and not self.wanted.is_dynamic:
            marks += (Mark.SELF_DELETED,)
        return Filed(self.status, self.standing.holds_name, marks)


PORTION: Final = 100
"""So many decisions take the engine some milliseconds."""


@dataclass(frozen=True, slots=True)
class Bounds:
    """The limits of an engine: runs at once, dynamic jobs in total and for one user.

    *default_alert*: the alert policy of jobs without one. *portion*: the number of due occurrences that one
    call of the engine handles. *queues*: those that a worker takes runs from; None means all.
    """

    capacity: int
    max_dynamic_jobs: int = 1_000_000
    max_dynamic_jobs_per_user: int = 10_000
    default_alert: AlertPolicy | None = None
    portion: int = PORTION
    queues: frozenset[str] | None = None


class State:
    """The mutable state of one engine. *out* collects the effects of the current batch.

    The keys of *entries* and *dynamic* are `Entry.key`. *nameless*: by name, the ids of the jobs that do not
    hold it. *over*: the ids of the jobs that are over, earliest first.
    """

    def __init__(self, bounds: Bounds, now: Instant) -> None:
        self.bounds = bounds
        self.entries: dict[str, Entry] = {}
        self.names: dict[str, str] = {}  # keys by job id
        self.index = JobIndex()
        self.dynamic: dict[str, None] = {}
        self.dynamic_count = 0
        self.dynamic_of_user: Counter[str] = Counter()
        self.nameless: dict[str, dict[str, None]] = {}
        self.over: dict[str, None] = {}
        self.timetable = Timetable(now)
        self.out: list[Effect] = []
        self.uncompared = Uncompared()
        self.runs = OpenRuns(bounds.capacity, self.job_in_force, self.out, bounds.queues)
        self.elapsed = 0  # of the steady clock: makes ids differ if the wall clock goes back
        self.is_loaded = False
        self.is_draining = False
        self._dirty: dict[str, Entry] = {}
        self._maybe_over: dict[str, Entry] = {}
        self._to_file: dict[str, Entry] = {}

    def find(self, name_or_id: str) -> Entry | None:
        """Return the job that holds that name, or has that id."""
        entry = self.entries.get(name_or_id)
        return self.by_id(name_or_id) if entry is None else entry

    def by_id(self, job_id: str) -> Entry | None:
        """Return the job of that id."""
        key = self.names.get(job_id)
        return None if key is None else self.entries[key]

    def job_in_force(self, run: Run) -> Job | None:
        """Return the definition in force for *run*; None once its job is removed."""
        entry = self.by_id(run.job_id)
        return None if entry is None else entry.current

    def add(self, entry: Entry) -> None:
        """Add a job."""
        key = entry.key
        self.entries[key] = entry
        self.names[entry.job_id] = key
        if not entry.standing.holds_name:
            self.nameless.setdefault(entry.job.name, {})[entry.job_id] = None
        if entry.standing.over_at is not None:
            self.over[entry.job_id] = None
        if entry.wanted.is_dynamic:
            self.dynamic[key] = None
            self._count(entry, 1)
        self._to_file[entry.job_id] = entry

    def set_standing(self, entry: Entry, standing: Standing) -> None:
        """Give *entry* another standing, and another key if it takes or loses its name."""
        is_loaded, old_key = self.is_loaded, entry.key
        self.timetable.cancel_alarm(Alarm("resume", old_key))
        self.timetable.discard(old_key)
        self._take_out(entry)
        entry.standing = standing
        assert entry.key not in self.entries, f"{entry.key} is in force already"
        self.add(entry)
        self.out.append(SaveStanding(entry.job_id, entry.job.name, standing))
        if is_loaded:
            self.arm(entry)

    def redeclare(self, entry: Entry, wanted: Wanted) -> None:
        """Give a job another definition of the same name.

        Changes of its metadata stay, except for keys whose declared value has changed.
        """
        old, new = entry.job, wanted.job
        if entry.overlay is not NO_OVERLAY and old is not new:
            entry.overlay = without_redeclared(entry.overlay, old, new)
        self._count(entry, -1)
        self.set_wanted(entry, wanted)
        self._count(entry, 1)
        if old.queue != new.queue:
            self.runs.queue_changed(entry.job_id)

    def set_wanted(self, entry: Entry, wanted: Wanted) -> None:
        """Replace the declaration of a job, which keeps its source."""
        entry.wanted = wanted
        self._to_file[entry.job_id] = entry

    def _count(self, entry: Entry, step: int) -> None:
        if not entry.counts_for_quotas:
            return
        self.dynamic_count += step
        user = entry.job.user
        if user is None:
            return
        self.dynamic_of_user[user] += step
        if not self.dynamic_of_user[user]:
            del self.dynamic_of_user[user]

    def arm(self, entry: Entry) -> None:
        """Put a job on the timetable, for its first occurrence after `handled_until`."""
        key = entry.key
        self.timetable.discard(key)
        if entry.job.enabled:
            self.timetable.add(entry.job, entry.grid_at, entry.handled_until, key)
            self.log_if_stuck(key, entry.job.schedule)
        if entry.pause is not None and entry.pause.until is not None:
            self.timetable.set_alarm(Alarm("resume", key), entry.pause.until)

    def log_if_stuck(self, key: str, schedule: Schedule) -> None:
        """Log an error if no next time is found for a cron line, because such a job never runs again."""
        if isinstance(schedule, Cron) and self.timetable.pending(key) is None:
            name = self.entries[key].job.name
            self.log("job.stuck", level="error", job=name, error="no next time is found")

    def follow_clock_back(self, entry: Entry, now: Instant) -> None:
        """Let *entry*, whose occurrences are handled beyond *now*, wait for those after *now*.

        The store refuses claims for occurrences that already have a row.
        """
        schedule = entry.job.schedule
        if isinstance(schedule, Once) or entry.handled_until <= now:
            return
        if isinstance(schedule, Interval) and not entry.is_before_start(now):
            entry.grid_at = now
        entry.handled_until = now
        self.mark_changed(entry)

    def move_grid(self, entry: Entry, step_ms: int, now: Instant) -> None:
        """Shift the grid of an interval by a step of the wall clock to *now*; its cadence stays."""
        schedule = entry.job.schedule
        assert isinstance(schedule, Interval), "civil time has no cadence"
        # One millisecond more on a step back, so that no instant repeats.
        shift = step_ms + (1 if step_ms < 0 else 0)
        start, has_moved = schedule.start_at, entry.grid_at != schedule.start_at
        entry.open_skip = entry.earlier_skip = None
        self.mark_changed(entry)
        handled_until = entry.handled_until + shift
        following = next_occurrence(schedule, entry.grid_at + shift, max(handled_until, now))
        is_early = start is not None and following is not None and following < start
        if step_ms < 0 and is_early and not has_moved and entry.installed_at < (start or 0):
            entry.handled_until = now  # a wrong clock let it begin early; it begins at its start
            return
        entry.grid_at += shift
        entry.handled_until = handled_until

    def mark_changed(self, entry: Entry) -> None:
        """Save the progress of *entry* with this batch."""
        self._dirty[entry.job_id] = self._to_file[entry.job_id] = entry
        if entry.can_be_over:
            self._maybe_over[entry.job_id] = entry

    def take_maybe_over(self) -> list[Entry]:
        """Return the changed jobs that may be over, or may not be over any more."""
        for job_id in self.runs.changed:
            entry = self.by_id(job_id)
            if entry is not None and entry.can_be_over:
                self._maybe_over[job_id] = entry
        self.runs.changed.clear()
        found = list(self._maybe_over.values())
        self._maybe_over.clear()
        return found

    def forget(self, entry: Entry) -> None:
        """Remove a job and its pending changes."""
        self._take_out(entry)
        self._dirty.pop(entry.job_id, None)
        self._maybe_over.pop(entry.job_id, None)
        self._to_file.pop(entry.job_id, None)
        self.uncompared.discard(entry.job_id)
        self.index.remove(entry)

    def file_changed(self) -> None:
        """Bring the index up to date."""
        self.index.refile(self._to_file.values())
        self._to_file.clear()

    def _take_out(self, entry: Entry) -> None:
        key = entry.key
        del self.entries[key]
        del self.names[entry.job_id]
        self.over.pop(entry.job_id, None)
        if not entry.standing.holds_name:
            others = self.nameless[entry.job.name]
            del others[entry.job_id]
            if not others:
                del self.nameless[entry.job.name]
        if entry.wanted.is_dynamic:
            del self.dynamic[key]
            self._count(entry, -1)

    def log(self, event: str, *, level: str = "info", **fields: object) -> None:
        """Add a log line to the batch."""
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
                each.overlay,
                each.alert,
                each.consecutive_stops,
            )
            for each in self._dirty.values()
        )
        self._dirty.clear()
        self.file_changed()
        effects = self.out[:]
        self.out.clear()
        return effects
