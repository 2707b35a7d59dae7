"""A node: owns shards on one session, turns them, and judges silent workers.

Rule: each method is one step of the node on its session. After any error the node forgets every engine and its session,
and reads again what it owns then; so nothing that matters is only in memory.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Final, Protocol

from luad.cluster.isolation import Isolation
from luad.cluster.reaping import Contact, Reaper, Verdict
from luad.cluster.shares import FreeShards, decide
from luad.cluster.turns import MOST_ROWS, Turned, Turner
from luad.core.events import AttemptEnded
from luad.core.model import Ending, EndKind, RunError

if TYPE_CHECKING:
    from luad.cluster.engine_set import EngineSet
    from luad.cluster.inbox import InboxRow
    from luad.cluster.isolation import Cut
    from luad.cluster.session import Pulse, Session
    from luad.cluster.store_clock import StoreClock
    from luad.core.events import Event

_TAKES: Final = 2
"""After so many failures in a row, a shard that cannot be read is given up for a while."""

_LOST: Final = RunError(
    "Lost", "the worker that executed this has not been heard of; its end is unknown"
)


class Observer(Protocol):
    """Learns what a node has done; no method may block or raise."""

    def taken(self, shard: int, turned: Turned) -> None:
        """The node owns *shard* from now on."""
        ...

    def given(self, shards: Collection[int]) -> None:
        """The node has given *shards*."""
        ...

    def lost(self, shards: Collection[int], error: Exception) -> None:
        """The node owned *shards*, and has dropped them and its session."""
        ...

    def turned(self, turned: Turned) -> None:
        """A turn was committed."""
        ...

    def shard_failed(self, shard: int, error: Exception) -> None:
        """The node leaves *shard* alone for a while."""
        ...


@dataclass(frozen=True, slots=True)
class NodeSettings:
    """The name of a node, unique in the store, and the time after which a silent worker's attempts are lost."""

    name: str
    lost_after_ms: int = 30_000


