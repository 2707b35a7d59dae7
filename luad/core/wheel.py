"""The timer wheel: the keys that are due by a tick.

Rule: ticks in, ticks out. The wheel has no clock and does not know the length of a tick (the engine uses
milliseconds); it imports nothing of luad.

    leaf      1,024 ticks      the shortest slot
    level 0   64 leaves              65,536 ticks     about a minute, if a tick is a millisecond
    level 1   64 slots            4,194,304 ticks     70 minutes
    level 2   64 slots          268,435,456 ticks     3 days
    level 3   64 slots       17,179,869,184 ticks     199 days
    level 4   64 slots    1,099,511,627,776 ticks     35 years
    ...
    level 8   64 slots                2**64 ticks

The earliest slot is the *window*: its ticks are sorted, in C, and come out one after the other. Every other
slot is a dict of tick -> keys, without order. If the next slot has few ticks, it becomes the window
as a whole, even if it is a long one, so most ticks move once in their lives. If it has many, its later parts
go to slots one level down. A thousand keys due at nine o'clock are one tick.

Three invariants. **Every tick before the end of the window is in the window**, so the next tick is the first
of the window. **The place of a later tick follows from that tick and the window alone**: the topmost group of
bits in which the two differ. So a slot on a lower level is due before a slot on a higher one, and the next
slot is the lowest set bit of one number. **The keys of one tick are in one list, in the order of insertion**,
so the firing order (tick, insertion) needs no sequence number.

A cancelled or moved key leaves a stale entry behind: its old tick still has it. The wheel counts its entries;
while there are as many as keys, none is stale. Otherwise each entry is compared with the tick of its key when
its tick comes, and all stale ones are dropped when they are more than the keys.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Hashable, Iterator, Sequence
from heapq import heapify, heappop, heappush
from typing import Final, Generic, TypeVar

K = TypeVar("K", bound=Hashable)

LEAF_BITS: Final = 10
SLOT_BITS: Final = 6
LEVELS: Final = 9

SLOTS: Final = 1 << SLOT_BITS

FEW: Final = 256
"""A slot of so many ticks becomes the window as a whole."""

MANY: Final = 256
"""If a long window gets more ticks than this after it was opened, it is made as short as a leaf."""

MOST_STALE: Final = 64
"""So many stale entries may stay, however few keys there are."""

_NO_TICK: Final = 1 << 65  # later than any tick
_LEAF: Final = 1 << LEAF_BITS
_IN_LEVEL: Final = SLOTS - 1


def _shift(level: int) -> int:
    """Return how many bits of a tick are below its slot number on *level*."""
    return LEAF_BITS + SLOT_BITS * level


_LEVEL_OF: Final = tuple(
    max(0, length - 1 - LEAF_BITS) // SLOT_BITS for length in range(_shift(LEVELS) + 1)
)
"""The level of the topmost bit in which two ticks differ, by the length of the difference."""
_PLACE_OF: Final = tuple((_shift(level), level << SLOT_BITS) for level in _LEVEL_OF)
"""By the same length: a shift of the tick, and the number of the level's first slot."""


