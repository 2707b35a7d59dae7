"""A machine on which luad runs: its engine, its loop, its recovery and its statements are the real ones.

Virtual are the two clocks, the processes, and the crashes: `burn` is called before and after every single
effect, and the daemon dies there when the fuse says so. What happens is written down as facts.
"""

from __future__ import annotations

from collections import ChainMap, deque
from collections.abc import Sequence
from dataclasses import dataclass
from random import Random  # noqa: TID251 - worlds are made of dice; the seed is the test
from typing import Any

from simulation.answers import ASPECTS, OF_RUNS, begun_anew, promised, shape
from simulation.book import GUARDED
from simulation.checker import facts_of
from simulation.dictstore import key_of
from simulation.history import (
    Acknowledged,
    Booted,
    Ended,
    Fact,
    Found,
    Installed,
    Key,
    Overtaken,
    Removed,
    Settled,
    Started,
    Stopped,
    StoreFailed,
    StoreHealed,
)
from simulation.loops import Silent, StillAlarm, VirtualLoop, Watched, drive
from simulation.processes import Process, Processes
from simulation.storage import Storage

from luad.core.engine import Engine
from luad.core.events import (
    AttemptEnded,
    AttemptStarted,
    ClaimRun,
    ConfigLoaded,
    Deliver,
    Effect,
    Event,
    InstallJob,
    Log,
    Record,
    ReleaseOutput,
    RemoveJob,
    Reply,
    SaveProgress,
    SaveRun,
    SaveStanding,
    StartAttempt,
    StopAttempt,
    StoredJob,
)
from luad.core.model import (
    TERMINAL_STATES,
    Ending,
    EndKind,
    Instant,
    Now,
    ProcessIdentity,
)
from luad.core.requests import DeleteRequested, ResumeRequested, RetryRequested, TriggerRequested
from luad.core.state import PORTION, Bounds
from luad.daemon.recovery import jobs_in_force, lost_attempts
from luad.errors import StoreUnavailableError


class Crash(BaseException):
    """kill -9, seen from inside."""


@dataclass
class Outage:
    """The store cannot be written until *until*, or for the next *times*. *is_late*: the first write that
    fails has reached the disk all the same."""

    until: int
    times: int = 0
    is_late: bool = False
    has_begun: bool = False