class Node:
    """One node; the caller connects it, and calls its steps one after the other."""

    def __init__(
        self, settings: NodeSettings, engines: EngineSet, clock: StoreClock, observer: Observer
    ) -> None:
        self.name = settings.name
        self.engines = engines
        self.is_willing = True
        self.others = 0
        """How many other nodes want shards, by the latest pulse."""
        self.contact = Contact()
        self.session: Session | None = None
        self.latest: Pulse | None = None  # until the moves that follow it
        self.latest_pulse: Pulse | None = None
        self._clock = clock
        self._observer = observer
        self._turner = Turner(engines)
        self._isolation = Isolation()
        self._free = FreeShards()
        self._reaper = Reaper(settings.lost_after_ms)
        self._take_failures: Counter[int] = Counter()
        self._taking: int | None = None
        self._turning: tuple[Cut, tuple[InboxRow, ...]] | None = None
        self._bad_row: tuple[InboxRow, str] | None = None
        self._posted: dict[int, list[Event]] = {}

    @property
    def is_settled(self) -> bool:
        """True if no free shard waits for this node: it has what it can take, or it wants none."""
        if not self.is_willing:
            return True
        pulse, given_up = self.latest_pulse, self._given_up()
        return pulse is not None and not pulse.free - given_up - set(self.engines.owned)

    def _given_up(self) -> frozenset[int]:
        return self._isolation.given_up(self._clock.machine_now().elapsed)

    def failed_count(self) -> int:
        """Return the number of shards that the node leaves alone for a while."""
        return len(self._given_up())

    def post(self, shard: int, event: Event) -> None:
        """Hand *event* to the engine of *shard* with the next turn, if the node owns it.

        For what the next owner reads from the store as well: changed declarations, and the pass of time.
        """
        self._posted.setdefault(shard, []).append(event)

    def connect(self, session: Session) -> None:
        """Begin to work on *session*, which holds the lock of the node's name."""
        self.session = session

    @property
    def _open(self) -> Session:
        assert self.session is not None, "a step needs a session"
        return self.session

    # --- steps ---

    async def pulse(self) -> Pulse:
        """Commit a sign of life, and note what it returned."""
        sent = self._clock.machine_now()
        pulse = await self._open.pulse(is_willing=self.is_willing)
        arrived = self._clock.machine_now()
        self._clock.note(pulse.wall, sent, arrived)
        self.contact.note(arrived.elapsed)
        self._free.note(pulse.free, arrived.elapsed)
        self.latest = self.latest_pulse = pulse
        self.others = pulse.willing - self.is_willing
        return pulse

    async def move(self) -> bool:
        """Give what is too much, or take one free shard; return whether a pulse and a further move should follow."""
        if self.latest is None:
            return False
        elapsed = self._clock.machine_now().elapsed
        free = self.latest.free - self._given_up() - set(self.engines.owned)
        overdue = [shard for shard in free if self._free.is_overdue(shard, elapsed)]
        moves = decide(
            self.name,
            self.engines.owned,
            free,
            self.latest.willing,
            overdue,
            is_willing=self.is_willing,
            count=self.engines.count,
        )
        self.latest = None
        if moves.give:
            await self.give(moves.give)
            return False
        for shard in moves.take:
            if await self._take(shard):
                return True
        return False

    async def _take(self, shard: int) -> bool:
        self._taking = shard
        try:
            turned = await self._turner.take(self._open, shard, self._clock.now())
        except Exception as error:
            self.engines.drop(shard)
            if not self._open.is_open:
                raise
            await self._give_up(shard, error)
            return False
        self._taking = None
        self._take_failures.pop(shard, None)
        if turned is None:
            return False
        self._observer.taken(shard, turned)
        return True

    async def _give_up(self, shard: int, error: Exception) -> None:
        """Leave a shard alone whose rows no engine can be made from; nothing of it was written."""
        self._taking = None
        self._posted.pop(shard, None)
        await self._open.unlock(shard)
        self._isolation.give_up(shard, self._clock.machine_now().elapsed)
        self._observer.shard_failed(shard, error)

    async def give(self, shards: Collection[int]) -> None:
        """Turn once more, and give *shards* back."""
        await self.turn()
        for shard in shards:
            self.engines.drop(shard)
            self._posted.pop(shard, None)
            await self._open.unlock(shard)
        self._observer.given(shards)

    async def turn(self) -> bool:
        """Turn the owned shards; return whether something that is due is left."""
        if self._bad_row is not None:
            row, error = self._bad_row
            if row.shard in self.engines.owned:
                await self._turner.set_aside(self._open, row, error)
            self._bad_row = None
        is_more = False
        for cut in self._isolation.cuts(tuple(self.engines.owned)):
            self._turning = (cut, ())
            posted = {shard: self._posted.pop(shard, []) for shard in cut.shards}
            turned = await self._turner.turn(
                self._open,
                cut.shards,
                self._clock.now(),
                posted=posted,
                most_rows=cut.most_rows or MOST_ROWS,
                on_rows=partial(self._note_rows, cut),
            )
            self._turning = None
            self._isolation.succeeded(cut, len(turned.rows))
            self._observer.turned(turned)
            is_more |= turned.is_more
        return is_more

    def _note_rows(self, cut: Cut, rows: tuple[InboxRow, ...]) -> None:
        self._turning = (cut, rows)

    async def judge(self) -> int:
        """End the attempts whose worker is silent; return how many were judged."""
        shards = self.engines.owned
        shard_of = {run.id: shard for shard in shards for run in self.engines.running(shard)}
        if not shard_of:
            return 0
        running = await self._open.running_attempts(shards)
        now = self._clock.now()
        verdicts = self._reaper.judge(running, now.wall, now.elapsed, self.contact)
        known = {key: verdict for key, verdict in verdicts.items() if key[0] in shard_of}
        if not known:
            return 0
        ending = Ending(EndKind.LOST, now.wall, error=_LOST)
        lost = [key for key, verdict in known.items() if verdict is Verdict.LOST]
        untouched = [key for key, verdict in known.items() if verdict is Verdict.UNTOUCHED]
        async with self._open.begin() as transaction:
            if lost:
                await transaction.post(
                    [(shard_of[key[0]], AttemptEnded(*key, ending)) for key in lost]
                )
            if untouched:
                await transaction.offer_again(untouched)
        return len(known)

    async def leave(self) -> None:
        """End the session in order, after all shards were given."""
        session, self.session = self._open, None
        await session.leave()
        await session.close()

    async def fail(self, error: Exception) -> None:
        """Forget every engine and the session: the former may differ from what the store has."""
        session, self.session = self.session, None
        turning, taking = self._turning, self._taking
        self._turning = self._taking = self.latest = None
        owned = tuple(self.engines.owned)
        self.engines.drop_all()
        self._posted.clear()
        self.contact.lose()
        self._reaper.forget()
        self._free.forget()
        self._clock.forget()
        if session is not None:
            if session.survives(error):
                self._isolate(turning, taking, error)
            with suppress(Exception):
                await session.close()
        self._observer.lost(owned, error)

    def _isolate(
        self,
        turning: tuple[Cut, tuple[InboxRow, ...]] | None,
        taking: int | None,
        error: Exception,
    ) -> None:
        """Note what made a step fail although the session still answers."""
        elapsed = self._clock.machine_now().elapsed
        if taking is not None:
            self._take_failures[taking] += 1
            if self._take_failures[taking] >= _TAKES:
                del self._take_failures[taking]
                self._isolation.give_up(taking, elapsed)
                self._observer.shard_failed(taking, error)
        elif turning is not None:
            cut, rows = turning
            by_seq = {row.seq: row for row in rows}
            bad = self._isolation.failed(cut, tuple(by_seq), elapsed)
            if bad is not None:
                self._bad_row = (by_seq[bad], f"{type(error).__name__}: {error}")
            elif len(cut.shards) == 1 and cut.shards[0] in self._isolation.given_up(elapsed):
                self._observer.shard_failed(cut.shards[0], error)