class Wheel(Generic[K]):
    """A set of keys, each due at one tick; *now* is the tick of the hand.

    Insert, cancel and move are O(1). `advance` costs the due keys, plus a part of a sort for each distinct tick.
    Empty slots cost nothing. A wheel cannot follow a wall clock that steps back: build a new wheel and insert again.
    """

    __slots__ = (
        "_base", "_end", "_entries", "_last_keys", "_last_tick", "_new", "_occupied", "_run",
        "_slots", "_tick_of", "_window", "now",
    )  # fmt: skip

    def __init__(self, now: int = 0) -> None:
        assert now >= 0, "the hand starts at zero or later"
        self.now = now
        self._tick_of: dict[K, int] = {}

        # The window ends at `_end`, and `_base` is a tick of it. It has the keys of each tick: the key itself
        # while it is alone (most are, and a list takes 88 bytes), else a list (a list cannot be a key). `_run`
        # has the ticks from when the window was opened, the earliest one last; `_new` is a heap of later ones.
        self._base = now
        self._end = (now | (_LEAF - 1)) + 1
        self._window: dict[int, K | list[K]] = {}
        self._run: list[int] = []
        self._new: list[int] = []

        # The tick of the latest insertion among others, and the list of its keys.
        self._last_tick = _NO_TICK
        self._last_keys: list[K] = []

        # All levels in one row, and one int with a bit for each slot that holds a tick.
        #
        #   a tick, in bits   | level 8 | ... | level 1 | level 0 | in the leaf |
        #                          6       6       6         6          10
        #
        # A tick lies on the topmost level whose six bits differ from the window's, in the slot that its
        # own six bits name. Hence it is above the window's slot of that level: no level wraps around.
        self._slots: list[dict[int, K | list[K]]] = [{} for _ in range(LEVELS * SLOTS)]
        self._occupied = 0

        # How many entries the window and the slots have, the stale ones included.
        self._entries = 0

    def __len__(self) -> int:
        return len(self._tick_of)

    def __contains__(self, key: object) -> bool:
        return key in self._tick_of

    def __iter__(self) -> Iterator[K]:
        """Yield all keys in the order of insertion; a move does not change it."""
        return iter(self._tick_of)

    def tick_of(self, key: K) -> int:
        """Return the tick of *key*; KeyError if it is not in the wheel."""
        return self._tick_of[key]

    def insert(self, key: K, tick: int) -> None:
        """Make *key* due at *tick*; a present key moves, behind the other keys of that tick.

        A tick at or before *now* is allowed: the next `advance` returns the key with this tick, even if it
        does not move the hand.
        """
        self._entries += 1
        self._tick_of[key] = tick
        if tick == self._last_tick:  # jobs that were due together are often due together again
            self._last_keys.append(key)
            return
        if tick < self._end:
            slot = self._window
            if tick not in slot:
                slot[tick] = key
                self._note_new(tick)
                return
        else:
            shift, offset = _PLACE_OF[(tick ^ self._base).bit_length()]
            place = offset + (tick >> shift & _IN_LEVEL)
            slot = self._slots[place]
            if tick not in slot:
                if not slot:
                    self._occupied |= 1 << place
                slot[tick] = key
                return
        present = slot[tick]
        if isinstance(present, list):
            present.append(key)
        else:
            slot[tick] = present = [present, key]
        self._last_tick, self._last_keys = tick, present

    def cancel(self, key: K) -> bool:
        """Remove *key*; return False if it was not present."""
        try:
            del self._tick_of[key]
        except KeyError:
            return False
        return True

    def advance(self, to_tick: int) -> list[tuple[int, K]]:
        """Move the hand to *to_tick*; remove and return the keys that are due by then.

        They are sorted by tick; keys of one tick are in the order of insertion.
        """
        assert to_tick >= self.now, "a wheel never turns back"
        self.now = to_tick
        due: list[tuple[int, K]] = []
        if to_tick >= self._end:
            self._leave_window(due)
        elif self._new and self._new[0] <= to_tick:
            self._collect(self._window, self._take(to_tick), due)
        else:
            run, window, tick_of = self._run, self._window, self._tick_of
            while run and run[-1] <= to_tick:
                tick = run.pop()
                keys = window[tick]
                if isinstance(keys, list):
                    self._collect(window, (tick,), due)
                    continue
                del window[tick]
                self._entries -= 1
                if tick_of.get(keys) == tick:
                    del tick_of[keys]
                    due.append((tick, keys))
        return due

    def next_due(self) -> int | None:
        """Return the tick to sleep until; None if the wheel is empty.

        It is the earliest key's own tick, or a tick before it: the first one of a slot with more than `FEW`
        ticks, which `advance` then divides. There are at most `LEVELS` such stops before a key. Late keys are
        due *now*.
        """
        if self._entries != len(self._tick_of):
            self._skip_stale()
        while not self._run and not self._new:
            if not self._tick_of:
                return None
            if (stop := self._open_next()) is not None:
                return stop
            if self._entries != len(self._tick_of):
                self._skip_stale()
        tick = self._first() if self._new else self._run[-1]
        if tick < self.now:
            return self.now
        return tick

    def ascending(self, start: int = 0) -> Iterator[tuple[int, K]]:
        """Yield the keys that are due from *start* on, by tick; nothing may change meanwhile.

        It costs the yielded keys, plus the ticks of the slots that it opens.
        """
        left = self._occupied
        slot = self._window
        while True:
            heap = [tick for tick in slot if tick >= start]
            heapify(heap)
            while heap:
                tick = heappop(heap)
                yield from ((tick, key) for key in self._live(tick, slot[tick]))
            if not left:
                return
            lowest = left & -left
            left ^= lowest
            slot = self._slots[lowest.bit_length() - 1]

    # --- the window ----------------------------------------------------------------------------

    def _first(self) -> int:
        """Return the first tick of the window, which is not empty."""
        run, new = self._run, self._new
        return run[-1] if run and not (new and new[0] < run[-1]) else new[0]

    def _note_new(self, tick: int) -> None:
        """Note a tick that is new in the window."""
        heappush(self._new, tick)
        if len(self._new) > MANY and self._end > (self.now | (_LEAF - 1)) + 1:
            # Without this, a window opened for a key of next week would be a heap of everything until then.
            level = _LEVEL_OF[(self.now ^ (self._end - 1)).bit_length()] + 1
            ticks, window = self._take(self._end), self._window
            self._open_around_hand(window, ticks, level, 0)

    def _take(self, to_tick: int) -> list[int]:
        """Take the ticks until *to_tick* out of the window's row, ascending."""
        run, new = self._run, self._new
        ticks: list[int] = []
        while run and run[-1] <= to_tick:
            ticks.append(run.pop())
        while new and new[0] <= to_tick:
            ticks.append(heappop(new))
        ticks.sort()
        return ticks

    def _collect(
        self, slot: dict[int, K | list[K]], ticks: Sequence[int], due: list[tuple[int, K]]
    ) -> None:
        """Remove the keys of *ticks*, which are in *slot*, from the wheel, and add them to *due*."""
        tick_of = self._tick_of
        self._last_tick = _NO_TICK
        for tick in ticks:
            keys = slot.pop(tick)
            if isinstance(keys, list):
                if self._entries != len(tick_of):
                    keys = self._settle(tick, keys)
                due += [(tick, key) for key in keys]
                for key in keys:
                    del tick_of[key]
                self._entries -= len(keys)
            else:
                self._entries -= 1
                if tick_of.get(keys) == tick:
                    del tick_of[keys]
                    due.append((tick, keys))

    # --- turning -------------------------------------------------------------------------------

    def _open_next(self) -> int | None:
        """Make the next slot the window, ahead of the hand; if it has many ticks, return its first tick."""
        assert self._occupied, "a key is in no slot"
        lowest = self._occupied & -self._occupied
        place = lowest.bit_length() - 1
        level, index = place >> SLOT_BITS, place & _IN_LEVEL
        shift = _shift(level)
        first = ((self._base >> shift >> SLOT_BITS << SLOT_BITS) + index) << shift
        if level and len(self._slots[place]) > FEW:
            return first
        self._occupied ^= lowest
        self._window, self._slots[place] = self._slots[place], {}
        self._base, self._end = first, first + (1 << shift)
        self._run = sorted(self._window, reverse=True)
        return None

    def _leave_window(self, due: list[tuple[int, K]]) -> None:
        """Move to *due* what is due at the hand, beyond the window, and open the window around the hand."""
        self._collect(self._window, self._take(self._end), due)
        level = _LEVEL_OF[(self.now ^ self._base).bit_length()]
        entered = (level << SLOT_BITS) + (self.now >> _shift(level) & _IN_LEVEL)
        passed = self._occupied & ((2 << entered) - 1)
        self._occupied ^= passed
        found: dict[int, K | list[K]] = {}
        while passed:
            lowest = passed & -passed
            passed ^= lowest
            place = lowest.bit_length() - 1
            slot, self._slots[place] = self._slots[place], {}
            if found:
                found.update(slot)
            else:
                found = slot  # mostly the only one
        ticks = sorted(found)
        split = bisect_right(ticks, self.now)
        self._collect(found, ticks[:split], due)
        del ticks[:split]
        self._open_around_hand(found, ticks, level, FEW)

    def _open_around_hand(
        self, slot: dict[int, K | list[K]], ticks: list[int], level: int, few: int
    ) -> None:
        """Make *slot*, the hand's slot of *level*, the window, or a part of it that has *few* ticks."""
        while level and not 0 < len(ticks) <= few:
            level -= 1
            shift = _shift(level)
            split = bisect_left(ticks, ((self.now >> shift) + 1) << shift)
            self._deal(slot, ticks[split:], level)
            del ticks[split:]
        self._base = self.now
        self._end = ((self.now >> _shift(level)) + 1) << _shift(level)
        self._window, self._run = slot, ticks[::-1]

    def _deal(self, slot: dict[int, K | list[K]], ticks: list[int], level: int) -> None:
        """Move the keys of *ticks*, ascending, from *slot* to the slots of *level*."""
        shift, start = _shift(level), 0
        while start < len(ticks):
            number = ticks[start] >> shift
            stop = bisect_left(ticks, (number + 1) << shift, start)
            place = (level << SLOT_BITS) + (number & _IN_LEVEL)
            self._slots[place] = {tick: slot.pop(tick) for tick in ticks[start:stop]}
            self._occupied |= 1 << place
            start = stop

    # --- stale entries -------------------------------------------------------------------------

    def _live(self, tick: int, present: K | list[K]) -> list[K]:
        """Return the keys of *tick* without stale ones; a key that came back is behind the others."""
        keys = present if isinstance(present, list) else [present]
        live = [key for key in dict.fromkeys(reversed(keys)) if self._tick_of.get(key) == tick]
        return live[::-1]

    def _settle(self, tick: int, present: K | list[K]) -> list[K]:
        """Return the same, and count the entries of *tick* as if no other had been there."""
        live = self._live(tick, present)
        self._last_tick = _NO_TICK
        self._entries -= (len(present) if isinstance(present, list) else 1) - len(live)
        return live

    def _drop_all_stale(self) -> None:
        self._drop_stale(self._window)
        self._run = [tick for tick in self._run if tick in self._window]
        self._new = [tick for tick in self._new if tick in self._window]
        heapify(self._new)
        for place, slot in enumerate(self._slots):
            if slot and not self._drop_stale(slot):
                self._occupied ^= 1 << place

    def _drop_stale(self, slot: dict[int, K | list[K]]) -> dict[int, K | list[K]]:
        """Drop the stale entries of *slot*; return it."""
        for tick in tuple(slot):
            live = self._settle(tick, slot.pop(tick))
            if live:
                slot[tick] = live[0] if len(live) == 1 else live
        return slot

    def _skip_stale(self) -> None:
        """Remove the first ticks of the window as long as all their entries are stale."""
        count = len(self._tick_of)
        if self._entries > count + max(MOST_STALE, count):
            self._drop_all_stale()
        window, tick_of = self._window, self._tick_of
        while self._run or self._new:
            first = self._first()
            keys = window[first]
            if not isinstance(keys, list) and tick_of.get(keys) == first:
                return
            live = self._settle(first, window.pop(first))
            if live:
                window[first] = live[0] if len(live) == 1 else live
                return
            self._take(first)
