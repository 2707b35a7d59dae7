"""The contract between a node and its session with the store.

Rule: protocols and values only. A session is one connection of PostgreSQL: it holds the locks of the node's shards,
and every record of them is written on it. A session that is gone can write nothing.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from luad.cluster.engine_set import ShardRows
    from luad.cluster.inbox import InboxRow, Report
    from luad.cluster.reaping import RunningAttempt
    from luad.core.events import Deliver, Record, Reply, StartAttempt, StopAttempt
    from luad.core.model import Instant


@dataclass(frozen=True, slots=True)
class Pulse:
    """The answer to a pulse, which was committed.

    *wall*: the clock of the store. *free*: the shards without an owner. *willing*: the number of nodes that want
    shards. *inbox*: the shard of the oldest row of the inbox, and its age.
    """

    wall: Instant
    free: frozenset[int]
    willing: int
    inbox: tuple[int, int] | None = None


class Transaction(Protocol):
    """One transaction: all of it is committed, or nothing."""

    async def lock(self, shard: int) -> bool:
        """Take the lock of a shard for the session; False if another session holds it."""
        ...

    async def read_shard(self, shard: int) -> ShardRows:
        """Return what the engine of a shard is restored from."""
        ...

    async def take_rows(self, shards: Collection[int], most: int) -> Sequence[InboxRow]:
        """Delete the oldest rows of *shards* from the inbox, at most *most*, and return them in order."""
        ...

    async def known_keys(self, keys: Collection[str]) -> Collection[str]:
        """Return those of *keys*, idempotency keys, with which a request was granted before."""
        ...

    async def set_aside(self, rows: Sequence[tuple[InboxRow, str]]) -> None:
        """Keep rows that no engine can take, with their errors; no turn takes them again."""
        ...

    async def write(self, records: Sequence[Record], now: Instant) -> Sequence[str]:
        """Write *records*; return the ids of the refused claims and skips."""
        ...

    async def see(self, shards: Collection[int], now: Instant) -> None:
        """Note that the shards were decided for at *now*."""
        ...

    async def offer(self, starts: Sequence[StartAttempt]) -> None:
        """Hand attempts over to the workers."""
        ...

    async def stop(self, stops: Sequence[StopAttempt], now: Instant) -> None:
        """Ask the workers to stop attempts; report those that no worker has fetched as cancelled."""
        ...

    async def deliver(self, messages: Sequence[Deliver]) -> None:
        """Queue messages for delivery."""
        ...

    async def reply(self, replies: Sequence[tuple[str, Reply]]) -> None:
        """Store replies, each with the node that waits for it."""
        ...

    async def post(self, reports: Sequence[tuple[int, Report]]) -> None:
        """Add reports to the inbox, each with its shard."""
        ...

    async def offer_again(self, attempts: Collection[tuple[str, int]]) -> None:
        """Hand attempts over again that no worker has launched."""
        ...


class Session(Protocol):
    """One session with the store."""

    @property
    def is_open(self) -> bool:
        """True as long as no error has ended the session."""
        ...

    async def pulse(self, *, is_willing: bool) -> Pulse:
        """Commit a sign of life, and return what the node decides its moves by."""
        ...

    async def unlock(self, shard: int) -> None:
        """Give the lock of a shard back."""
        ...

    def begin(self, *, is_take: bool = False) -> AbstractAsyncContextManager[Transaction]:
        """Return a transaction, which is committed at the end of the block; one that takes a shard may last longer."""
        ...

    async def running_attempts(self, shards: Collection[int]) -> Sequence[RunningAttempt]:
        """Return the running attempts of *shards*, as one snapshot."""
        ...

    def survives(self, error: Exception) -> bool:
        """Return whether the connection was good when *error* came, so that what was worked on is to blame."""
        ...

    async def leave(self) -> None:
        """Delete the node's own row: it stops in order."""
        ...

    async def close(self) -> None:
        """End the session at once; its locks become free."""
        ...
