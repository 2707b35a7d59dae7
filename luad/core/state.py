"""What the engine remembers: the installed jobs, the timetable, the open runs.

Room rule: holds, and decides nothing. The modules that do (`claims`, `jobset`, `desk`, `engine`) share
one `State`; nobody outside the core sees it change.
"""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass, field, replace
from hashlib import blake2b

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
from luad.core.model import (
    JSON,
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
from luad.core.runs import OpenRuns
from luad.core.schedule import next_occurrence
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
    overlay: Overlay = NO_OVERLAY
    alert: AlertState = NO_ALERT
    standing: Standing = IN_FORCE
    consecutive_stops: int = 0  # of the failures in a row: those that are a stop of the daemon
    _merged: tuple[Job, Overlay, Job] | None = field(default=None, repr=False)

    def clear_failures(self) -> None:
        """Begin to count failures in a row anew."""
        self.consecutive_failures = self.consecutive_stops = 0

    @property
    def job(self) -> Job:
        """The definition in force."""
        return self.wanted.job

    @property
    def key(self) -> str:
        """The name, or the id of a job that does not hold its name. No name looks like an id."""
        return self.wanted.job.name if self.standing.holds_name else self.job_id

    @property
    def halt(self) -> Pause | None:
        """The pause that keeps occurrences from running: the job's own, or that of its displacement."""
        return self.standing.displaced or self.pause

    def is_before_start(self, now: Instant) -> bool:
        """Say whether the job is an interval whose `start_at` is yet to come at *now*."""
        schedule = self.job.schedule
        if not isinstance(schedule, Interval) or schedule.start_at is None:
            return False
        return max(self.handled_until, now) < self.grid_at

    @property
    def counts_for_quotas(self) -> bool:
        """Say whether the job counts as one of the dynamic jobs that there may be."""
        return self.wanted.is_dynamic and not self.makes_room

    @property
    def can_be_over(self) -> bool:
        """Say whether the job is a `once`, or was one when it was judged the last time."""
        return isinstance(self.job.schedule, Once) or self.standing.over_at is not None

    @property
    def makes_room(self) -> bool:
        """Say whether the job gives its name to the next one: it is over, and is not to be kept."""
        is_over = self.standing.over_at is not None
        return is_over and self.wanted.is_dynamic and not self.job.keep

    @property
    def current(self) -> Job:
        """The definition in force, with the metadata as they are now."""
        job, overlay = self.wanted.job, self.overlay
        if overlay is NO_OVERLAY:
            return job
        merged = self._merged
        if merged is None or merged[0] is not job or merged[1] is not overlay:
            merged = self._merged = (job, overlay, replace(job, metadata=lay_over(job, overlay)))
        return merged[2]

    @property
    def version(self) -> str:
        """A name for the definition and the metadata as they are now."""
        if not self.overlay.values and not self.overlay.removed:
            return self.job.revision
        text = json.dumps(
            [self.job.revision, dict(self.overlay.values), self.overlay.removed], sort_keys=True
        )
        return blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).hexdigest()

    @property
    def status(self) -> JobStatus:
        """Is the job scheduled at all."""
        schedule = self.job.schedule
        if isinstance(schedule, Once) and self.handled_until >= schedule.execute_at:
            return JobStatus.COMPLETED
        is_paused = self.halt is not None or not self.job.enabled
        return JobStatus.PAUSED if is_paused else JobStatus.ACTIVE


def lay_over(job: Job, overlay: Overlay) -> dict[str, object]:
    """Return the metadata of *job* with *overlay* over them."""
    merged = {**job.metadata, **overlay.values}
    for key in overlay.removed:
        merged.pop(key, None)
    return merged


def is_same_json(one: JSON, other: JSON) -> bool:
    """Compare as JSON does: Python takes true for 1."""
    return one == other and json.dumps(one, sort_keys=True) == json.dumps(other, sort_keys=True)


@dataclass(frozen=True, slots=True)
class Bounds:
    """What an engine is held to: runs at once, dynamic jobs in all and for one user; and who is told
    of trouble with jobs that name nobody."""

    capacity: int
    max_dynamic_jobs: int = 1_000_000
    max_dynamic_jobs_per_user: int = 10_000
    default_alert: AlertPolicy | None = None


