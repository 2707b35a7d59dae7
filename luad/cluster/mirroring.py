"""Keeps the mirror of a node current: reads the changed shards, and reports the changes.

Rule: each shard is read as one snapshot. The time between two readings grows with what a reading costs.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Final

from sqlalchemy import select, text

from luad.core.events import ClaimRun, InstallJob, RemoveJob, SaveRun
from luad.errors import StoreUnavailableError
from luad.store.columns import read_run
from luad.store.shard_rows import restored_shard
from luad.store.tables import runs

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence

    from sqlalchemy import Connection

    from luad.clock import Clock
    from luad.cluster.mirror import Changes, Mirror
    from luad.core.events import Record, Restored
    from luad.core.model import Instant, Run
    from luad.store.transactions import Transactions

_LEAST_PAUSE_S: Final = 0.05
_SHARE: Final = 10
"""Between two readings, the node does other work for so many times as long as a reading takes."""

_LOOK_S: Final = 30.0
_RETRY_S: Final = 1.0
_MARKS: Final = text("SELECT shard, CAST(xmin AS text) FROM shards")


@dataclass(frozen=True, slots=True)
class _Found:
    """The result of a reading. *marks*: by shard, a text that changes with each of its turns."""

    marks: Mapping[int, str]
    rows: Mapping[int, Restored]
    ended: Mapping[str, Run]


class Mirroring:
    """Reads for *mirror*. *tell* gets the shard of what has changed and its changes as records."""

    def __init__(
        self,
        store: Transactions,
        mirror: Mirror,
        clock: Clock,
        tell: Callable[[int, Sequence[Record]], None],
    ) -> None:
        self._store = store
        self._mirror = mirror
        self._clock = clock
        self._tell = tell
        self._marks: dict[int, str] = {}
        self._reading = asyncio.Lock()
        self._wanted = asyncio.Event()

    def request(self) -> None:
        """Read soon: something has changed."""
        self._wanted.set()

    async def run(self) -> None:
        """Read what was requested until cancelled; now and then also without a request."""
        while True:
            try:
                async with asyncio.timeout(_LOOK_S):
                    await self._wanted.wait()
            except TimeoutError:
                pass
            self._wanted.clear()
            began = self._clock.now().elapsed
            try:
                await self.refresh()
            except StoreUnavailableError:
                await asyncio.sleep(_RETRY_S)
                self._wanted.set()
                continue
            took_s = (self._clock.now().elapsed - began) / 1_000
            await asyncio.sleep(max(_LEAST_PAUSE_S, _SHARE * took_s))

    async def refresh(self) -> None:
        """Show what was committed before this call. Raises StoreUnavailableError."""
        async with self._reading:
            is_first = not self._marks
            found = await self._store.read(partial(self._read, dict(self._marks)))
            now = self._clock.now().wall
            for shard, rows in found.rows.items():
                changes = self._mirror.show(shard, rows, now)
                if not is_first:
                    self._tell(shard, _records(changes, found.ended, now))
            self._marks.update(found.marks)

    def _read(self, known: Mapping[int, str], connection: Connection) -> _Found:
        """Read the shards whose marks are not *known*, in a thread; the mirror stays the same meanwhile."""
        marks: dict[int, str] = {row[0]: row[1] for row in connection.execute(_MARKS)}
        changed = [shard for shard, mark in marks.items() if known.get(shard) != mark]
        rows = {shard: restored_shard(connection, shard) for shard in changed}
        ended = [
            run_id
            for shard, each in rows.items()
            for run_id in set(self._mirror.open_of(shard)).difference(
                run.id for run in each.open_runs
            )
        ]
        return _Found(marks, rows, _runs(connection, ended))


def _runs(connection: Connection, ids: Collection[str]) -> dict[str, Run]:
    if not ids:
        return {}
    found = connection.execute(select(runs).where(runs.c.id.in_(ids)))
    return {row.id: read_run(row).run for row in found}


def _records(changes: Changes, ended: Mapping[str, Run], now: Instant) -> list[Record]:
    """Return the records that *changes* may have come from, for those who follow what happens."""
    return [
        *(RemoveJob(each.job_id, each.job.name, now) for each in changes.removed),
        *(
            InstallJob(
                each.job_id, each.job, each.wanted.origin, each.installed_at, each.wanted.creation
            )
            for each in changes.installed
        ),
        *map(ClaimRun, changes.claimed),
        *map(SaveRun, changes.changed),
        *(SaveRun(ended[each]) for each in changes.ended if each in ended),
    ]
