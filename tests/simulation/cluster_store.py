"""The store of a simulated cluster: tables and locks that sessions of several nodes share.

A transaction is all or nothing; it may be cut before its commit or after it, and a session that is gone can
write nothing. What PostgreSQL does in a real cluster is done here by hand; the nodes are the real ones.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import TYPE_CHECKING, Self

from simulation.storage import Storage

from luad.cluster.engine_set import ShardRows
from luad.cluster.inbox import InboxKind, InboxRow, Report, body_of
from luad.cluster.reaping import HandOverState, RunningAttempt
from luad.cluster.session import Pulse
from luad.core.events import (
    AttemptEnded,
    Deliver,
    Record,
    Reply,
    Restored,
    StartAttempt,
    StopAttempt,
)
from luad.core.model import Ending, EndKind, Instant, RunState
from luad.core.shards import shard_of
from luad.errors import StoreUnavailableError

if TYPE_CHECKING:
    from simulation.cluster_world import ClusterWorld

    from luad.core.requests import Request

Attempt = tuple[str, int]
SHARDS = 4
"""So few that each has jobs."""


@dataclass
class HandOver:
    """A row of the engine of execution. *worker*: who has launched it."""

    start: StartAttempt
    decided_at: int
    state: HandOverState = HandOverState.WAITING
    since: Instant = 0
    worker: str | None = None


@dataclass
class Tables:
    """What the nodes share besides jobs and runs."""

    inbox: dict[int, InboxRow] = field(default_factory=dict)
    bad: dict[int, str] = field(default_factory=dict)
    hand_overs: dict[Attempt, HandOver] = field(default_factory=dict)
    stops: set[str] = field(default_factory=set)
    locks: dict[int, MemorySession] = field(default_factory=dict)
    willing: set[MemorySession] = field(default_factory=set)
    seen: dict[int, Instant] = field(default_factory=dict)
    replies: list[tuple[str, Reply]] = field(default_factory=list)
    heartbeats: dict[str, Instant] = field(default_factory=dict)
    count: int = 0

    def insert(self, shard: int, event: Request | Report, asker: str | None = None) -> None:
        """Add a row to the inbox."""
        self.count += 1
        request_id = getattr(event, "request_id", None)
        kind = InboxKind.REPORT if request_id is None else InboxKind.REQUEST
        self.inbox[self.count] = InboxRow(
            self.count, shard, kind, body_of(event), request_id, asker
        )


class MemorySession:
    """One node's connection; its locks are free as soon as it is gone."""

    def __init__(self, world: ClusterWorld, name: str) -> None:
        self.world, self.name = world, name
        self._is_open = True

    @property
    def is_open(self) -> bool:
        return self._is_open and not self.world.is_store_away

    def check(self) -> None:
        if not self._is_open:
            raise StoreUnavailableError("the session is gone")
        self.world.check_store()

    async def pulse(self, *, is_willing: bool) -> Pulse:
        self.world.burn()
        self.check()
        tables = self.world.tables
        (tables.willing.add if is_willing else tables.willing.discard)(self)
        free = frozenset(range(SHARDS)) - tables.locks.keys()
        return Pulse(self.world.wall, free, len(tables.willing))

    async def unlock(self, shard: int) -> None:
        self.check()
        if self.world.tables.locks.get(shard) is self:
            del self.world.tables.locks[shard]

    def begin(self, *, is_take: bool = False) -> MemoryTransaction:
        del is_take  # time is virtual
        return MemoryTransaction(self)

    async def running_attempts(self, shards: Collection[int]) -> list[RunningAttempt]:
        self.check()
        return [
            each
            for run in self.world.store.open_runs()
            if run.state is RunState.RUNNING and shard_of(run.job_name, SHARDS) in shards
            for each in [self._running((run.id, run.attempt))]
        ]

    def _running(self, key: Attempt) -> RunningAttempt:
        tables = self.world.tables
        row = tables.hand_overs.get(key)
        has_report = any(
            f'"run_id":"{key[0]}"' in each.body_json and '"AttemptEnded"' in each.body_json
            for each in tables.inbox.values()
        )
        if row is None:
            return RunningAttempt(*key, None, None, HandOverState.OVER, None, has_report)
        seen_at = tables.heartbeats.get(row.worker or "")
        return RunningAttempt(*key, row.worker, seen_at, row.state, row.since, has_report)

    def survives(self, error: Exception) -> bool:
        return not isinstance(error, StoreUnavailableError)

    async def leave(self) -> None:
        self.check()

    async def close(self) -> None:
        self.end()

    def end(self) -> None:
        """The connection is gone; PostgreSQL frees what it held."""
        self._is_open = False
        tables = self.world.tables
        tables.willing.discard(self)
        tables.locks = {shard: each for shard, each in tables.locks.items() if each is not self}


