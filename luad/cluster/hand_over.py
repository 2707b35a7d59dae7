"""The contract between an owner and the engine of execution.

Rule: every method works in the transaction that claims, on its connection; nothing is handed over by other means.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from luad.cluster.reaping import RunningAttempt
    from luad.core.events import StartAttempt, StopAttempt
    from luad.core.model import Instant


class HandOver(Protocol):
    """Hands attempts over to workers. Every method may block, and runs in the thread of the session."""

    def offer(self, connection: Connection, starts: Sequence[StartAttempt]) -> None:
        """Hand attempts over."""
        ...

    def offer_again(self, connection: Connection, attempts: Collection[tuple[str, int]]) -> None:
        """Hand attempts over again that a fetcher took and no worker has launched."""
        ...

    def stop(self, connection: Connection, stops: Sequence[StopAttempt], now: Instant) -> None:
        """Ask workers to stop attempts; report those that no worker has fetched as cancelled."""
        ...

    def running(self, connection: Connection, shards: Collection[int]) -> list[RunningAttempt]:
        """Return the running attempts of *shards*, as one snapshot."""
        ...
