"""A machine on which luad runs: its engine, its loop, its recovery and its statements are the real ones.

Virtual are the two clocks, the processes, and the crashes: `burn` is called before and after every single
effect, and the daemon dies there when the fuse says so. What happens is written down as facts.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Coroutine, Mapping, Sequence
from dataclasses import dataclass
from random import Random  # noqa: TID251 - worlds are made of dice; the seed is the test
from typing import Any

from book import GUARDED
from checker import facts_of
from history import (
    Acknowledged,
    Booted,
    Ended,
    Fact,
    Found,
    Installed,
    Overtaken,
    Removed,
    Settled,
    Started,
    Stopped,
    StoreFailed,
    StoreHealed,
)
from plain import as_text
from storage import Storage

from luad.core.engine import Engine
from luad.core.events import (
    AttemptEnded,
    AttemptStarted,
    ChangeRequested,
    ClaimRun,
    ConfigLoaded,
    CreateRequested,
    DeleteRequested,
    Deliver,
    Effect,
    Event,
    InstallJob,
    Log,
    MetadataRequested,
    PauseRequested,
    Record,
    RemoveJob,
    Reply,
    ResumeRequested,
    RetryRequested,
    SaveProgress,
    SaveRun,
    StartAttempt,
    StopAttempt,
    StoredJob,
    TriggerRequested,
)
from luad.core.model import (
    DAY,
    TERMINAL_STATES,
    Ending,
    EndKind,
    Instant,
    Job,
    Now,
    ProcessIdentity,
)
from luad.daemon.loop import Loop
from luad.daemon.recovery import jobs_in_force, lost_attempts
from luad.errors import StoreUnavailableError

GRACE_MS = 10_000
ENDINGS = [EndKind.RETURNED] * 4 + [EndKind.RAISED, EndKind.EXITED, EndKind.SIGNALLED]
_ANEW = frozenset({"created", "replaced"})
ASPECTS = ("definition", "paused", "metadata")


class Crash(BaseException):
    """kill -9, seen from inside."""


@dataclass
class Process:
    run_id: str
    attempt: int
    identity: ProcessIdentity
    ends_at: int  # of the steady clock
    kind: EndKind
    is_reported: bool = False


@dataclass
class Outage:
    """The store cannot be written until *until*, or for the next *times*. *is_late*: the first write that
    fails has reached the disk all the same."""

    until: int
    times: int = 0
    is_late: bool = False
    has_begun: bool = False


class _Alarm:
    def __init__(self) -> None:
        self.at: Instant | None = None

    def set(self, at: Instant | None) -> None:
        self.at = at

    def close(self) -> None:
        self.at = None


class _Loop(Loop):
    """The real loop; only its pauses take virtual time."""

    def __init__(self, engine: Any, machine: Machine) -> None:
        super().__init__(
            engine,
            machine,
            machine,
            machine,
            on_turn=lambda: None,
            on_store=lambda _: None,
            make_alarm=lambda _: machine.alarm,
        )
        self._machine = machine

    async def _pause(self, seconds: float) -> None:
        self._machine.endure(seconds)


class _Watched:
    """The engine, with somebody who looks over its shoulder."""

    def __init__(self, engine: Engine, machine: Machine) -> None:
        self._engine = engine
        self._machine = machine
        self.next_wake_up = engine.next_wake_up

    def handle(self, events: Sequence[Event], now: Now) -> list[Effect]:
        effects = self._engine.handle(events, now)
        self._machine.decided(events, effects)
        return effects


class _Silent:
    """A log that nobody reads."""

    def emit(self, level: str, event: str, fields: Mapping[str, Any]) -> None:
        pass


class Machine:
    """What the daemon runs on. *wall* and *steady* are its clocks, *facts* what has happened."""

    engine: Engine
    loop: _Loop

    def __init__(self, dice: Random, wall: Instant, capacity: int) -> None:
        self.dice = dice
        self.wall, self.steady, self.epoch = wall, 0, 5_000_000
        self.capacity = capacity
        self.facts: list[Fact] = []
        self.storage = Storage()
        self.store = self.storage.twin
        self.alarm = _Alarm()
        self.processes: dict[str, Process] = {}
        self.broken: list[str] = []
        self.fuse: int | None = None
        self.burnt = 0
        self.outage: Outage | None = None
        self.crashes = 0
        self.is_stopping = False  # told to stop, and has heard it
        self.boot_number = 0
        self.pids = 0
        self.forced: set[str] = set()
        self._asked: dict[str, Event] = {}
        self._batch: tuple[Sequence[Event], Sequence[Effect]] = ((), ())
        self._decided_at = 0
        self._unreported: tuple[str, ...] | None = None  # on disk, and reported as failed
        self._removals: list[RemoveJob] = []

    def note(self, kind: Any, *details: Any) -> None:
        self.facts.append(kind(self.wall, self.steady, *details))

    # --- clocks ---

    def now(self) -> Now:
        return Now(self.wall, self.steady + self.epoch)

    def pass_time(self, ms: int) -> None:
        self.wall += ms
        self.steady += ms

    # --- the daemon ---

    def boot(self, first: Event) -> None:
        """Start a daemon on what is stored; *first* is its first load of the files."""
        engine = self.engine = Engine(self.capacity, self.now())
        self.loop = _Loop(_Watched(engine, self), self)
        self.note(Booted)
        restored = self.storage.restored()
        definitions = self.store.definitions
        self.note(Found, {key: value for row in restored.jobs for key, value in self._shape(row)})
        jobs = jobs_in_force(
            deque(restored.jobs), lambda row: definitions[row.revision], bool, _Silent(), []
        )
        engine.restore(jobs, restored, self.now())
        self.restored()
        lost = lost_attempts(restored, self.wall, self._kill_survivor, _Silent())
        self.turn([*lost, first])

    def turn(self, events: Sequence[Event]) -> None:
        """Hand *events* in, and let the loop turn until it has nothing left to do."""
        for event in events:
            self.loop.post(event)
        while True:
            taken, self.loop._inbox = self.loop._inbox, []
            _drive(self.loop._turn(taken))
            self._acknowledge_removals()
            if not self.loop._inbox:
                break

    def burn(self) -> None:
        """Die here, if it is time."""
        self.burnt += 1
        if self.fuse is not None:
            self.fuse -= 1
            if self.fuse < 0:
                self.fuse = None
                raise Crash

    def die(self, survivors: float = 0.0) -> None:
        """The daemon is gone; its keepers end what runs, most of the time."""
        self.crashes += 1
        self.fuse = self.outage = self._unreported = None
        self.is_stopping = False
        self._acknowledge_removals()
        for process in list(self.processes.values()):
            row = self.store.runs.get(process.run_id)
            is_known = row is not None and row.identity == process.identity
            if not (is_known and self.dice.random() < survivors):
                self.end(process, EndKind.LOST)
        self.note(Stopped)

    def restored(self) -> None:
        """Look at an engine that has been given what the store remembers."""

    def committed(
        self, before: dict[str, StoredJob], events: Sequence[Event], effects: Sequence[Effect]
    ) -> None:
        """Look at a batch whose records are written; *before*: the jobs as they were stored then."""

    def decided(self, events: Sequence[Event], effects: Sequence[Effect]) -> None:
        """Look at a batch before anything of it is written."""
        self._batch, self._decided_at = (events, effects), self.steady
        forced = {
            event.request_id
            for event in events
            if isinstance(event, TriggerRequested) and event.force
        }
        if forced:
            self.forced |= {
                each.value.id
                for each in effects
                if isinstance(each, Reply) and each.request_id in forced and each.value
            }
        is_asked = any(
            isinstance(event, TriggerRequested | RetryRequested)
            or (isinstance(event, ResumeRequested) and event.catch_up != "none")
            for event in events
        )
        for each in effects:
            if isinstance(each, ClaimRun) and each.run.trigger not in GUARDED and not is_asked:
                self.broken.append(f"I6: {each.run} was asked for by nobody")
        for event in events:
            if hasattr(event, "request_id") and event.request_id:
                self._asked[event.request_id] = event
        if all(isinstance(each, StartAttempt | StopAttempt | Reply | Log) for each in effects):
            self.committed(self._stored_by_name(), events, effects)

    # --- the store, as the loop sees it ---

    async def apply(self, records: Sequence[Record]) -> tuple[str, ...]:
        self.burn()
        outage = self.outage
        if outage is not None and (outage.times > 0 or self.steady < outage.until):
            outage.times -= 1
            if not outage.has_begun:
                outage.has_begun = True
                self.note(StoreFailed)
                if outage.is_late:
                    self._unreported = self._write(records)
            raise StoreUnavailableError("the disk is full")
        if self._unreported is not None:
            refused, self._unreported = self._unreported, None
            again = self.storage.write(records, self.wall)
            # What the same batch has ended already needs no claim any more.
            over = {run.id for run in self.store.runs.values() if run.state in TERMINAL_STATES}
            if tuple(each for each in again if each in refused or each not in over) != refused:
                self.broken.append(
                    f"store: {again} was refused when repeated, and {refused} before"
                )
        else:
            refused = self._write(records)
        if outage is not None and outage.has_begun:
            self.outage = None
            self.note(StoreHealed)
        self.burn()
        return refused

    def endure(self, seconds: float) -> None:
        """The loop waits before it tries to write again."""
        ms = int(seconds * 1000)
        if self.outage is not None:
            ms = max(ms, (self.outage.until - self.steady) // 3)
        self.pass_time(ms)
        for event in self.reap():
            self.loop.post(event)
        self.burn()

    def _write(self, records: Sequence[Record]) -> tuple[str, ...]:
        before = self._stored_by_name()
        for record in records:
            self._overtake(record)
        refused = self.storage.write_both(records, self.wall)
        for record in records:
            match record:
                case InstallJob(job_id, job, _, _, creation):
                    made = creation is not None
                    self.facts.append(Installed(record.at, self._decided_at, job_id, job, made))
                case RemoveJob():
                    self._removals.append(record)
                case SaveRun(run) if run.state in TERMINAL_STATES and run.id in self.store.runs:
                    self.note(Settled, run.id, facts_of(run))
                case _:
                    pass
        self.committed(before, *self._batch)
        return refused

    def _stored_by_name(self) -> dict[str, StoredJob]:
        return {each.name: each for each in self.store.jobs.values()}

    def _overtake(self, record: Record) -> None:
        match record:
            case InstallJob(job=job):
                self.note(Overtaken, (job.name, "definition"))
                self.note(Overtaken, (job.name, "metadata"))
            case RemoveJob(job_name=name):
                for aspect in ASPECTS:
                    self.note(Overtaken, (name, aspect))
            case SaveProgress(job_id) if (row := self.store.jobs.get(job_id)) is not None:
                if (row.progress.pause is None) is not (record.pause is None):
                    self.note(Overtaken, (row.name, "paused"))
                if row.progress.overlay != record.overlay:
                    self.note(Overtaken, (row.name, "metadata"))
            case _:
                pass

    def _acknowledge_removals(self) -> None:
        for record in self._removals:
            self.facts.append(Removed(record.at, self.steady, record.job_id))
        self._removals.clear()

    def _shape(self, row: StoredJob) -> list[tuple[tuple[str, str], Any]]:
        """What is stored of a job, as it would be acknowledged."""
        overlay = row.progress.overlay
        metadata = {**self.store.definitions[row.revision].metadata, **overlay.values}
        for key in overlay.removed:
            metadata.pop(key, None)
        values = row.revision, row.progress.pause is not None, as_text(metadata)
        return [((row.name, aspect), value) for aspect, value in zip(ASPECTS, values, strict=True)]

    # --- the hands ---

    def start(self, deed: StartAttempt) -> None:
        self.burn()
        run, job = deed.run, deed.job
        self.note(
            Started,
            run.id,
            run.attempt,
            run.job_id,
            job.revision,
            run.id in self.forced,
            self.steady - self._decided_at,
        )
        self.pids += 1
        identity = ProcessIdentity(
            300 + self.pids % 20, self.steady // 10 + self.pids, f"boot-{self.boot_number}"
        )
        kind, lasts = self._script(job)
        process = Process(run.id, run.attempt, identity, self.steady + lasts, kind)
        self.processes[run.id] = process
        if len(self.processes) > self.capacity:
            self.broken.append(f"I14: {len(self.processes)} run, and {self.capacity} may")
        if self.is_stopping:
            self.broken.append(f"I5: {run.id} was started after a stop was acknowledged")
        if kind is not EndKind.NOT_STARTED and self.dice.random() < 0.3:
            process.is_reported = True
            self.loop.post(AttemptStarted(run.id, run.attempt, self.wall, identity))

    def _script(self, job: Job) -> tuple[EndKind, int]:
        """What the handler will do."""
        lasts = self.dice.choice([0, 50, 3_000, 61_000, 400_000, DAY // 4])
        kind = self.dice.choice(ENDINGS)
        if lasts >= job.timeout_ms:
            return EndKind.TIMED_OUT, job.timeout_ms + self.dice.choice([0, 700])
        return kind, lasts

    def stop(self, deed: StopAttempt) -> None:
        self.burn()
        process = self.processes.get(deed.run_id)
        if process is not None and process.attempt == deed.attempt:
            soon = self.steady + self.dice.choice([0, 500])
            if soon < process.ends_at:
                process.ends_at, process.kind = soon, EndKind.CANCELLED

    def deliver(self, deed: Deliver) -> None:
        self.burn()
        if deed.message.id not in self.store.messages:
            self.broken.append(f"I3: {deed.message} was sent before it was posted")

    def log(self, deed: Log) -> None:
        pass

    def reply(self, deed: Reply) -> None:
        self.burn()
        event = self._asked.pop(deed.request_id, None)
        if isinstance(event, DeleteRequested | ConfigLoaded):
            self._acknowledge_removals()
        if deed.error is None:
            for name in self._begun_anew(event, deed):
                self.note(Overtaken, (name, "metadata"))
                self.note(Overtaken, (name, "paused"))
            for key, value in self._promised(event, deed):
                # else it is overtaken by the same batch
                if key[1] == "run" or self._stored(key) == value:
                    self.note(Acknowledged, key, value)

    def _stored(self, key: tuple[str, str]) -> Any:
        rows = [row for row in self.store.jobs.values() if row.name == key[0]]
        return dict(self._shape(rows[0])).get(key) if rows else None

    def _promised(self, event: Event | None, deed: Reply) -> list[tuple[tuple[str, str], Any]]:
        match event:
            case TriggerRequested() | RetryRequested():
                return [((deed.value.id, "run"), True)]
            case PauseRequested(job_name=name):
                return [((name, "paused"), True)]
            case ResumeRequested(job_name=name):
                return [((name, "paused"), False)]
            case MetadataRequested(job_name=name):
                return [((name, "metadata"), as_text(deed.value))]
            case ChangeRequested(job_name=name) | DeleteRequested(job_name=name):
                return [self._definition(name)]
            case CreateRequested():
                return [
                    self._definition(each.job_name)
                    for each in deed.value
                    if each.outcome != "refused"
                ]
            case _:
                return []

    def _begun_anew(self, event: Event | None, deed: Reply) -> list[str]:
        """Jobs of which an earlier answer of the same batch is worth nothing any more."""
        match event:
            case ChangeRequested(job_name=name) | DeleteRequested(job_name=name):
                return [name]
            case CreateRequested():
                return [each.job_name for each in deed.value if each.outcome in _ANEW]
            case _:
                return []

    def _definition(self, name: str) -> tuple[tuple[str, str], Any]:
        entry = self.engine.entries.get(name)
        return (name, "definition"), None if entry is None else entry.job.revision

    # --- processes ---

    def end(self, process: Process, kind: EndKind, at: int | None = None) -> Instant:
        """A process is gone since *at* of the steady clock; return the same of the wall clock."""
        ago = 0 if at is None else self.steady - at
        del self.processes[process.run_id]
        wall = self.wall - ago
        self.facts.append(Ended(wall, self.steady - ago, process.run_id, process.attempt, kind))
        return wall

    def reap(self) -> list[Event]:
        """What the runner reports of the processes that have ended by now."""
        over = [each for each in self.processes.values() if each.ends_at <= self.steady]
        over.sort(key=lambda each: each.ends_at)
        events: list[Event] = []
        for process in over:
            at = self.end(process, process.kind, process.ends_at)
            named = process.run_id, process.attempt
            if not process.is_reported and process.kind is not EndKind.NOT_STARTED:
                events.append(AttemptStarted(*named, at, process.identity))
            code = 3 if process.kind is EndKind.EXITED else None
            events.append(AttemptEnded(*named, Ending(process.kind, at, code)))
        return events

    def _kill_survivor(self, identity: ProcessIdentity) -> bool:
        for process in list(self.processes.values()):
            if process.identity == identity:
                self.end(process, EndKind.LOST)
                return True
        return False


def _drive(coroutine: Coroutine[Any, Any, None]) -> None:
    try:
        coroutine.send(None)
    except StopIteration:
        return
    raise AssertionError("the loop waits for something that is not in this world")
