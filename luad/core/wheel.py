"""The timer wheel: which keys are due by tick t.

Room rule: ticks in, ticks out. The wheel has no clock and does not know what a tick is worth
(the engine counts milliseconds); it imports nothing of luad.

    leaf      1,024 ticks      opened when the hand enters it: dealt out into exact ticks
    level 0   64 leaves              65,536 ticks     about a minute, if a tick is a millisecond
    level 1   64 slots            4,194,304 ticks     70 minutes
    level 2   64 slots          268,435,456 ticks     3 days
    level 3   64 slots       17,179,869,184 ticks     199 days
    level 4   64 slots    1,099,511,627,776 ticks     35 years
    far       one slot for every 35 years after that

One invariant carries everything: **the place of a key follows from its tick and the hand alone.**
It is the lowest level on which hand and tick still share a turn, that is, the topmost group of
bits in which their leaf numbers differ. Three things follow:

- what lies on a lower level is due before anything on a higher one, so the next stop is the lowest
  set bit of the lowest occupied level;
- keys with equal ticks share a slot at every moment, so slots that keep insertion order make the
  firing order (tick, insertion) without a sequence number;
- a cancelled key needs no memory of where it was put.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator
from operator import itemgetter
from typing import Final, Generic, TypeAlias, TypeVar

K = TypeVar("K", bound=Hashable)

Slot: TypeAlias = dict[K, int]
"""Keys with their ticks, in the order of insertion; removing one is O(1) and leaves nothing."""

LEAF_BITS: Final = 10
SLOT_BITS: Final = 6
LEVELS: Final = 5

SLOTS: Final = 1 << SLOT_BITS
FAR_BITS: Final = SLOT_BITS * LEVELS
"""How many bits of a leaf number the levels cover."""

GLANCE: Final = 1_024
"""`next_due` looks at no more keys than this, which takes some ten microseconds."""

_LEVEL_OF_BIT: Final = tuple(max(0, bit - 1) // SLOT_BITS for bit in range(FAR_BITS + 1))
_by_tick: Final = itemgetter(0)

assert SLOTS.bit_count() == 1
assert LEAF_BITS + FAR_BITS == 40, "2**40 ms are 34.8 years: `far` stays an exception"


class Wheel(Generic[K]):
    """A set of keys, each due at one tick; *now* is where the hand stands.

    Insert, cancel and move are O(1) and real: a removed key leaves nothing behind. `advance` costs
    what becomes due, plus one step down for each key of the slots that the hand enters (at most
    six in a key's life). Turning over empty slots costs nothing, however many.

    A wall clock that steps back cannot be followed; build a new wheel and insert again.
    """

    __slots__ = ("_far", "_late", "_occupied", "_open", "_open_bits", "_slot_of", "_slots", "now")

    def __init__(self, now: int = 0) -> None:
        assert now >= 0, "the hand starts at zero or later"
        self.now = now

        # Where each key lies: the very slot, which in turn knows the tick.
        self._slot_of: dict[K, Slot[K]] = {}

        # Keys whose tick had passed when they were inserted: due at the next advance.
        self._late: Slot[K] = {}

        # The open leaf, the one with the hand in it: exact tick -> keys, and one bit for each of
        # its ticks in use. 1,024 bits are 136 bytes; finding the lowest takes a tenth of a µs.
        #
        #   tick   ...024  ...025  ...026  ...027  ...
        #   bit       0       1       2       3           <- always behind the hand's own bit
        self._open: dict[int, Slot[K]] = {}
        self._open_bits = 0

        # All levels in one row, and one int of 64 bits a level saying which slots hold something.
        #
        #   tick, in bits   | epoch ... | level 4 | 3 | 2 | 1 | 0 | in the leaf |
        #                                 6 bits    6   6   6   6     10 bits
        #
        # A key lies on the topmost level whose six bits differ from the hand's, in the slot that
        # those six bits of its tick name. Hence every set bit is above the hand's own: no level
        # wraps around, and the hand's slot on every level is empty.
        self._slots: list[Slot[K]] = [{} for _ in range(LEVELS * SLOTS)]
        self._occupied = [0] * LEVELS

        # Beyond the top level: epoch -> keys. Nobody has many of these.
        self._far: dict[int, Slot[K]] = {}

    def __len__(self) -> int:
        return len(self._slot_of)

    def __contains__(self, key: object) -> bool:
        return key in self._slot_of

    def __iter__(self) -> Iterator[K]:
        """All keys, the one inserted longest ago first."""
        return iter(self._slot_of)

    def tick_of(self, key: K) -> int:
        """When *key* is due; KeyError if it is not in the wheel."""
        return self._slot_of[key][key]

    def insert(self, key: K, tick: int) -> None:
        """Make *key* due at *tick*; a key that is present moves, and queues behind its equals.

        A tick at or before *now* is allowed: the key comes out at the next advance, with its
        tick as given, even if that advance does not move the hand.
        """
        if key in self._slot_of:
            self.cancel(key)
        slot = self._slot_for(tick)
        slot[key] = tick
        self._slot_of[key] = slot

    def cancel(self, key: K) -> bool:
        """Take *key* out; False if it was not there."""
        slot = self._slot_of.pop(key, None)
        if slot is None:
            return False
        tick = slot.pop(key)
        if not slot:
            self._mark_empty(tick)
        return True

    def advance(self, to_tick: int) -> list[tuple[int, K]]:
        """Move the hand to *to_tick*; take out and return what is due by then.

        Earliest first; equal ticks in the order of insertion.
        """
        assert to_tick >= self.now, "a wheel never turns back"
        was, self.now = self.now, to_tick
        due: list[tuple[int, K]] = []
        if self._late:
            late, self._late = self._late, {}
            self._deal(late, due)
        self._empty_open_leaf(was, due)
        if was >> LEAF_BITS != to_tick >> LEAF_BITS:
            assert not self._open, "the hand left a leaf with keys in it"
            self._turn(was >> LEAF_BITS, to_tick >> LEAF_BITS, due)
        slot_of = self._slot_of
        for _, key in due:
            del slot_of[key]
        return due

    def next_stop(self) -> int | None:
        """A tick not after the earliest key, found in O(levels); None when the wheel is empty.

        It is that key's own tick, or, further ahead, the first tick of the slot in which it
        lies. Advancing to the latter fires nothing but brings the keys one level down or more, so
        there are at most six stops before a key. *now* means: something is late, advance at once.
        """
        if not self._slot_of:
            return None
        return self._earliest()[0]

    def next_due(self) -> int | None:
        """As `next_stop`, but exact wherever a glance suffices; this is what to sleep until.

        It is the earliest key's own tick, unless the slot of the next stop holds more than
        `GLANCE` keys; then it is that stop. Late keys are due *now*.
        """
        if not self._slot_of:
            return None
        stop, slot = self._earliest()
        if stop == self.now or len(slot) > GLANCE:
            return stop
        return min(slot.values())

    # --- where things lie ----------------------------------------------------------------------

    def _slot_for(self, tick: int) -> Slot[K]:
        """The slot in which *tick* belongs, marked as occupied."""
        now = self.now
        if tick <= now:
            return self._late
        leaf = tick >> LEAF_BITS
        bits = (leaf ^ (now >> LEAF_BITS)).bit_length()
        if not bits:
            self._open_bits |= 1 << (tick & ((1 << LEAF_BITS) - 1))
            return self._open.setdefault(tick, {})
        if bits > FAR_BITS:
            return self._far.setdefault(leaf >> FAR_BITS, {})
        level = _LEVEL_OF_BIT[bits]
        index = (leaf >> (SLOT_BITS * level)) & (SLOTS - 1)
        self._occupied[level] |= 1 << index
        return self._slots[level * SLOTS + index]

    def _mark_empty(self, tick: int) -> None:
        """The last key has left the slot of *tick*: nobody need stop there."""
        if tick <= self.now:
            return
        leaf = tick >> LEAF_BITS
        bits = (leaf ^ (self.now >> LEAF_BITS)).bit_length()
        if not bits:
            self._open_bits ^= 1 << (tick & ((1 << LEAF_BITS) - 1))
            del self._open[tick]
        elif bits > FAR_BITS:
            del self._far[leaf >> FAR_BITS]
        else:
            level = _LEVEL_OF_BIT[bits]
            self._occupied[level] ^= 1 << ((leaf >> (SLOT_BITS * level)) & (SLOTS - 1))

    def _earliest(self) -> tuple[int, Slot[K]]:
        """The next stop, and the slot that makes it one. The wheel is not empty."""
        if self._late:
            return self.now, self._late
        hand = self.now >> LEAF_BITS
        if self._open_bits:
            tick = (hand << LEAF_BITS) + _lowest(self._open_bits)
            return tick, self._open[tick]
        for level, occupied in enumerate(self._occupied):
            if occupied:
                index = _lowest(occupied)
                shift = SLOT_BITS * level
                assert index > (hand >> shift) & (SLOTS - 1), "a slot behind the hand holds keys"
                turn = hand >> (shift + SLOT_BITS)
                leaf = ((turn << SLOT_BITS) + index) << shift
                return leaf << LEAF_BITS, self._slots[level * SLOTS + index]
        epoch = min(self._far)
        return epoch << (FAR_BITS + LEAF_BITS), self._far[epoch]

    # --- turning -------------------------------------------------------------------------------

    def _empty_open_leaf(self, was: int, due: list[tuple[int, K]]) -> None:
        """Take what is due by *now* out of the leaf that was open when the hand stood at *was*."""
        first = was >> LEAF_BITS << LEAF_BITS
        while self._open_bits:
            offset = _lowest(self._open_bits)
            tick = first + offset
            if tick > self.now:
                return
            self._open_bits ^= 1 << offset
            due += [(tick, key) for key in self._open.pop(tick)]

    def _turn(self, was: int, leaf: int, due: list[tuple[int, K]]) -> None:
        """Deal out every slot that the hand passes or enters on its way from leaf *was* to *leaf*.

        Upwards through the levels, and ascending on each: that is the order of the ticks. No key is
        dealt twice, because what is not due yet goes straight to the place that the new hand gives
        it, which lies on a level already done.
        """
        for level in range(LEVELS):
            shift = SLOT_BITS * level
            is_same_turn = not (was ^ leaf) >> (shift + SLOT_BITS)
            passed = self._occupied[level]
            if is_same_turn:
                passed &= (2 << ((leaf >> shift) & (SLOTS - 1))) - 1
            self._occupied[level] ^= passed
            while passed:
                index = _lowest(passed)
                passed ^= 1 << index
                place = level * SLOTS + index
                slot, self._slots[place] = self._slots[place], {}
                self._deal(slot, due)
            if is_same_turn:
                return
        for epoch in sorted(self._far):
            if epoch <= leaf >> FAR_BITS:
                self._deal(self._far.pop(epoch), due)

    def _deal(self, slot: Slot[K], due: list[tuple[int, K]]) -> None:
        """Add what is due to *due*, sorted; put the rest where it belongs now."""
        now = self.now
        batch = [(tick, key) for key, tick in slot.items() if tick <= now]
        batch.sort(key=_by_tick)  # stable: keys of one tick keep their order
        due += batch
        if len(batch) == len(slot):
            return
        for key, tick in slot.items():
            if tick > now:
                self._slot_of[key] = place = self._slot_for(tick)
                place[key] = tick


def _lowest(bits: int) -> int:
    """The number of the lowest set bit."""
    return (bits & -bits).bit_length() - 1
