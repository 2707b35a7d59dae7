"""The same months with several nodes: shards are taken, given and lost, commits are cut, workers fall silent.

The nodes, their turns, their shares and their judgement are the real ones of `luad.cluster`; virtual are the store
that they share, the workers, and time. The oracle is the one of a single daemon, with three promises more:

- I17: the records of a shard are written by the node that owns it.
- I18: a request is answered once.
- I19: an attempt whose worker is alive and in touch is never judged lost.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from random import Random  # noqa: TID251 - worlds are made of dice; the seed is the test

from simulation.cluster_store import SHARDS, Attempt, HandOver, MemorySession, Tables, cancelled
from simulation.history import Booted, Found, Sampled, Slept, Stopped, StoreFailed, StoreHealed
from simulation.loops import drive
from simulation.machine import Crash
from simulation.processes import Process
from simulation.world import World

from luad.cluster.engine_set import EngineSet
from luad.cluster.node import Node, NodeSettings
from luad.cluster.reaping import HandOverState
from luad.cluster.store_clock import StoreClock
from luad.core.engine import Engine
from luad.core.events import (
    AttemptEnded,
    AttemptStarted,
    ConfigLoaded,
    Effect,
    Event,
    Record,
    StartAttempt,
    StopAttempt,
    Ticked,
)
from luad.core.model import (
    HOUR,
    MINUTE,
    Ending,
    EndKind,
    Now,
    Occurrence,
    Run,
    RunState,
    Trigger,
    Wanted,
)
from luad.core.requests import CancelRequested, RetryRequested, TriggerRequested
from luad.core.shards import shard_of
from luad.core.state import Bounds, Entry
from luad.errors import StoreUnavailableError

LOST_AFTER = 30_000
HEARTBEAT = LOST_AFTER // 6
NODES = ("ann", "bob", "cid")
WORKERS = ("w1", "w2")


class NodeClock:
    """A node's machine; the clock on its wall may be wrong."""

    def __init__(self, world: ClusterWorld, wrong_by: int) -> None:
        self._world, self._wrong_by = world, wrong_by

    def now(self) -> Now:
        now = self._world.now()
        return Now(now.wall + self._wrong_by, now.elapsed)


class WatchedSet(EngineSet):
    """The engines of a node, with somebody who looks over its shoulder."""

    def __init__(self, world: ClusterWorld) -> None:
        super().__init__(Bounds(1), SHARDS)
        self._world = world

    def _handle(self, engine: Engine, events: Sequence[Event], now: Now) -> list[Effect]:
        effects = super()._handle(engine, events, now)
        self._world.decided(events, effects)
        return effects


class SimNode(Node):
    """One node, and when it is up again."""

    def __init__(self, world: ClusterWorld, name: str, wrong_by: int) -> None:
        clock = StoreClock(NodeClock(world, wrong_by))
        super().__init__(NodeSettings(name, LOST_AFTER), WatchedSet(world), clock, world)
        self.is_up = True
        self.sessions: list[MemorySession] = []

    @property
    def memory_session(self) -> MemorySession | None:
        assert self.session is None or isinstance(self.session, MemorySession)
        return self.session


class Together:
    """What the engines of all owners know, for whoever asks for one engine."""

    is_behind = is_draining = False

    def __init__(self, world: ClusterWorld) -> None:
        self._world = world

    def _engines(self) -> Iterator[Engine]:
        for node in self._world.nodes:
            yield from node.engines

    @property
    def entries(self) -> dict[str, Entry]:
        return {key: entry for engine in self._engines() for key, entry in engine.entries.items()}

    def next_occurrence_of(self, name: str) -> Occurrence | None:
        found = (each.next_occurrence_of(name) for each in self._engines() if each.find(name))
        return next(found, None)

    @property
    def runs(self) -> Together:
        return self

    def all(self) -> list[Run]:
        return [run for engine in self._engines() for run in engine.runs.all()]


