"""A node's session on PostgreSQL.

Rule: one thread does all of its work, one call after the other; the event loop decides in between, while the
transaction is open. Whatever fails closes the session, and PostgreSQL frees its locks.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from functools import partial
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, Self, TypeVar

import psycopg

from luad.cluster import pg_rows
from luad.cluster.engine_set import ShardRows
from luad.cluster.session import Pulse
from luad.store import record_writes, shard_rows
from luad.store.postgresql.faults import SharedBackendError
from luad.store.postgresql.opening import NAME_WAIT_MS, take_name
from luad.store.postgresql.session import IDLE_S, LockKind

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from luad.cluster.hand_over import HandOver
    from luad.cluster.inbox import InboxRow, Report
    from luad.cluster.reaping import RunningAttempt
    from luad.core.events import Deliver, Record, Reply, StartAttempt, StopAttempt, StoredJob
    from luad.core.model import Instant, Job, Wanted
    from luad.store.postgresql.session import Session as Locks

T = TypeVar("T")

_TAKE_IDLE_S: Final = 60
"""The first load of a large shard takes the engine a while, within the transaction."""

_OF_STATEMENTS: Final = (
    psycopg.DataError,
    psycopg.IntegrityError,
    psycopg.ProgrammingError,
    psycopg.NotSupportedError,
)
"""What the server refuses because of the statement itself; the errors of a connection are others."""


@dataclass(frozen=True, slots=True)
class NodeParts:
    """What a session needs from its node.

    *wanted*: the jobs of the files by shard. *decode*: the stored jobs with their definitions. *used_digest*: of the
    files that *wanted* returns; None to take shards whatever is in force.
    """

    identity: pg_rows.Identity
    hand_over: HandOver
    wanted: Callable[[int], Mapping[str, Wanted]]
    decode: Callable[[Sequence[StoredJob]], Sequence[tuple[StoredJob, Job]]]
    decode_pinned: Callable[[str, str], Job]
    lock_space: int
    name_wait_ms: int = NAME_WAIT_MS
    used_digest: Callable[[], str | None] = lambda: None


class PgSession:
    """Implements `luad.cluster.session.Session`. *locks* is not open yet."""

    def __init__(self, locks: Locks, parts: NodeParts) -> None:
        self.locks = locks
        self.parts = parts
        self._thread = ThreadPoolExecutor(1, "luad-session")
        self._is_willing = False

    async def open(self) -> Self:
        """Connect, and take the lock of the node's name. Raises LuadError."""
        try:
            await self.work(self._open)
        except BaseException:
            await self.close()
            raise
        return self

    def _open(self) -> None:
        self.locks.open()
        take_name(self.locks, self.parts.identity.name, self.parts.name_wait_ms)

    async def work(self, call: Callable[[], T]) -> T:
        """Do *call* in the thread of the session, and return its result."""
        return await asyncio.get_running_loop().run_in_executor(self._thread, call)

    # --- the contract ---

    @property
    def is_open(self) -> bool:
        """True as long as no error has ended the session."""
        return self.locks.is_open

    async def pulse(self, *, is_willing: bool) -> Pulse:
        """Commit a sign of life, and return what the node decides its moves by."""
        return await self.work(partial(self._pulse, is_willing))

    def _pulse(self, is_willing: bool) -> Pulse:
        if is_willing is not self._is_willing:
            change = self.locks.try_lock if is_willing else self.locks.unlock
            change(LockKind.WILLING, self.parts.identity.name)
            self._is_willing = is_willing
        words = pg_rows.pulse_words(self.parts.identity, self.parts.lock_space)
        row = self.locks.ask(pg_rows.PULSE, words)
        if row is None or row[-1] != self.locks.marker:
            self.locks.close()
            raise SharedBackendError(
                "a pooler has given the connection of this node to another client"
            )
        return pg_rows.read_pulse(row)

    async def unlock(self, shard: int) -> None:
        """Give the lock of a shard back."""
        await self.work(partial(self.locks.unlock, LockKind.SHARD, shard))

    def begin(self, *, is_take: bool = False) -> PgTransaction:
        """Return a transaction; one that takes a shard may last longer."""
        idle_s = _TAKE_IDLE_S if is_take else IDLE_S
        return PgTransaction(self, self.locks, self.locks.transaction(idle_s=idle_s))

    async def running_attempts(self, shards: Collection[int]) -> Sequence[RunningAttempt]:
        """Return the running attempts of *shards*, as one snapshot."""
        return await self.work(partial(self._running, frozenset(shards)))

    def _running(self, shards: Collection[int]) -> list[RunningAttempt]:
        with self.locks.transaction() as connection:
            return self.parts.hand_over.running(connection, shards)

    def survives(self, error: Exception) -> bool:
        """Return whether the connection was good when *error* came: the server refused a statement, or luad failed."""
        cause: BaseException | None = error
        while cause is not None:
            if isinstance(cause, psycopg.Error):
                return isinstance(cause, _OF_STATEMENTS)
            cause = cause.__cause__
        return self.locks.is_open

    async def leave(self) -> None:
        """Delete the node's row: it stops in order."""
        await self.work(self._leave)

    def _leave(self) -> None:
        with self.locks.transaction() as connection:
            pg_rows.leave(connection, self.parts.identity.name)

    async def close(self) -> None:
        """End the session at once; its locks become free."""
        await self.work(self.locks.close)
        self._thread.shutdown(wait=False)