class State:
    """Everything mutable of one engine. *out* collects the effects of the batch in hand.

    *entries* are by key (`Entry.key`), and so is *dynamic*. *nameless* holds, by name, the ids of the jobs
    that do not hold it. *over* holds the ids of the jobs that are over, the earliest first.
    """

    def __init__(self, bounds: Bounds, now: Instant) -> None:
        self.bounds = bounds
        self.entries: dict[str, Entry] = {}
        self.names: dict[str, str] = {}  # keys by job id
        self.dynamic: dict[str, None] = {}
        self.dynamic_count = 0
        self.dynamic_of_user: Counter[str] = Counter()
        self.nameless: dict[str, dict[str, None]] = {}
        self.over: dict[str, None] = {}
        self.timetable = Timetable(now)
        self.out: list[Effect] = []
        self.runs = OpenRuns(bounds.capacity, self.job_in_force, self.out)
        self.elapsed = 0  # of the steady clock: tells ids apart when the wall clock goes back
        self.is_loaded = False
        self.is_draining = False
        self._dirty: dict[str, Entry] = {}
        self._maybe_over: dict[str, Entry] = {}

    def find(self, name_or_id: str) -> Entry | None:
        """Return the job that holds that name, or has that id."""
        entry = self.entries.get(name_or_id)
        return self.by_id(name_or_id) if entry is None else entry

    def by_id(self, job_id: str) -> Entry | None:
        """Return the job of that id."""
        key = self.names.get(job_id)
        return None if key is None else self.entries[key]

    def job_in_force(self, run: Run) -> Job | None:
        """Return the definition that holds for *run* now; None once its job is removed."""
        entry = self.by_id(run.job_id)
        return None if entry is None else entry.current

    def add(self, entry: Entry) -> None:
        """Take a job in."""
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

    def set_standing(self, entry: Entry, standing: Standing) -> None:
        """Give *entry* another standing, and with it another key where it takes or loses its name."""
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

        What was written to its metadata stays, but for the keys that are declared differently now.
        """
        old, new = entry.job, wanted.job
        if entry.overlay is not NO_OVERLAY and old is not new:
            entry.overlay = _kept(entry.overlay, old, new)
        self._count(entry, -1)
        entry.wanted = wanted
        self._count(entry, 1)

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
        """Put a job on the timetable, where it waits for what comes after `handled_until`."""
        key = entry.key
        self.timetable.discard(key)
        if entry.job.enabled:
            self.timetable.add(entry.job, entry.grid_at, entry.handled_until, key)
            self.log_if_stuck(key, entry.job.schedule)
        if entry.pause is not None and entry.pause.until is not None:
            self.timetable.set_alarm(Alarm("resume", key), entry.pause.until)

    def log_if_stuck(self, key: str, schedule: Schedule) -> None:
        """A cron line always has a next time: one for which none is found will not run any more."""
        if isinstance(schedule, Cron) and self.timetable.pending(key) is None:
            name = self.entries[key].job.name
            self.log("job.stuck", level="error", job=name, error="no next time is found")

    def follow_clock_back(self, entry: Entry, now: Instant) -> None:
        """Let *entry*, which has been looked after beyond *now*, wait for what comes after *now*.

        Instants that have a row already are refused by the store.
        """
        schedule = entry.job.schedule
        if isinstance(schedule, Once) or entry.handled_until <= now:
            return
        if isinstance(schedule, Interval) and not entry.is_before_start(now):
            entry.grid_at = now
        entry.handled_until = now
        self.mark_changed(entry)

    def move_grid(self, entry: Entry, step_ms: int, now: Instant) -> None:
        """Let an interval keep its cadence when the wall clock is stepped; it is *now* afterwards."""
        schedule = entry.job.schedule
        assert isinstance(schedule, Interval), "civil time has no cadence"
        # One more millisecond on the way back: no instant is ever used a second time.
        shift = step_ms + (1 if step_ms < 0 else 0)
        start, has_moved = schedule.start_at, entry.grid_at != schedule.start_at
        entry.open_skip = entry.earlier_skip = None
        self.mark_changed(entry)
        handled_until = entry.handled_until + shift
        following = next_occurrence(schedule, entry.grid_at + shift, max(handled_until, now))
        is_early = start is not None and following is not None and following < start
        if step_ms < 0 and is_early and not has_moved and entry.installed_at < (start or 0):
            entry.handled_until = now  # it began by a clock that was wrong: it begins at its start
            return
        entry.grid_at += shift
        entry.handled_until = handled_until

    def mark_changed(self, entry: Entry) -> None:
        """Let the progress of *entry* be saved with this batch."""
        self._dirty[entry.job_id] = entry
        if entry.can_be_over:
            self._maybe_over[entry.job_id] = entry

    def take_maybe_over(self) -> list[Entry]:
        """Return the jobs of which it must be found out anew whether they are over."""
        for job_id in self.runs.changed:
            entry = self.by_id(job_id)
            if entry is not None and entry.can_be_over:
                self._maybe_over[job_id] = entry
        self.runs.changed.clear()
        found = list(self._maybe_over.values())
        self._maybe_over.clear()
        return found

    def forget(self, entry: Entry) -> None:
        """Take a removed job out."""
        self._take_out(entry)
        self._dirty.pop(entry.job_id, None)
        self._maybe_over.pop(entry.job_id, None)

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
                each.overlay,
                each.alert,
                each.consecutive_stops,
            )
            for each in self._dirty.values()
        )
        self._dirty.clear()
        effects = self.out[:]
        self.out.clear()
        return effects


def _kept(overlay: Overlay, old: Job, new: Job) -> Overlay:
    """Return what is left of *overlay* once the declaration changes from *old* to *new*."""
    changed = {
        key
        for key in (*old.metadata, *new.metadata)
        if (key in old.metadata) is not (key in new.metadata)
        or not is_same_json(old.metadata[key], new.metadata[key])
    }
    values = {key: value for key, value in overlay.values.items() if key not in changed}
    removed = tuple(key for key in overlay.removed if key not in changed)
    remote = tuple(key for key in overlay.remote if key not in changed)
    return Overlay(values, removed, remote) if values or removed or remote else NO_OVERLAY