class Machine:
    """The machine of a daemon. *wall* and *steady* are its clocks, *facts* its history."""

    engine: Engine
    loop: VirtualLoop

    def __init__(self, dice: Random, wall: Instant, capacity: int, portion: int = PORTION) -> None:
        self.dice = dice
        self.wall, self.steady, self.epoch = wall, 0, 5_000_000
        self.capacity, self.portion = capacity, portion
        self.facts: list[Fact] = []
        self.storage = Storage()
        self.store = self.storage.twin
        self.alarm = StillAlarm()
        self.processes = Processes(dice)
        self.broken: list[str] = []
        self.fuse: int | None = None
        self.burnt = 0
        self.outage: Outage | None = None
        self.crashes = 0
        self.is_stopping = False  # told to stop, and has heard it
        self.is_slow = False  # what is started now has no process yet
        self.held: dict[str, StartAttempt] = {}
        self.uncompared: set[str] = (
            set()
        )  # ids of jobs whose files were not looked at since the start
        self.boot_number = 0
        self.forced: set[str] = set()
        self._asked: dict[str, Event] = {}
        self._batch: tuple[Sequence[Event], Sequence[Effect]] = ((), ())
        self._decided_at = 0
        self.decided_wall = wall
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
        engine = self.engine = Engine(Bounds(self.capacity, portion=self.portion), self.now())
        self.loop = VirtualLoop(Watched(engine, self), self)
        self._asked.clear()
        self.note(Booted)
        restored = self.storage.restored()
        definitions = self.store.definitions
        self.note(Found, dict(ChainMap(*map(self._shape, restored.jobs))))
        jobs = jobs_in_force(
            deque(restored.jobs), lambda row: definitions[row.revision], bool, Silent(), []
        )
        engine.restore(jobs, restored, self.now())
        self.restored()
        lost = lost_attempts(restored, self.wall, self._kill_survivor, Silent())
        self.turn([*lost, self.opening(first)])

    def opening(self, first: Event) -> Event:
        """Return the event that puts jobs in force: *first*, or another one that leaves files for later."""
        return first

    def turn(self, events: Sequence[Event]) -> None:
        """Hand *events* in, and let the loop turn until it has nothing left to do."""
        for event in events:
            self.loop.post(event)
        while True:
            taken, self.loop._inbox = self.loop._inbox, []
            drive(self.loop._turn(taken))
            self._acknowledge_removals()
            if self.engine.is_behind:
                self.in_a_herd()
            elif not self.loop._inbox:
                break

    def in_a_herd(self) -> None:
        """A portion of what is due has been handled, and something is left."""

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
        self.is_stopping = self.is_slow = False
        self.held.clear()
        self._acknowledge_removals()
        for process in list(self.processes.table.values()):
            row = self.store.runs.get(process.run_id)
            is_known = row is not None and row.identity == process.identity
            if not (is_known and self.dice.random() < survivors):
                self._end(process, EndKind.LOST)
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
        self.decided_wall = self.wall
        forced = {
            event.request_id
            for event in (*events, *self._asked.values())  # what was held is answered later
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
        if self.may_hold:  # it may have been asked for before the file of the job was compared
            is_asked = is_asked or bool(self._asked)
        for each in effects:
            if isinstance(each, ClaimRun) and each.run.trigger not in GUARDED and not is_asked:
                self.broken.append(f"I6: {each.run} was asked for by nobody")
        for event in events:
            if hasattr(event, "request_id") and event.request_id:
                self._asked[event.request_id] = event
        if all(isinstance(each, StartAttempt | StopAttempt | Reply | Log) for each in effects):
            self.committed(self._stored_by_key(), events, effects)

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
        before = self._stored_by_key()
        for record in records:
            self._overtake(record)
        refused = self.storage.write_both(records, self.wall)
        self._note_written(records)
        self.committed(before, *self._batch)
        return refused

    def _note_written(self, records: Sequence[Record]) -> None:
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

    def _stored_by_key(self) -> dict[str, StoredJob]:
        return {key_of(each): each for each in self.store.jobs.values()}

    def _overtake(self, record: Record) -> None:
        match record:
            case InstallJob(job_id, job, holds_name=holds_name):
                key = job.name if holds_name else job_id
                self.note(Overtaken, (key, "definition"))
                self.note(Overtaken, (key, "metadata"))
            case RemoveJob(job_id, name) | SaveStanding(job_id, name):
                for aspect in ASPECTS:
                    self.note(Overtaken, (name, aspect))
                    self.note(Overtaken, (job_id, aspect))
            case SaveProgress(job_id) if (row := self.store.jobs.get(job_id)) is not None:
                if (row.progress.pause is None) is not (record.pause is None):
                    self.note(Overtaken, (key_of(row), "paused"))
                if row.progress.overlay != record.overlay:
                    self.note(Overtaken, (key_of(row), "metadata"))
            case _:
                pass

    def _acknowledge_removals(self) -> None:
        for record in self._removals:
            self.facts.append(Removed(record.at, self.steady, record.job_id))
        self._removals.clear()

    def _shape(self, row: StoredJob) -> dict[Key, Any]:
        return dict(shape(row, self.store.definitions[row.revision]))

    def reap(self) -> list[Event]:
        """Return the runner's reports of processes that have ended by now."""
        events: list[Event] = []
        for process in self.processes.over(self.steady):
            at = self._end(process, process.kind, process.ends_at)
            events += process.report(at)
        return events

    def _end(self, process: Process, kind: EndKind, at: int | None = None) -> Instant:
        """A process is gone since *at* of the steady clock; return the same of the wall clock."""
        ago = 0 if at is None else self.steady - at
        del self.processes.table[process.run_id]
        gone = Ended(self.wall - ago, self.steady - ago, process.run_id, process.attempt, kind)
        self.facts.append(gone)
        return gone.wall

    def _kill_survivor(self, _run_id: str, identity: ProcessIdentity | None) -> bool:
        survivor = self.processes.find(identity) if identity is not None else None
        if survivor is not None:
            self._end(survivor, EndKind.LOST)
        return survivor is not None

    # --- the hands ---

    def start(self, action: StartAttempt) -> None:
        self.burn()
        if self.is_slow:
            self.held[action.run.id] = action
        else:
            self._begin(action)

    def release(self) -> None:
        """Let what was held have its process."""
        self.is_slow = False
        held = list(self.held.values())
        self.held.clear()
        for action in held:
            self._begin(action)

    def _begin(self, action: StartAttempt) -> None:
        run, job = action.run, action.job
        if run.job_id in self.uncompared:
            self.broken.append(f"I17: {run.id} was started before its file was compared")
        self.note(
            Started,
            run.id,
            run.attempt,
            run.job_id,
            job.revision,
            run.id in self.forced,
            self.steady - self._decided_at,
        )
        if len(self.processes.table) >= self.capacity:
            self.broken.append(f"I14: {run.id} is one more at once than {self.capacity}")
        if self.is_stopping:
            self.broken.append(f"I5: {run.id} was started after a stop was acknowledged")
        if self.processes.start(run, job, self.steady, f"boot-{self.boot_number}"):
            identity = self.processes.table[run.id].identity
            self.loop.post(AttemptStarted(run.id, run.attempt, self.wall, identity))

    def stop(self, action: StopAttempt) -> None:
        self.burn()
        if self.held.pop(action.run_id, None) is not None:
            ending = Ending(EndKind.CANCELLED, self.wall)
            self.loop.post(AttemptEnded(action.run_id, action.attempt, ending))
            return
        self.processes.stop(action.run_id, action.attempt, self.steady)

    def release_output(self, action: ReleaseOutput) -> None:
        """Nothing is held back here."""

    def deliver(self, action: Deliver) -> None:
        self.burn()
        if action.message.id not in self.store.messages:
            self.broken.append(f"I3: {action.message} was sent before it was posted")

    def log(self, action: Log) -> None:
        pass

    def reply(self, action: Reply) -> None:
        self.burn()
        event = self._asked.pop(action.request_id, None)
        if isinstance(event, DeleteRequested | ConfigLoaded):
            self._acknowledge_removals()
        if action.error is None:
            for name in begun_anew(event, action):
                self.note(Overtaken, (name, "metadata"))
                self.note(Overtaken, (name, "paused"))
            for key, value in promised(event, action, self.engine):
                # else it is overtaken by the same batch
                if key[1] in OF_RUNS or self._stored(key) == value:
                    self.note(Acknowledged, key, value)

    def _stored(self, key: tuple[str, str]) -> Any:
        rows = [row for row in self.store.jobs.values() if key_of(row) == key[0]]
        return self._shape(rows[0]).get(key) if rows else None
