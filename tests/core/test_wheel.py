"""The wheel against a naive twin, and its borders by name."""

from __future__ import annotations

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from support.cost import turns

from luad.core import wheel as wheels
from luad.core.wheel import FEW, LEAF_BITS, LEVELS, MANY, MOST_STALE, SLOT_BITS, Wheel

LEAF = 1 << LEAF_BITS
REACH = tuple(LEAF << (SLOT_BITS * level) for level in range(6))  # 2**10 ... 2**40
YEAR_9999 = 253_402_300_799_999
THIS_YEAR = 1_763_845_200_000

BORDERS = sorted({0, 1, *(max(0, reach + off) for reach in REACH for off in (-1, 0, 1))})

distances = st.one_of(
    st.sampled_from(BORDERS),
    st.integers(0, 3 * LEAF),
    st.integers(0, REACH[2]),
    st.integers(0, 2 * REACH[5]),
)
keys = st.integers(0, 11)


class WheelAgainstDict(RuleBasedStateMachine):
    """The wheel behaves like a dict of key -> (tick, turn) that is scanned on every advance."""

    def __init__(self) -> None:
        super().__init__()
        self.wheel: Wheel[int] = Wheel()
        self.model: dict[int, tuple[int, int]] = {}
        self.turn = 0

    @initialize(now=st.sampled_from([0, 1, LEAF - 1, THIS_YEAR, REACH[5] - 1, YEAR_9999]))
    def start(self, now: int) -> None:
        self.wheel = Wheel(now)

    def put(self, key: int, tick: int) -> None:
        self.turn += 1
        self.wheel.insert(key, tick)
        self.model[key] = (tick, self.turn)

    def turn_to(self, target: int) -> None:
        due = sorted((*place, key) for key, place in self.model.items() if place[0] <= target)
        assert self.wheel.advance(target) == [(tick, key) for tick, _, key in due]
        for _, _, key in due:
            del self.model[key]

    @rule(key=keys, distance=distances)
    def insert_or_move(self, key: int, distance: int) -> None:
        self.put(key, self.wheel.now + distance)

    @rule(key=keys, distance=st.sampled_from(BORDERS))
    def insert_what_is_late(self, key: int, distance: int) -> None:
        self.put(key, self.wheel.now - distance)

    @precondition(lambda self: self.model)
    @rule(key=keys, data=st.data())
    def insert_beside_another(self, key: int, data: st.DataObject) -> None:
        self.put(key, self.model[data.draw(st.sampled_from(sorted(self.model)))][0])

    @rule(key=keys, level=st.sampled_from(REACH), slots=st.integers(0, 65), off=st.integers(-1, 1))
    def insert_on_the_border_of_a_slot(self, key: int, level: int, slots: int, off: int) -> None:
        self.put(key, (self.wheel.now // level + slots) * level + off)

    @rule(key=keys)
    def cancel(self, key: int) -> None:
        assert self.wheel.cancel(key) == (self.model.pop(key, None) is not None)

    @rule(distance=distances)
    def advance(self, distance: int) -> None:
        self.turn_to(self.wheel.now + distance)

    @rule(distance=st.sampled_from([-YEAR_9999, 0, *BORDERS]))
    def look_ahead(self, distance: int) -> None:
        start = self.wheel.now + distance
        found = sorted((*place, key) for key, place in self.model.items() if place[0] >= start)
        assert list(self.wheel.ascending(start)) == [(tick, key) for tick, _, key in found]

    @precondition(lambda self: self.model)
    @rule(off=st.integers(-1, 1))
    def advance_to_the_next_key_or_just_beside(self, off: int) -> None:
        first = min(tick for tick, _ in self.model.values())
        self.turn_to(max(self.wheel.now, first + off))

    @precondition(lambda self: self.model)
    @rule()
    def advance_from_stop_to_stop_until_something_is_due(self) -> None:
        due: list[tuple[int, int]] = []
        first = min(tick for tick, _ in self.model.values())
        stops = 0
        while not due:
            stop = self.wheel.next_due()
            assert stop is not None
            due = self.wheel.advance(stop)
            stops += 1
        assert stops <= LEVELS + 1
        assert min(tick for tick, _ in due) == first
        for _, key in due:
            del self.model[key]

    @invariant()
    def says_what_it_holds(self) -> None:
        assert {key: self.wheel.tick_of(key) for key in self.wheel} == {
            key: tick for key, (tick, _) in self.model.items()
        }
        assert len(self.wheel) == len(self.model)

    @invariant()
    def never_sleeps_past_a_due_tick(self) -> None:
        stop = self.wheel.next_due()
        assert (stop is None) == (not self.model)
        if stop is not None:
            first = min(tick for tick, _ in self.model.values())
            assert self.wheel.now <= stop <= max(first, self.wheel.now)

    @invariant()
    def every_key_and_every_set_bit_has_its_place(self) -> None:
        wheel = self.wheel
        assert wheel._occupied == sum(1 << place for place, slot in enumerate(wheel._slots) if slot)
        assert sorted(wheel._window) == sorted(wheel._run + wheel._new)
        assert all(tick < wheel._end for tick in wheel._window)
        lists = [*wheel._window.items(), *(item for slot in wheel._slots for item in slot.items())]
        assert len(lists) == len(dict(lists)), "a tick is in two places"
        copies = [(key, tick) for tick, keys in lists for key in _all(keys)]
        assert len(copies) == wheel._entries >= len(self.model)
        assert {(key, tick) for key, (tick, _) in self.model.items()} <= set(copies)


def _all(keys: int | list[int]) -> list[int]:
    return keys if isinstance(keys, list) else [keys]


WheelAgainstDict.TestCase.settings = settings(
    max_examples=150, stateful_step_count=40, deadline=None
)
TestWheelAgainstDict = pytest.mark.slow(WheelAgainstDict.TestCase)


class CrowdedWheelAgainstDict(WheelAgainstDict):
    """The same where two ticks are many already, and two stale keys too many."""

    def __init__(self) -> None:
        super().__init__()
        self.patch = pytest.MonkeyPatch()
        for name in ("FEW", "MANY", "MOST_STALE"):
            self.patch.setattr(wheels, name, 1)

    def teardown(self) -> None:
        self.patch.undo()


CrowdedWheelAgainstDict.TestCase.settings = WheelAgainstDict.TestCase.settings
TestCrowdedWheelAgainstDict = pytest.mark.slow(CrowdedWheelAgainstDict.TestCase)


@pytest.mark.parametrize("now", [0, 1, LEAF - 1, LEAF, REACH[1] - 1, THIS_YEAR])
@pytest.mark.parametrize("distance", [*BORDERS[1:], YEAR_9999])
def test_a_key_comes_out_at_its_tick_and_not_one_earlier(now: int, distance: int) -> None:
    wheel: Wheel[str] = Wheel(now)
    wheel.insert("key", now + distance)
    assert wheel.advance(now + distance - 1) == []
    assert wheel.advance(now + distance) == [(now + distance, "key")]
    assert len(wheel) == 0
    assert wheel.next_due() is None


def test_an_empty_wheel_has_no_stop_and_turns_freely() -> None:
    wheel: Wheel[str] = Wheel()
    assert wheel.next_due() is None
    assert wheel.advance(YEAR_9999) == []
    assert wheel.now == YEAR_9999


def test_a_wheel_never_turns_back() -> None:
    wheel: Wheel[str] = Wheel(10)
    with pytest.raises(AssertionError, match="never turns back"):
        wheel.advance(9)


def test_what_is_late_comes_out_at_once_in_the_order_of_its_ticks() -> None:
    wheel: Wheel[str] = Wheel(5_000)
    wheel.insert("now", 5_000)
    wheel.insert("late", 4_000)
    wheel.insert("before the epoch", -1)
    wheel.insert("soon", 5_001)
    assert wheel.next_due() == 5_000
    assert wheel.advance(5_000) == [(-1, "before the epoch"), (4_000, "late"), (5_000, "now")]
    assert wheel.advance(5_001) == [(5_001, "soon")]


def test_equal_ticks_come_in_the_order_of_insertion_whenever_they_were_inserted() -> None:
    wheel: Wheel[str] = Wheel()
    tick = 3 * REACH[3] + 5
    wheel.insert("three levels up", tick)
    wheel.advance(tick - REACH[2])
    wheel.insert("two levels up", tick)
    wheel.advance(tick - REACH[0])
    wheel.insert("one level up", tick)
    wheel.advance(tick - 1)
    wheel.insert("in the open leaf", tick)
    assert [key for _, key in wheel.advance(tick)] == [
        "three levels up",
        "two levels up",
        "one level up",
        "in the open leaf",
    ]


def test_a_moved_key_queues_behind_its_equals() -> None:
    wheel: Wheel[str] = Wheel()
    for key in "abc":
        wheel.insert(key, 70_000)
    wheel.insert("a", 70_000)
    assert [key for _, key in wheel.advance(70_000)] == ["b", "c", "a"]


def test_a_cancelled_key_leaves_no_stop_behind() -> None:
    wheel: Wheel[int] = Wheel(THIS_YEAR)
    for key, distance in enumerate(BORDERS):
        wheel.insert(key, THIS_YEAR + distance)
    for key in range(len(BORDERS)):
        assert wheel.cancel(key)
        assert not wheel.cancel(key)
    assert wheel.next_due() is None
    assert wheel.advance(YEAR_9999 + THIS_YEAR) == []
    assert not wheel._window
    assert not wheel._run
    assert not wheel._new
    assert not wheel._occupied
    assert not wheel._entries


@pytest.mark.parametrize("far", [0, *REACH])
def test_timeouts_that_are_set_and_cancelled_for_ever_leave_little_behind(far: int) -> None:
    wheel: Wheel[int] = Wheel(THIS_YEAR)
    for number in range(10 * MOST_STALE):
        wheel.insert(number, THIS_YEAR + far + number)
        assert wheel.cancel(number)
        wheel.next_due()
    wheel.insert(-1, THIS_YEAR)
    wheel.next_due()
    held = len(wheel._window) + sum(map(len, wheel._slots))
    assert held <= MOST_STALE + 2


def test_a_key_that_was_cancelled_and_came_back_is_behind_its_equals() -> None:
    wheel: Wheel[str] = Wheel()
    for key in "abc":
        wheel.insert(key, 70_000)
    wheel.cancel("a")
    wheel.insert("a", 70_000)
    wheel.cancel("b")
    assert wheel.advance(70_000) == [(70_000, "c"), (70_000, "a")]


def test_next_due_is_exact_for_few_keys_and_a_bound_for_many() -> None:
    far = 5 * REACH[3]
    wheel: Wheel[int] = Wheel()
    for key in range(FEW):
        wheel.insert(key, far + 1 + key)
    assert wheel.next_due() == far + 1
    wheel = Wheel()
    for key in range(FEW + 1):
        wheel.insert(key, far + 1 + key)
    assert wheel.next_due() == far
    assert wheel.advance(far) == []
    assert wheel.next_due() == far + 1


def test_many_keys_before_the_next_one_do_not_become_one_heap() -> None:
    wheel: Wheel[int] = Wheel(THIS_YEAR)
    wheel.insert(-1, THIS_YEAR + REACH[4])
    assert wheel.next_due() == THIS_YEAR + REACH[4]
    count = 5 * MANY
    for key in range(count):
        wheel.insert(key, THIS_YEAR + REACH[3] * (count - key) // count)
    assert len(wheel._new) <= MANY
    assert [key for _, key in wheel.advance(THIS_YEAR + REACH[4])] == [
        *range(count - 1, -1, -1),
        -1,
    ]


@pytest.mark.slow
def test_a_hundred_thousand_keys_of_one_slot_come_out_in_one_batch_in_order() -> None:
    count = 100_000
    tick = THIS_YEAR + 60_000
    due: list[tuple[int, int]] = []

    def fill_and_advance() -> None:
        wheel: Wheel[int] = Wheel(THIS_YEAR)
        for key in range(count):
            wheel.insert(key, tick)
        due[:] = wheel.advance(tick)
        assert len(wheel) == 0

    assert turns(fill_and_advance) < 1_000  # about 100; a search for each key would take 100,000
    assert due == [(tick, key) for key in range(count)]


def test_two_wheels_with_the_same_past_say_the_same() -> None:
    def life() -> list[tuple[int, str]]:
        wheel: Wheel[str] = Wheel(THIS_YEAR)
        seen: list[tuple[int, str]] = []
        for step in range(2_000):
            wheel.insert(f"key-{step % 97}", wheel.now + step * step * 37 % (3 * REACH[1]))
            if step % 5 == 0:
                wheel.cancel(f"key-{step * 31 % 97}")
            if step % 3 == 0:
                seen += wheel.advance(wheel.now + step * 17 % (2 * LEAF))
        return seen

    assert life() == life()
    assert len(life()) > 300