class PgTransaction:
    """Implements `luad.cluster.session.Transaction`."""

    def __init__(
        self, session: PgSession, locks: Locks, scope: AbstractContextManager[Connection]
    ) -> None:
        self._session = session
        self._parts = session.parts
        self._locks = locks
        self._scope = scope
        self._connection: Connection | None = None
        self._is_changed = False

    async def __aenter__(self) -> Self:
        self._connection = await self._session.work(self._scope.__enter__)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._session.work(partial(self._scope.__exit__, kind, error, trace))

    async def _do(self, call: Callable[..., T], *arguments: Any) -> T:
        assert self._connection is not None, "the transaction has begun"
        return await self._session.work(partial(call, self._connection, *arguments))

    async def lock(self, shard: int) -> bool:
        """Take the lock of a shard for the session.

        False if another session holds it, or if the files of the node are not those in force any more.
        """
        return await self._session.work(partial(self._lock, shard))

    def _lock(self, shard: int) -> bool:
        """Look at the files after the lock: who gave the shard may have put newer ones in force before."""
        if not self._locks.try_lock(LockKind.SHARD, shard):
            return False
        digest = self._parts.used_digest()
        in_force = (
            None
            if digest is None
            else self._locks.ask(pg_rows.IN_FORCE, (self._parts.identity.site,))
        )
        if in_force is None or in_force[0] == digest:
            return True
        self._locks.unlock(LockKind.SHARD, shard)
        return False

    async def read_shard(self, shard: int) -> ShardRows:
        """Return what the engine of a shard is restored from."""
        rows = await self._do(self._read_shard, shard)
        # Read on the event loop, just before the engine is: a change of files reaches one of them.
        return replace(rows, wanted=self._parts.wanted(shard))

    def _read_shard(self, connection: Connection, shard: int) -> ShardRows:
        found = shard_rows.restored_shard(connection, shard)
        pinned = {
            run_id: self._parts.decode_pinned(definition, revision)
            for run_id, revision, definition in found.pinned
        }
        jobs = self._parts.decode(found.jobs)
        return ShardRows(jobs, replace(found, jobs=(), pinned=()), {}, pinned)

    async def take_rows(self, shards: Collection[int], most: int) -> Sequence[InboxRow]:
        """Delete the oldest rows of *shards* from the inbox, at most *most*, and return them in order."""
        return await self._do(pg_rows.take_rows, tuple(shards), most)

    async def known_keys(self, keys: Collection[str]) -> Collection[str]:
        """Return those of *keys*, idempotency keys, with which a request was granted before."""
        return await self._do(pg_rows.known_keys, tuple(keys))

    async def set_aside(self, rows: Sequence[tuple[InboxRow, str]]) -> None:
        """Keep rows that no engine can take, with their errors; no turn takes them again."""
        await self._do(pg_rows.set_aside, rows)

    async def write(self, records: Sequence[Record], now: Instant) -> Sequence[str]:
        """Write *records*; return the ids of the refused claims and skips."""
        self._is_changed = True
        return await self._do(record_writes.write, records, now)

    async def see(self, shards: Collection[int], now: Instant) -> None:
        """Note that the shards were decided for at *now*."""
        if shards:
            name, is_changed = self._parts.identity.name, self._is_changed
            see = partial(pg_rows.see, is_changed=is_changed)
            await self._do(see, tuple(shards), name, now)

    async def offer(self, starts: Sequence[StartAttempt]) -> None:
        """Hand attempts over to the workers."""
        await self._do(self._parts.hand_over.offer, starts)

    async def offer_again(self, attempts: Collection[tuple[str, int]]) -> None:
        """Hand attempts over again that no worker has launched."""
        await self._do(self._parts.hand_over.offer_again, attempts)

    async def stop(self, stops: Sequence[StopAttempt], now: Instant) -> None:
        """Ask the workers to stop attempts; report those that no worker has fetched as cancelled."""
        await self._do(self._parts.hand_over.stop, stops, now)

    async def deliver(self, messages: Sequence[Deliver]) -> None:
        """Leave messages in the store, from where a node sends them."""

    async def reply(self, replies: Sequence[tuple[str, Reply]]) -> None:
        """Store replies, each with the node that waits for it."""
        await self._do(pg_rows.insert_replies, replies)

    async def post(self, reports: Sequence[tuple[int, Report]]) -> None:
        """Add reports to the inbox, each with its shard."""
        await self._do(pg_rows.insert_reports, reports)
