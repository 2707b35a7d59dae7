"""Watches for runs that no worker can take: those in queues that no worker of the store serves.

Rule: it reads and tells; such a run starts as soon as a worker serves its queue.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Final

from sqlalchemy import text

from luad.core.concurrency import UnservedRuns
from luad.core.events import Log
from luad.errors import StoreUnavailableError

if TYPE_CHECKING:
    from collections.abc import Callable

    from sqlalchemy import Connection

    from luad.store.transactions import Transactions

_LOOK_S: Final = 5.0
_MOST: Final = 10_000
_UNSERVED: Final = text("""
    WITH served AS (
        SELECT DISTINCT queue FROM workers, jsonb_array_elements_text(CAST(queues_json AS jsonb)) AS queue
        WHERE seen_at > (extract(epoch FROM clock_timestamp()) * 1000)::bigint - :lost_after
    )
    SELECT runs.id, runs.queue FROM runs LEFT JOIN attempts
      ON attempts.run_id = runs.id AND attempts.attempt = runs.attempt
    WHERE runs.state = 'running' AND runs.queue IS NOT NULL AND attempts.worker IS NULL
      AND runs.queue NOT IN (SELECT queue FROM served)
    ORDER BY runs.id LIMIT :most
""")


class QueueWatch:
    """Finds, every few seconds, the runs that no worker takes. *log* gets a line for each of their queues."""

    def __init__(self, store: Transactions, lost_after_ms: int, log: Callable[[Log], None]) -> None:
        self._store = store
        self._lost_after_ms = lost_after_ms
        self._log = log
        self.unserved = UnservedRuns()
        """Those of the last look."""

    async def run(self) -> None:
        """Look until cancelled."""
        while True:
            with suppress(StoreUnavailableError):  # the node says so
                self._note(await self._store.read(partial(_read, self._lost_after_ms)))
            await asyncio.sleep(_LOOK_S)

    def _note(self, found: UnservedRuns) -> None:
        before, self.unserved = self.unserved, found
        for queue in sorted(found.counts.keys() - before.counts.keys()):
            fields = {"queue": queue, "runs": found.counts[queue]}
            self._log(Log("queue.unserved", fields, "warning"))
        for queue in sorted(before.counts.keys() - found.counts.keys()):
            self._log(Log("queue.served", {"queue": queue}))


def _read(lost_after_ms: int, connection: Connection) -> UnservedRuns:
    found = UnservedRuns()
    words = {"lost_after": lost_after_ms, "most": _MOST}
    for row in connection.execute(_UNSERVED, words):
        found.add(row.id, row.queue)
    return found