class ClusterWorld(World):
    """One seed's worth of history of a cluster."""

    def __init__(self, seed: int, *, faults: frozenset[str] | None = None) -> None:
        self.cluster_dice = Random(f"cluster {seed}")  # noqa: S311 - no secrets here
        self.tables = Tables()
        self.wanted: Mapping[str, Wanted] = {}
        self.nodes: list[SimNode] = []
        self.away: set[str] = set()
        self.life = 0
        self.lives = {name: name for name in WORKERS}
        self.worker_of: dict[Attempt, str] = {}
        self.swallows: HandOverState | None = None
        self.unsent: list[AttemptStarted | AttemptEnded] = []
        self.ghosts: list[AttemptEnded] = []
        self.answered: Counter[str] = Counter()
        self.happened: Counter[str] = Counter()
        self.cut: str | None = None
        self.is_calm = self.are_told_to_stop = False
        super().__init__(seed, faults=faults)

    # --- life and death ---

    def boot(self, first: Event) -> None:
        """Start all nodes; *first* has what the files declare."""
        assert isinstance(first, ConfigLoaded)
        self.capacity = 2**31
        self.engine = Together(self)  # type: ignore[assignment]
        self.loop = self  # type: ignore[assignment]
        self.wanted = first.wanted
        if not self.nodes:
            wrong = self.cluster_dice.choice
            self.nodes = [SimNode(self, each, wrong([0, -HOUR, 90_000])) for each in NODES]
        for node in self.nodes:
            node.is_up = node.is_willing = True
        self.are_told_to_stop = False
        self.note(Booted)
        self.settle()

    def die(self, *_: object) -> None:
        """All nodes are gone; the workers go on."""
        for node in self.nodes:
            self.kill(node)
        self.fuse = self.outage = self.cut = None
        self._acknowledge_removals()
        self.note(Stopped)

    def kill(self, node: SimNode) -> None:
        """One node is gone, and its memory with it."""
        node.is_up = False
        self.fuse = None
        for session in node.sessions:
            session.end()
        drive(node.fail(StoreUnavailableError("killed")))
        self.crashes += 1
        self.happened["killed"] += 1

    def fall(self) -> None:
        """All nodes have died; time passes until they are started again."""
        self.die()
        self.pass_time(self.dice.choice([1, 200, 30_000, HOUR, 25 * HOUR]))
        if self.dice.random() < 0.3:
            self.folder.edit(self.dice.choice(["add", "edit", "remove", "break", "mend"]))
        if "step" in self.faults and self.dice.random() < 0.2:
            self.set_clock(self.dice.choice([-2 * HOUR, -90_000, HOUR]))
        self.post_all(self.reap())

    def restart(self, until: int) -> None:
        """Stop all nodes as they should be stopped, and start them again at *until*."""
        crashes, self.are_told_to_stop = self.crashes, True
        for node in self.nodes:
            node.is_willing = False
        self.settle()
        if self.crashes == crashes and self.tables.locks:
            self.broken.append(f"I16: {self.tables.locks} is owned after a stop")
        self.die()
        self.pass_time(max(1, until - self.steady))
        self.post_all(self.reap())
        self.boot(self.load_event())

    def sleep(self, ms: int) -> None:
        """All machines stand still; PostgreSQL ends the sessions."""
        self.pass_time(ms)
        self.note(Slept, ms)
        if ms > 10_000:
            for node in self.nodes:
                if node.memory_session is not None:
                    node.memory_session.end()
        self.do([*self.reap(), Ticked()])

    def heal(self) -> None:
        self.is_calm = True
        for node in self.nodes:
            node.is_up = node.is_willing = True
        super().heal()

    # --- the store ---

    def check_store(self) -> None:
        """Fail while the store is away."""
        outage = self.outage
        if outage is None:
            return
        if outage.times > 0 or self.steady < outage.until:
            outage.times -= 1
            if not outage.has_begun:
                outage.has_begun = True
                self.note(StoreFailed)
                if outage.is_late:
                    self.cut = "after"
                    return
            raise StoreUnavailableError("the server is away")
        if outage.has_begun:
            self.note(StoreHealed)
        self.outage = None

    @property
    def is_store_away(self) -> bool:
        outage = self.outage
        return outage is not None and outage.has_begun

    def is_cut(self) -> str | None:
        """Say whether the connection is cut around this commit."""
        cut, self.cut = self.cut, None
        if cut is not None:
            self.happened[f"cut {cut}"] += 1
        return cut

    def writes(self, records: Sequence[Record]) -> None:
        for record in records:
            self._overtake(record)

    def wrote(self, records: Sequence[Record]) -> None:
        self._note_written(records)
        self._acknowledge_removals()

    # --- nodes ---

    def post(self, event: Event) -> None:
        self.post_all([event])

    def post_all(self, events: Sequence[Event]) -> None:
        """Add rows to the inbox; what cannot be written now waits in the worker, or is refused."""
        for event in events:
            if isinstance(event, AttemptStarted | AttemptEnded):
                self.unsent.append(event)
            elif isinstance(event, ConfigLoaded):
                self._declare(event)
            elif not isinstance(event, Ticked) and not self.is_store_away:
                self.tables.insert(self._shard_of(event), event, "ann")  # type: ignore[arg-type]
        self._send()

    def _send(self) -> None:
        if self.is_store_away:
            return
        for event in self.unsent:
            run = self.store.runs.get(event.run_id)
            name = "" if run is None else run.job_name
            if isinstance(event, AttemptEnded):
                row = self.tables.hand_overs.get((event.run_id, event.attempt))
                if row is not None:
                    row.state = HandOverState.OVER
            self.tables.insert(shard_of(name, SHARDS), event)
        self.unsent.clear()

    def _shard_of(self, event: object) -> int:
        match event:
            case CancelRequested(run_id=run_id):
                run = self.store.runs.get(run_id)
                return shard_of(run.job_name if run else "", SHARDS)
            case RetryRequested(run=run):
                return shard_of(run.job_name, SHARDS)
            case _:
                return shard_of(event.job_name, SHARDS)  # type: ignore[attr-defined]

    def _declare(self, event: ConfigLoaded) -> None:
        self.wanted = event.wanted
        for node in self.nodes:
            for shard in node.engines.owned:
                own = {n: w for n, w in self.wanted.items() if shard_of(n, SHARDS) == shard}
                node.post(shard, ConfigLoaded(own))

    def load(self) -> None:
        """Load the files while nothing else happens, or right after something has."""
        self._disturb_unless_calm()
        self.settle()
        was_calm, self.is_calm = self.is_calm, True
        super().load()
        self.is_calm = was_calm

    def turn(self, events: Sequence[Event]) -> None:
        """Hand *events* in, and let the nodes turn until nothing is left to do."""
        self.post_all(events)
        self._disturb_unless_calm()
        self.settle()

    def _disturb_unless_calm(self) -> None:
        if not self.is_calm:
            self._disturb()

    def _disturb(self) -> None:
        """Let something go wrong in the cluster, now and then."""
        dice = self.cluster_dice
        chance = dice.random()
        node = dice.choice(self.nodes)
        if chance < 0.04:
            if node.memory_session is not None:
                node.memory_session.end()  # and the node does not know
                self.happened["lost"] += 1
        elif chance < 0.06:
            self.kill(node)
        elif chance < 0.09:
            node.is_willing = not node.is_willing
        elif chance < 0.14:
            self.cut = dice.choice(["before", "after"])
        elif chance < 0.20:
            for each in self.nodes:
                each.is_up = True
        elif self.steady < self.until - 2 * MINUTE and chance < self._fault_chance():
            self._worker_fault()

    def _fault_chance(self) -> float:
        """A fault of a worker says most while something runs."""
        return 0.35 if self.processes.table else 0.22

    def settle(self) -> None:
        """Let every node do its steps until none has anything left to do."""
        for _ in range(200):
            is_any = any(node.is_up and node.is_willing for node in self.nodes)
            if not is_any and not self.are_told_to_stop:
                self.nodes[0].is_up = self.nodes[0].is_willing = True
            self._beat()
            is_more = [self._steps(node) for node in self.nodes if node.is_up]
            self._fetch()
            self._answer()
            if self.is_store_away or self._is_unowned():
                if not self.are_told_to_stop:
                    self._endure()
                elif self.is_store_away or not self.tables.locks:
                    return
            elif not any(is_more) and not self._is_left():
                break
        else:
            self.broken.append(f"I15: the nodes turn and turn (at {self.wall})")
        wake_ups = [at for node in self.nodes if (at := node.engines.next_wake_up()) is not None]
        self.alarm.set(min(wake_ups, default=None))

    def _is_unowned(self) -> bool:
        return len(self.tables.locks) < SHARDS

    def _is_left(self) -> bool:
        return bool(self.tables.inbox) or any(
            node.engines.due(self.now()) for node in self.nodes if node.is_up
        )

    def _endure(self) -> None:
        """Nobody decides for a while."""
        ms = self.cluster_dice.choice([1, 500, 3_000])
        if self.outage is not None:
            ms = max(ms, (self.outage.until - self.steady) // 3)
        self.pass_time(ms)
        self.note(Slept, ms)
        self.post_all(self.reap())

    def _steps(self, node: SimNode) -> bool:
        """Do a node's steps; whatever goes wrong, it forgets what it knew."""
        try:
            if node.session is None:
                session = MemorySession(self, node.name)
                session.check()
                node.sessions = [session]
                node.connect(session)
            drive_until(node.pulse())
            while drive_until(node.move()):
                drive_until(node.pulse())
            return bool(drive_until(node.turn()))
        except Crash:
            self.kill(node)
            return True
        except StoreUnavailableError as error:
            self._fail(node, error)
            return True

    def _fail(self, node: SimNode, error: StoreUnavailableError) -> None:
        try:
            drive(node.fail(error))
        except Crash:
            self.kill(node)

    # --- what nodes tell ---

    def taken(self, *_: object) -> None:
        self.happened["taken"] += 1
        self.note(Booted)
        rows = self.store.jobs.values()
        self.note(Found, {key: value for row in rows for key, value in self._shape(row).items()})

    def given(self, shards: Collection[int]) -> None:
        self.happened["given"] += len(shards)

    def lost(self, *_: object) -> None:
        pass

    def turned(self, *_: object) -> None:
        pass

    def shard_failed(self, shard: int, error: Exception) -> None:
        self.broken.append(f"shard {shard} failed: {error!r}")

    def _answer(self) -> None:
        """Bring the replies to those who asked."""
        replies, self.tables.replies = self.tables.replies, []
        fuse, self.fuse = self.fuse, None
        for _, reply in replies:
            self.answered[reply.request_id] += 1
            if self.answered[reply.request_id] > 1:
                self.broken.append(f"I18: {reply} is one more answer to one request")
            self.reply(reply)
        self.fuse = fuse

    # --- workers ---

    def _beat(self) -> None:
        if not self.is_store_away:
            for name in WORKERS:
                if name not in self.away:
                    self.tables.heartbeats[self.lives[name]] = self.wall
        self._send()

    def _fetch(self) -> None:
        """The workers fetch what waits."""
        present = [name for name in WORKERS if name not in self.away]
        if self.is_store_away or not present:
            return
        for key, row in list(self.tables.hand_overs.items()):
            if row.state is not HandOverState.WAITING:
                continue
            row.since = self.wall
            if self.swallows is not None:
                row.state = self.swallows  # its fetcher has died, or its task has failed
                self.happened[f"swallowed {self.swallows}"] += 1
                continue
            row.state = HandOverState.DOING
            self._launch(key, row, self.cluster_dice.choice(present))

    def _launch(self, key: Attempt, row: HandOver, worker: str) -> None:
        run = self.store.runs[key[0]]
        if run.attempt != key[1] or run.state is not RunState.RUNNING:
            row.state = HandOverState.OVER
            return
        if run.job_id not in self.store.jobs:  # its job was removed meanwhile
            self.post_all([AttemptEnded(*key, Ending(EndKind.CANCELLED, self.wall))])
            return
        row.worker = self.lives[worker]
        self.worker_of[key] = worker
        self._decided_at = row.decided_at
        self._begin(row.start)

    def start(self, action: StartAttempt) -> None:
        raise AssertionError(f"{action} goes by way of a hand-over")

    def asked_to_stop(self, stop: StopAttempt) -> None:
        key = (stop.run_id, stop.attempt)
        row = self.tables.hand_overs.get(key)
        run = self.store.runs[stop.run_id]
        if row is not None and row.state is HandOverState.WAITING:
            row.state = HandOverState.OVER
            self.tables.insert(shard_of(run.job_name, SHARDS), cancelled(stop, self.wall))
        elif self.worker_of.get(key) in self.away:
            self.tables.stops.add(stop.run_id)
        else:
            self.processes.stop(*key, self.steady)

    def reap(self) -> list[Event]:
        """What the workers report that are in touch."""
        events: list[Event] = []
        for process in self.processes.over(self.steady):
            if self._worker(process) not in self.away:
                events += process.report(self._end(process, process.kind, process.ends_at))
        return events

    def _worker(self, process: Process) -> str:
        return self.worker_of[process.run_id, process.attempt]

    def _worker_fault(self) -> None:
        """A worker dies or is cut off, a fetcher dies, or the store hangs; the others go on meanwhile."""
        dice = self.cluster_dice
        what = dice.choice(
            ["dies", "is cut off", "is away for a moment", "fetcher", "task", "stall"]
        )
        self.happened[what] += 1
        worker, seconds = dice.choice(WORKERS), 50
        if what in {"dies", "is cut off", "is away for a moment"}:
            self.away.add(worker)
            seconds = 12 if what == "is away for a moment" else 50
        elif what == "stall":
            self._stall(dice.choice([5_000, 20_000, 40_000]))
        else:
            self.swallows = HandOverState.DOING if what == "fetcher" else HandOverState.OVER
            seconds = 3
            names = self.names()
            if names:
                self.requests += 1
                name, asked = dice.choice(names), f"req_{self.requests}"
                self.post_all([TriggerRequested(asked, name, Trigger.MANUAL)])
        if what == "dies":
            self.lives[worker] = f"{worker}-{self.life}"
            self.life += 1
            for process in list(self.processes.table.values()):
                if self._worker(process) == worker:
                    self._end(process, EndKind.LOST)
        self._watch(seconds)
        self.swallows = None
        self.away.clear()
        for run_id in sorted(self.tables.stops):
            process = self.processes.table.get(run_id)
            if process is not None:
                self.processes.stop(run_id, process.attempt, self.steady)
        self.tables.stops.clear()
        late, self.ghosts = self.ghosts, []
        self.post_all(late)
        self.settle()
        if what in {"fetcher", "task"}:
            self._watch(45)

    def _stall(self, ms: int) -> None:
        """Commits hang, and heartbeats with them; the nodes are answered first."""
        self.pass_time(ms)
        self.note(Slept, ms)
        for node in self.nodes:
            if node.is_up and node.session is not None:
                self._judge(node)

    def _watch(self, seconds: int) -> None:
        """Let time pass, with a pulse each second and a judgement each five."""
        for second in range(seconds):
            self.pass_time(1_000)
            self.post_all(self.reap())
            self.settle()
            if second % 5 == 4:
                for node in self.nodes:
                    if node.is_up and node.session is not None:
                        self._judge(node)
                self.settle()

    def _judge(self, node: SimNode) -> None:
        try:
            drive_until(node.pulse())
            drive_until(node.judge())
        except Crash:
            self.kill(node)
        except StoreUnavailableError as error:
            self._fail(node, error)

    def judged(self, report: AttemptStarted | AttemptEnded) -> None:
        """A node says that an attempt is lost."""
        assert isinstance(report, AttemptEnded)
        self.happened["judged"] += 1
        process = self.processes.table.get(report.run_id)
        if process is None or process.attempt != report.attempt:
            return
        if self._worker(process) not in self.away:
            self.broken.append(f"I19: {report} is judged lost, and its worker is alive")
        is_over = process.ends_at <= self.steady  # and its worker could not say so
        self._end(process, EndKind.LOST, process.ends_at if is_over else None)
        ending = Ending(EndKind.RETURNED, self.wall)
        self.ghosts.append(AttemptEnded(report.run_id, report.attempt, ending))

    # --- how much there is ---

    def take_sample(self) -> None:
        stray_alarms = stray_names = 0
        for node in self.nodes:
            for engine in node.engines:
                state = engine._state
                expected = sum(
                    each.pending is not None for each in state.timetable._groups.values()
                )
                expected += sum(
                    each.pause is not None and each.pause.until is not None
                    for each in state.entries.values()
                )
                expected += sum(run.state is RunState.RETRYING for run in state.runs.all())
                stray_alarms += abs(len(state.timetable._wheel) - expected)
                stray_names += len(state.names) - len(state.entries)
        self.note(Sampled, {"stray alarms": stray_alarms, "stray names": stray_names})


def drive_until(coroutine: object) -> object:
    """Run a coroutine that waits for nothing, and return what it returns."""
    try:
        coroutine.send(None)  # type: ignore[attr-defined]
    except StopIteration as end:
        return end.value
    raise AssertionError("a node waits for something that is not in this world")
