"""Brings the events of a daemon to the shards of its node, and reports the results of its turns.

Rule: what this node decides is told after its commit. A change of files is for the shards that the node owns; every
other node reads the same files.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Mapping, Sequence, Sized
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from luad.cluster.declared import by_shard
from luad.core.events import (
    ConfigChanged,
    ConfigLoaded,
    DrainRequested,
    Event,
    ForgetCompleted,
    Log,
    Reply,
    Ticked,
)
from luad.core.plan import Plan, together
from luad.core.shards import SHARDS

if TYPE_CHECKING:
    from luad.cluster.declared import Declared
    from luad.cluster.mirror import Mirror
    from luad.cluster.mirroring import Mirroring
    from luad.cluster.node import Node
    from luad.cluster.node_loop import NodeLoop
    from luad.cluster.store_clock import StoreClock
    from luad.cluster.turns import Turned
    from luad.cluster.worker import Worker
    from luad.core.events import Record
    from luad.core.model import Wanted
    from luad.daemon.effects import DaemonEffects
    from luad.live.event_ring import EventRing
    from luad.live.log_followers import LogFollowers
    from luad.live.recent_runs import RecentRuns

_PART: Final = "#"
_OF_EACH_SHARD: Final = frozenset({"daemon.draining", "config.installed"})
"""Lines that the node writes once for all of its shards."""


@dataclass(slots=True)
class _Change:
    """A change of files that waits for the turns of *shards*."""

    shards: set[int]
    plans: list[Plan]


class Followers:
    """Those who follow what happens in this process."""

    def __init__(self, recent_runs: RecentRuns, ring: EventRing, followers: LogFollowers) -> None:
        self._recent_runs = recent_runs
        self._ring = ring
        self._followers = followers

    def decided(self, records: Sequence[Record], refused: Sequence[str]) -> None:
        """Tell, and count, what this node has decided."""
        self._end(self._recent_runs.observe(records, refused))
        self._ring.observe(records, refused)

    def seen(self, records: Sequence[Record]) -> None:
        """Tell what another node has decided; it is not counted here."""
        self._end(self._recent_runs.observe(records, is_counted=False))
        self._ring.observe(records)

    def _end(self, run_ids: Sequence[str]) -> None:
        for run_id in run_ids:
            self._followers.end_run(run_id)


class NodeObserver:
    """Implements `luad.cluster.node.Observer` for a daemon.

    *on_store* gets a fault, or None once it is over. *let_go* is called when shards are gone.
    """

    def __init__(
        self,
        followers: Followers,
        effects: DaemonEffects,
        answer: Callable[[Reply], None],
        on_store: Callable[[str | None], None],
        let_go: Callable[[], None],
    ) -> None:
        self._let_go = let_go
        self._followers = followers
        self._effects = effects
        self._reply = answer
        self._on_store = on_store
        self._changes: dict[str, _Change] = {}
        self._taken: list[int] = []
        self.takeovers = 0
        self._is_away = False

    def expect(self, request_id: str, shards: Collection[int]) -> None:
        """Answer *request_id* once all *shards* were turned, given or lost."""
        self._changes[request_id] = _Change(set(shards), [])
        self._settle(request_id, ())

    def taken(self, shard: int, turned: Turned) -> None:
        """The node owns *shard* from now on."""
        self._taken.append(shard)
        self.takeovers += 1
        self.turned(turned)

    def draining(self, running: Sized) -> None:
        """The node starts nothing more, and waits for *running*."""
        self._log("daemon.draining", running=len(running))

    def pulsed(self) -> None:
        """The node is in touch with the store, and has moved."""
        if self._is_away:
            self._is_away = False
            self._on_store(None)
        if self._taken:
            self._log("shard.taken", shards=sorted(self._taken))
            self._taken.clear()

    def given(self, shards: Collection[int]) -> None:
        """The node has given *shards*."""
        self._log("shard.given", shards=sorted(shards))
        self._forget(shards)

    def lost(self, shards: Collection[int], error: Exception) -> None:
        """The node has dropped *shards* and its session."""
        self._is_away = True
        self._on_store(getattr(error, "message", None) or f"{type(error).__name__}: {error}")
        self._log("shard.lost", "warning", shards=sorted(shards))
        self._taken.clear()
        self._forget(range(SHARDS))

    def shard_failed(self, shard: int, error: Exception) -> None:
        """The node leaves *shard* alone for a while."""
        self._forget((shard,))
        self._log("shard.failed", "error", shard=shard, error=f"{type(error).__name__}: {error}")

    def turned(self, turned: Turned) -> None:
        """A turn was committed."""
        self._followers.decided(turned.records, turned.refused)
        for line in turned.announced:
            if not isinstance(line, Log):
                self._effects.release_output(line)
            elif line.event not in _OF_EACH_SHARD:
                self._effects.log(line)
        for message in turned.delivers:
            self._effects.deliver(message)
        for row, error in turned.bad_rows:
            self._log("inbox.failed", "error", seq=row.seq, shard=row.shard, error=error)
        for reply in turned.replies:
            self._answer(reply)

    def _answer(self, reply: Reply) -> None:
        request_id, part, shard = reply.request_id.partition(_PART)
        change = self._changes.get(request_id)
        if not part or change is None:
            self._reply(reply)
            return
        if isinstance(reply.value, Plan):
            change.plans.append(reply.value)
        self._settle(request_id, (int(shard),))

    def _forget(self, shards: Collection[int]) -> None:
        """The next owners read the same files."""
        self._let_go()
        for request_id in tuple(self._changes):
            self._settle(request_id, shards)

    def _settle(self, request_id: str, shards: Collection[int]) -> None:
        change = self._changes[request_id]
        change.shards.difference_update(shards)
        if not change.shards:
            del self._changes[request_id]
            self._reply(Reply(request_id, together(change.plans)))

    def _log(self, event: str, level: str = "info", **fields: object) -> None:
        self._effects.log(Log(event, fields, level))  # type: ignore[arg-type] # levels are literals


class NodeLife:
    """Implements `luad.daemon.loop.Turns` for a node. *on_files* is called when the files were read for the first time."""

    def __init__(
        self,
        node: Node,
        loop: NodeLoop,
        mirror: Mirror,
        mirroring: Mirroring,
        observer: NodeObserver,
        declared: Declared,
        clock: StoreClock,
        *,
        on_files: Callable[[], None],
        on_turn: Callable[[], None],
        worker: Worker,
    ) -> None:
        self.node = node
        self._loop = loop
        self._mirror = mirror
        self._mirroring = mirroring
        self._observer = observer
        self._declared = declared
        self._clock = clock
        self._on_files = on_files
        self._on_turn = on_turn
        self._worker = worker
        self._is_draining = asyncio.Event()
        self._is_in_touch = asyncio.Event()
        self._is_stopped = asyncio.Event()

    @property
    def is_busy(self) -> bool:
        """Return False: events wait in the store."""
        return False

    def post(self, event: Event) -> None:
        """Bring *event* to the shards of this node that it concerns."""
        match event:
            case ConfigLoaded(wanted):
                self._declared.load(wanted)
                self._mirror.declared_anew(wanted)
                self._on_files()
                if event.request_id is not None:
                    self._observer.expect(event.request_id, ())
            case ConfigChanged(items):
                self._change(items, event.request_id)
            case ForgetCompleted():
                for shard in tuple(self.node.engines.owned):
                    self.node.post(shard, event)
                self._loop.poke()
            case Ticked():
                self._mirror.advance(self._clock.now().wall)
                self._on_turn()
            case DrainRequested():
                self._begin_to_drain(event)
            case _:
                raise AssertionError(f"{type(event).__name__} goes through the inbox")

    def _change(self, items: Mapping[str, Wanted | None], request_id: str | None) -> None:
        """Bring changes that are in force to the shards of this node."""
        parts = by_shard(items)
        own = [shard for shard in parts if shard in self.node.engines.owned]
        for shard in own:
            part_id = None if request_id is None else f"{request_id}{_PART}{shard}"
            self.node.post(shard, ConfigChanged(parts[shard], part_id))
        if request_id is not None:
            self._observer.expect(request_id, own)
        self._loop.poke()

    def declare(self, items: Mapping[str, Wanted | None]) -> bool:
        """Note changes of the files; return whether the shards may use them at once, as no job changes."""
        before = str(self._declared.digest)
        self._declared.change(items)
        self._mirror.declared_anew(items)
        if not before == str(self._declared.digest) == self._declared.used:
            return False
        self._declared.use()
        return True

    def use_declared(self, is_late: bool) -> None:
        """Let the shards use the files that were read: they are in force. *is_late*: nobody posts the changes."""
        for shard, items in self._declared.use().items():
            if is_late and shard in self.node.engines.owned:
                self.node.post(shard, ConfigChanged(items))
        self._loop.poke()

    def pulsed(self) -> None:
        """Note that the node is in touch with the store, and has moved."""
        self._observer.pulsed()
        self._is_in_touch.set()
        self._on_turn()

    async def until_in_touch(self) -> None:
        """Wait for the first pulse."""
        await self._is_in_touch.wait()

    def _begin_to_drain(self, event: DrainRequested) -> None:
        """Let the others have the shards; a node that is alone keeps them, to note how its runs end."""
        if not self._mirror.is_draining:
            self._mirror.drain()
            self._observer.draining(self._worker.running)
        if self.node.others and not event.is_impatient:
            self._loop.stop()
        for shard in tuple(self.node.engines.owned):
            self.node.post(shard, event)
        self._loop.poke()
        self._is_draining.set()
        if event.is_impatient:
            self._worker.hurry()

    async def run(self, is_over: Callable[[], bool]) -> None:
        """Live until a drain is over and all shards are given, or until `stop`."""
        del is_over
        living = asyncio.create_task(self._loop.run())
        draining = asyncio.create_task(self._drain())
        stopped = asyncio.create_task(self._is_stopped.wait())
        try:
            await asyncio.wait({living, stopped}, return_when=asyncio.FIRST_COMPLETED)
            if living.done():
                living.result()
                await asyncio.wait({draining, stopped}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in (living, draining, stopped):
                task.cancel()
            await asyncio.gather(living, draining, stopped, return_exceptions=True)

    async def _drain(self) -> None:
        await self._is_draining.wait()
        await self._worker.stop()
        self._loop.stop()

    def stop(self) -> None:
        """End `run` at once; PostgreSQL frees the locks."""
        self._is_stopped.set()
