"""The engines of the shards that a node owns.

Rule: a shard is an `Engine`, unchanged. To take a shard is what a start is on one machine; to lose it is to drop
the engine. Nothing here writes.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from luad.core.clock_steps import STEP_MS
from luad.core.engine import Engine
from luad.core.events import ClaimsRefused, ConfigLoaded, Effect, Event, Restored, StoredJob
from luad.core.model import RunState
from luad.core.shards import SHARDS, shard_of

if TYPE_CHECKING:
    from luad.core.model import Instant, Job, Now, Run, Wanted
    from luad.core.state import Bounds, Entry

UNBOUNDED: Final = 2**31
"""The capacity of an engine in a cluster: queues and workers limit the runs at once."""

LOOK_MS: Final = 30_000
"""The longest time after which an engine reads the clock again: a longer gap would be a standstill."""


@dataclass(frozen=True, slots=True)
class ShardRows:
    """The rows that an engine is restored from.

    *jobs*: the installed jobs with their definitions; *before* has no jobs. *wanted*: the jobs of the files that
    belong to the shard.
    """

    jobs: Sequence[tuple[StoredJob, Job]]
    before: Restored
    wanted: Mapping[str, Wanted]
    pinned: Mapping[str, Job]


class EngineSet:
    """The engines of one node by shard."""

    def __init__(self, bounds: Bounds, count: int = SHARDS) -> None:
        self._bounds = replace(bounds, capacity=UNBOUNDED)
        self._engines: dict[int, Engine] = {}
        self._refused: dict[int, tuple[str, ...]] = {}
        self._handled_at: dict[int, Now] = {}
        self.count = count

    # --- owning ---

    @property
    def owned(self) -> Collection[int]:
        """The shards that the node owns."""
        return self._engines.keys()

    def take(self, shard: int, rows: ShardRows, now: Now) -> list[Effect]:
        """Restore the engine of *shard*, and return the effects of its first load."""
        engine = Engine(self._bounds, now)
        engine.restore(rows.jobs, rows.before, now, rows.pinned)
        effects = self._handle(engine, [ConfigLoaded(rows.wanted)], now)
        self._engines[shard] = engine
        self._handled_at[shard] = now
        return effects

    def drop(self, shard: int) -> None:
        """Forget the engine of *shard*, which the node has given or lost."""
        self._engines.pop(shard, None)
        self._refused.pop(shard, None)

    def drop_all(self) -> None:
        """Forget all engines: the session is gone, or a transaction has failed."""
        self._engines.clear()
        self._refused.clear()

    # --- deciding ---

    def handle(self, shard: int, events: Sequence[Event], now: Now) -> list[Effect]:
        """Return the effects of *events* and of the time *now* on a shard, until nothing is left that is due."""
        refused = self._refused.pop(shard, None)
        if refused:
            events = [ClaimsRefused(refused), *events]
        self._handled_at[shard] = now
        return self._handle(self._engines[shard], events, now)

    @staticmethod
    def _handle(engine: Engine, events: Sequence[Event], now: Now) -> list[Effect]:
        """Handle everything in one batch: an event that waited in memory would be lost with the engine."""
        effects = engine.handle(events, now)
        while engine.is_behind:
            effects += engine.handle((), now)
        return effects

    def note_refused(self, shard: int, row_ids: Iterable[str]) -> None:
        """Note claims that the store refused; the engine learns it in the next turn."""
        ids = tuple(row_ids)
        if ids:
            self._refused[shard] = self._refused.get(shard, ()) + ids

    def due(self, now: Now) -> list[int]:
        """Return the owned shards that must be turned at *now*.

        Those are also the shards whose engines have not read the clock for a while, or not since it was stepped.
        """
        return [shard for shard in self._engines if self._is_due(shard, now)]

    def _is_due(self, shard: int, now: Now) -> bool:
        before = self._handled_at[shard]
        passed_ms = now.elapsed - before.elapsed
        if passed_ms >= LOOK_MS or abs(now.wall - before.wall - passed_ms) >= STEP_MS:
            return True
        wake_up = self._engines[shard].next_wake_up()
        return shard in self._refused or (wake_up is not None and wake_up <= now.wall)

    def next_wake_up(self) -> Instant | None:
        """Return the instant by which a shard must be turned; None if nothing is due."""
        if self._refused:
            return 0
        wake_ups = (engine.next_wake_up() for engine in self._engines.values())
        return min((at for at in wake_ups if at is not None), default=None)

    # --- reading ---

    def __iter__(self) -> Iterator[Engine]:
        return iter(self._engines.values())

    def running(self, shard: int) -> list[Run]:
        """Return the runs of *shard* that are handed over and not over."""
        runs = self._engines[shard].runs.all()
        return [run for run in runs if run.state is RunState.RUNNING]

    def engine_of(self, job_name: str) -> Engine | None:
        """Return the engine that decides for the job of that name, if the node owns its shard."""
        return self._engines.get(shard_of(job_name, self.count))

    def find(self, job_name: str) -> Entry | None:
        """Return the installed job that holds that name, if the node owns its shard."""
        engine = self.engine_of(job_name)
        return None if engine is None else engine.find(job_name)
