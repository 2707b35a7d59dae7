"""The timer wheel: the keys that are due by a tick.

Rule: ticks in, ticks out. The wheel has no clock and does not know the length of a tick (the engine uses
milliseconds); it imports nothing of luad.

    leaf      1,024 ticks      opened when the hand enters it; one bit for each tick
    level 0   64 leaves              65,536 ticks     about a minute, if a tick is a millisecond
    level 1   64 slots            4,194,304 ticks     70 minutes
    level 2   64 slots          268,435,456 ticks     3 days
    level 3   64 slots       17,179,869,184 ticks     199 days
    level 4   64 slots    1,099,511,627,776 ticks     35 years
    far       one slot for every 35 years after that

It has two parts. `_at` has the keys of each tick, in the order of insertion. The levels hold *ticks*, not
keys: a thousand keys due at nine o'clock are one tick, which moves down a level now and then. The firing
order (tick, insertion) needs no sequence number, and a slot can be a set, because `_deal` sorts its ticks.

One invariant: **the place of a tick follows from that tick and the hand alone.** It is the topmost group of
bits in which their leaf numbers differ. So ticks on a lower level are due before ticks on a higher one, the
next stop is the lowest set bit of the lowest occupied level, and a key can be cancelled without a stored
place.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Hashable, Iterable, Iterator
from typing import Final, Generic, TypeVar

K = TypeVar("K", bound=Hashable)

LEAF_BITS: Final = 10
SLOT_BITS: Final = 6
LEVELS: Final = 5

SLOTS: Final = 1 << SLOT_BITS
FAR_BITS: Final = SLOT_BITS * LEVELS
"""The number of bits of a leaf number that the levels cover."""

GLANCE: Final = 1_024
"""The largest number of ticks that `next_due` compares, which takes some ten microseconds."""

_IN_LEAF: Final = (1 << LEAF_BITS) - 1
_IN_LEVEL: Final = SLOTS - 1
_LEVEL_OF_LENGTH: Final = tuple(max(0, bit - 1) // SLOT_BITS for bit in range(FAR_BITS + 1))

assert LEAF_BITS + FAR_BITS == 40, "2**40 ms are 34.8 years: `far` stays an exception"


class Wheel(Generic[K]):
    """A set of keys, each due at one tick; *now* is the tick of the hand.

    Insert, cancel and move are O(1), and a removed key leaves nothing behind. `advance` costs the due keys,
    plus one step down for each distinct tick in the slots that the hand enters (at most six in a tick's
    life). Empty slots cost nothing.

    A wheel cannot follow a wall clock that steps back: build a new wheel and insert again.
    """

    __slots__ = ("_at", "_far", "_late", "_occupied", "_open", "_slots", "_tick_of", "now")

    def __init__(self, now: int = 0) -> None:
        assert now >= 0, "the hand starts at zero or later"
        self.now = now

        # The tick of each key, and the keys of each tick: the key itself while it is alone (most are, and
        # a dict takes 200 bytes), else a dict used as an ordered set. A key cannot be a dict, because a
        # dict cannot be hashed.
        self._tick_of: dict[K, int] = {}
        self._at: dict[int, K | dict[K, None]] = {}

        # Ticks that had passed when a key was inserted: due at the next advance.
        self._late: set[int] = set()

        # The open leaf, the one with the hand in it: a bit for each of its ticks in use. 1,024 bits
        # are 164 bytes; finding the lowest takes a fifth of a microsecond.
        #
        #   in the leaf     0     1     2     3    ...   1,023
        #   bit             0     0     0     1    ...     0
        #                         ^ the hand: every set bit lies behind it
        self._open = 0

        # All levels in one row, and one int of 64 bits a level saying which slots hold a tick.
        #
        #   a tick, in bits   | epoch ... | level 4 |  3  |  2  |  1  |  0  | in the leaf |
        #                                      6       6     6     6     6        10
        #
        # A tick lies on the topmost level whose six bits differ from the hand's, in the slot that
        # its own six bits name. Hence every set bit is above the hand's: no level wraps around, and
        # the hand's own slot is empty on every level.
        self._slots: defaultdict[int, set[int]] = defaultdict(set)
        self._occupied = [0] * LEVELS

        # Beyond the top level: epoch -> ticks. There are few of these.
        self._far: dict[int, set[int]] = {}

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
        if key in self._tick_of:
            self._leave(key, self._tick_of[key])
        self._tick_of[key] = tick
        if tick not in self._at:
            self._at[tick] = key
            self._mark((tick,))
            return
        present = self._at[tick]
        if isinstance(present, dict):
            present[key] = None
        else:
            self._at[tick] = {present: None, key: None}

    def cancel(self, key: K) -> bool:
        """Remove *key*; return False if it was not present."""
        tick = self._tick_of.pop(key, None)
        if tick is None:
            return False
        self._leave(key, tick)
        return True

    def advance(self, to_tick: int) -> list[tuple[int, K]]:
        """Move the hand to *to_tick*; remove and return the keys that are due by then.

        They are sorted by tick; keys of one tick are in the order of insertion.
        """
        assert to_tick >= self.now, "a wheel never turns back"
        ticks = self._turn(to_tick)
        due: list[tuple[int, K]] = []
        for tick in ticks:
            present = self._at.pop(tick)
            if isinstance(present, dict):
                due += [(tick, key) for key in present]
            else:
                due.append((tick, present))
        tick_of = self._tick_of
        for _, key in due:
            del tick_of[key]
        return due

    def next_stop(self) -> int | None:
        """Return a tick not after the earliest key, in O(levels); None if the wheel is empty.

        It is the key's own tick or, further ahead, the first tick of its slot. Advancing to the latter fires
        nothing, but moves the key at least one level down, so there are at most six such stops before a
        key. *now* means that a key is late: advance at once.
        """
        return self._earliest()[0] if self._tick_of else None

    def next_due(self) -> int | None:
        """Return the tick to sleep until: as `next_stop`, but exact for a slot of few ticks.

        It is the earliest key's own tick, unless the slot of the next stop holds more than `GLANCE` distinct
        ticks; then it is that stop. Late keys are due *now*.
        """
        if not self._tick_of:
            return None
        stop, ticks = self._earliest()
        return min(ticks) if ticks and len(ticks) <= GLANCE else stop

    # --- places of ticks -----------------------------------------------------------------------

    def _mark(self, ticks: Iterable[int]) -> None:
        """Put each of *ticks* in its place; the inner loop of the wheel."""
        now, occupied, slots = self.now, self._occupied, self._slots
        hand = now >> LEAF_BITS
        for tick in ticks:
            leaf = tick >> LEAF_BITS
            length = (leaf ^ hand).bit_length()
            if tick <= now:
                self._late.add(tick)
            elif not length:
                self._open |= 1 << (tick & _IN_LEAF)
            elif length <= FAR_BITS:
                level = _LEVEL_OF_LENGTH[length]
                index = (leaf >> (SLOT_BITS * level)) & _IN_LEVEL
                occupied[level] |= 1 << index
                slots[level * SLOTS + index].add(tick)
            else:
                self._far.setdefault(leaf >> FAR_BITS, set()).add(tick)

    def _unmark(self, tick: int) -> None:
        """Undo `_mark`, so that the wheel does not stop at *tick* in vain."""
        leaf = tick >> LEAF_BITS
        length = (leaf ^ (self.now >> LEAF_BITS)).bit_length()
        if tick <= self.now:
            self._late.remove(tick)
        elif not length:
            self._open ^= 1 << (tick & _IN_LEAF)
        elif length <= FAR_BITS:
            level = _LEVEL_OF_LENGTH[length]
            index = (leaf >> (SLOT_BITS * level)) & _IN_LEVEL
            slot = self._slots[level * SLOTS + index]
            slot.remove(tick)
            if not slot:
                self._occupied[level] ^= 1 << index
        else:
            epoch = leaf >> FAR_BITS
            self._far[epoch].remove(tick)
            if not self._far[epoch]:
                del self._far[epoch]

    def _leave(self, key: K, tick: int) -> None:
        """Remove *key* from the keys of *tick*."""
        present = self._at[tick]
        if isinstance(present, dict):
            del present[key]
            if present:
                return
        del self._at[tick]
        self._unmark(tick)

    def _earliest(self) -> tuple[int, set[int] | None]:
        """Return the next stop, and the ticks of its slot unless it is exact; not for an empty wheel."""
        if self._late:
            return self.now, None
        hand = self.now >> LEAF_BITS
        if self._open:
            return (hand << LEAF_BITS) + _lowest(self._open), None
        for level, occupied in enumerate(self._occupied):
            if occupied:
                index = _lowest(occupied)
                shift = SLOT_BITS * level
                assert index > (hand >> shift) & _IN_LEVEL, "a slot behind the hand holds ticks"
                turn = hand >> (shift + SLOT_BITS)
                leaf = ((turn << SLOT_BITS) + index) << shift
                return leaf << LEAF_BITS, self._slots[level * SLOTS + index]
        epoch = min(self._far)
        return epoch << (FAR_BITS + LEAF_BITS), self._far[epoch]

    # --- turning -------------------------------------------------------------------------------

    def _turn(self, to_tick: int) -> list[int]:
        """Move the hand; remove and return all ticks up to *to_tick*, ascending."""
        was, self.now = self.now, to_tick
        due: list[int] = []
        if self._late:
            due += sorted(self._late)
            self._late.clear()
        if self._open:
            self._empty_open_leaf(was >> LEAF_BITS << LEAF_BITS, due)
        if was >> LEAF_BITS != to_tick >> LEAF_BITS:
            assert not self._open, "the hand left a leaf with ticks in it"
            self._empty_levels(was >> LEAF_BITS, to_tick >> LEAF_BITS, due)
        return due

    def _empty_open_leaf(self, first: int, due: list[int]) -> None:
        """Move the due ticks of the open leaf, which begins at *first*, to *due*."""
        left = self._open
        while left:
            lowest = left & -left
            tick = first + lowest.bit_length() - 1
            if tick > self.now:
                break
            left ^= lowest
            due.append(tick)
        self._open = left

    def _empty_levels(self, was: int, leaf: int, due: list[int]) -> None:
        """Empty each slot that the hand passes or enters between the leaves *was* and *leaf*.

        The order is from the lowest level up, ascending on each level: the order of the ticks. No tick is
        dealt twice, because a tick that is not due goes to its place for the new hand, on a lower level.
        """
        changed = was ^ leaf
        for level, occupied in enumerate(self._occupied):
            shift = SLOT_BITS * level
            is_same_turn = not changed >> (shift + SLOT_BITS)
            reached = (2 << ((leaf >> shift) & _IN_LEVEL)) - 1
            passed = occupied & reached if is_same_turn else occupied
            self._occupied[level] ^= passed
            while passed:
                index = _lowest(passed)
                passed ^= 1 << index
                self._deal(self._slots[level * SLOTS + index], due)
            if is_same_turn:
                return
        for epoch in sorted(self._far):
            if epoch <= leaf >> FAR_BITS:
                self._deal(self._far.pop(epoch), due)

    def _deal(self, slot: set[int], due: list[int]) -> None:
        """Empty *slot*: due ticks go to *due*, ascending, and the others to their new places."""
        ticks = sorted(slot)
        slot.clear()
        split = bisect_right(ticks, self.now)
        due += ticks[:split]
        if split < len(ticks):
            self._mark(ticks[split:])


def _lowest(bits: int) -> int:
    """Return the number of the lowest set bit."""
    return (bits & -bits).bit_length() - 1
