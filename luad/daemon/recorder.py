"""Writes records to the store, and shows the committed ones to the live memory.

Rule: the live memory never sees a record that is not durable.
"""

from __future__ import annotations

from collections.abc import Sequence

from luad.core.events import Record
from luad.live.event_ring import EventRing
from luad.live.log_followers import LogFollowers
from luad.live.recent_runs import RecentRuns
from luad.store import Store


class StoreRecorder:
    """Implements `luad.daemon.loop.Recorder` for a store and its live memory."""

    def __init__(
        self, store: Store, recent_runs: RecentRuns, followers: LogFollowers, ring: EventRing
    ) -> None:
        self._store = store
        self._recent_runs = recent_runs
        self._followers = followers
        self._ring = ring

    async def apply(self, records: Sequence[Record]) -> tuple[str, ...]:
        """Write *records* in one durable transaction; return the ids of refused claims."""
        refused = await self._store.apply(records)
        for run_id in self._recent_runs.observe(records, refused):
            self._followers.end_run(run_id)
        self._ring.observe(records, refused)
        return refused