class MemoryTransaction:
    """Collects what is to be done, and does it at the commit."""

    def __init__(self, session: MemorySession) -> None:
        self.session, self.world = session, session.world
        self.tables = session.world.tables
        self.rows: list[InboxRow] = []
        self.bad: list[tuple[InboxRow, str]] = []
        self.records: Sequence[Record] | None = None
        self.refused: tuple[str, ...] = ()
        self.shards: set[int] = set()
        self.starts: list[StartAttempt] = []
        self.stops: list[StopAttempt] = []
        self.replies: list[tuple[str, Reply]] = []
        self.reports: list[tuple[int, Report]] = []
        self.again: list[Attempt] = []
        self.now: Instant = 0

    async def __aenter__(self) -> Self:
        self.world.burn()
        self.session.check()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, _: BaseException | None, __: TracebackType | None
    ) -> None:
        try:
            is_cut = None if kind is not None else self._prepare()
        except BaseException:
            self._rollback()
            raise
        if kind is not None:
            self._rollback()
            return
        self._commit(self.world.storage)
        if is_cut == "after":
            self.session.end()
            raise StoreUnavailableError("the answer of the commit was lost")
        self.world.burn()

    def _prepare(self) -> str | None:
        """Say whether the answer of the commit is lost; fail where the commit does not arrive."""
        self.world.burn()
        self.session.check()
        is_cut = self.world.is_cut()
        if is_cut == "before":
            self.session.end()
            self.session.check()
        return is_cut

    def _rollback(self) -> None:
        if self.records is not None:
            self.world.storage.rollback()

    def _commit(self, storage: Storage) -> None:
        world, tables = self.world, self.tables
        for shard in self.shards:
            tables.seen[shard] = self.now
            if tables.locks.get(shard) is not self.session:
                world.broken.append(
                    f"I17: {self.session.name} wrote shard {shard}, and does not own it"
                )
        if self.records is not None:
            world.writes(self.records)
            storage.commit(self.records, self.refused, self.now)
            world.wrote(self.records)
        for row in self.rows:
            tables.inbox.pop(row.seq, None)
        tables.bad |= {row.seq: error for row, error in self.bad}
        for start in self.starts:
            key = (start.run.id, start.run.attempt)
            if key in tables.hand_overs:
                world.broken.append(f"I3: {key} was handed over twice")
            tables.stops.discard(start.run.id)
            tables.hand_overs[key] = HandOver(start, world.steady, since=world.wall)
        for key in self.again:
            tables.hand_overs[key].state = HandOverState.WAITING
        for stop in self.stops:
            world.asked_to_stop(stop)
        for shard, report in self.reports:
            tables.insert(shard, report)
            world.judged(report)
        tables.replies += self.replies

    # --- what a node calls ---

    async def lock(self, shard: int) -> bool:
        owner = self.tables.locks.setdefault(shard, self.session)
        return owner is self.session

    async def read_shard(self, shard: int) -> ShardRows:
        world = self.world
        found = world.storage.restored()
        jobs = [
            (row, world.store.definitions[row.revision])
            for row in found.jobs
            if shard_of(row.name, SHARDS) == shard
        ]
        runs = tuple(run for run in found.open_runs if shard_of(run.job_name, SHARDS) == shard)
        wanted = {
            name: each for name, each in world.wanted.items() if shard_of(name, SHARDS) == shard
        }
        return ShardRows(jobs, Restored((), runs, self.tables.seen.get(shard)), wanted, {})

    async def take_rows(self, shards: Collection[int], most: int) -> list[InboxRow]:
        rows = [row for row in self.tables.inbox.values() if row.shard in shards]
        self.rows = rows[:most]
        return self.rows

    async def known_keys(self, keys: Collection[str]) -> set[str]:
        known = {each.key for each in self.world.store.keys}
        return known & {*keys}

    async def set_aside(self, rows: Sequence[tuple[InboxRow, str]]) -> None:
        self.bad += rows
        self.rows = [*self.rows, *(row for row, _ in rows)]

    async def write(self, records: Sequence[Record], now: Instant) -> tuple[str, ...]:
        self.records, self.now = records, now
        self.world.storage.begin()
        self.refused = self.world.storage.write_within(records, now)
        return self.refused

    async def see(self, shards: Collection[int], now: Instant) -> None:
        self.shards |= {*shards}
        self.now = now

    async def offer(self, starts: Sequence[StartAttempt]) -> None:
        self.starts += starts

    async def stop(self, stops: Sequence[StopAttempt], now: Instant) -> None:
        self.now = now
        self.stops += stops

    async def deliver(self, messages: Sequence[Deliver]) -> None:
        for each in messages:
            self.world.deliver(each)

    async def reply(self, replies: Sequence[tuple[str, Reply]]) -> None:
        self.replies += replies

    async def post(self, reports: Sequence[tuple[int, Report]]) -> None:
        self.reports += reports

    async def offer_again(self, attempts: Collection[Attempt]) -> None:
        self.again += attempts


def cancelled(stop: StopAttempt, at: Instant) -> AttemptEnded:
    """The end of an attempt that nobody had fetched."""
    return AttemptEnded(stop.run_id, stop.attempt, Ending(EndKind.CANCELLED, at))
