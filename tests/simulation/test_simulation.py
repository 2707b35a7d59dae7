"""The whole engine against worlds made of dice: whatever happens, the promises hold."""

from __future__ import annotations

import sys
from collections import Counter
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from busy import BusyWorld
from campaign import judge
from checker import violations
from world import World

STEPS = 400
FOUND_SEEDS = {"steady clock": [10, 11, 19], "stepped clock": [6, 16, 27, 29, 119, 130]}
FOUND_BUSY_SEEDS = [0, 1, 4, 30, 81]


def live(seed: int, *, with_clock_steps: bool) -> World:
    world = World(seed, with_clock_steps=with_clock_steps)
    for _ in range(STEPS):
        world.step()
    return world


def live_busily(seed: int, *, with_clock_steps: bool = False) -> BusyWorld:
    world = BusyWorld(seed, with_clock_steps=with_clock_steps)
    for _ in range(STEPS):
        world.step()
        assert world.broken == [], f"seed {seed}"
    return world


@pytest.mark.slow
@pytest.mark.parametrize("first_seed", range(0, 80, 20))
def test_the_promises_hold_through_crashes_and_reloads(first_seed: int) -> None:
    for seed in range(first_seed, first_seed + 20):
        assert violations(live(seed, with_clock_steps=False)) == [], f"seed {seed}"


@pytest.mark.slow
@pytest.mark.parametrize("first_seed", range(0, 120, 40))
def test_the_promises_hold_when_the_clock_is_stepped(first_seed: int) -> None:
    for seed in range(first_seed, first_seed + 40):
        assert violations(live(seed, with_clock_steps=True)) == [], f"seed {seed}"


@pytest.mark.parametrize("seed", FOUND_SEEDS["steady clock"])
def test_a_seed_that_once_found_a_mistake_stays_clean(seed: int) -> None:
    assert violations(live(seed, with_clock_steps=False)) == []


@pytest.mark.parametrize("seed", FOUND_SEEDS["stepped clock"])
def test_a_seed_that_once_found_a_mistake_with_clock_steps_stays_clean(seed: int) -> None:
    assert violations(live(seed, with_clock_steps=True)) == []


@pytest.mark.slow
@pytest.mark.parametrize("first_seed", range(100, 140, 20))
def test_they_hold_for_jobs_that_are_made_and_changed_meanwhile(first_seed: int) -> None:
    for seed in range(first_seed, first_seed + 20):
        assert violations(live_busily(seed)) == [], f"seed {seed}"


@pytest.mark.slow
@pytest.mark.parametrize("first_seed", range(100, 140, 20))
def test_also_when_the_clock_is_stepped(first_seed: int) -> None:
    for seed in range(first_seed, first_seed + 20):
        assert violations(live_busily(seed, with_clock_steps=True)) == [], f"seed {seed}"


@pytest.mark.parametrize("seed", FOUND_BUSY_SEEDS)
def test_a_seed_that_once_found_a_mistake_with_dynamic_jobs_stays_clean(seed: int) -> None:
    assert violations(live_busily(seed)) == []


def test_a_seed_replays_exactly() -> None:
    one, other = (live(7, with_clock_steps=True) for _ in range(2))
    assert one.starts == other.starts
    assert one.store.runs == other.store.runs


def test_the_worlds_are_eventful() -> None:
    """A simulation in which nothing happens proves nothing."""
    worlds = [live(seed, with_clock_steps=False) for seed in range(10)]
    states = {run.state.value for world in worlds for run in world.store.runs.values()}
    reasons = {skip.reason.value for world in worlds for _, skip in world.store.skips.values()}
    assert {"succeeded", "failed", "timed_out", "cancelled", "lost"} <= states
    assert {"overlap", "paused", "coalesced", "removed", "downtime"} <= reasons
    assert sum(world.crashes for world in worlds) > 50


def test_the_busy_worlds_are_eventful() -> None:
    worlds = [live_busily(seed) for seed in range(10, 20)]
    happened = sum((world.outcomes for world in worlds), Counter())
    expected = {"created", "kept", "replaced", "refused", "left", "forgotten", "alert", "recovery"}
    expected |= {f"{each}Requested None" for each in ("Change", "Delete", "Metadata")}
    expected |= {f"{each}Requested file_owned" for each in ("Change", "Delete")}
    expected |= {"MetadataRequested precondition_failed", "ChangeRequested conflict"}
    assert {each for each in expected if happened[each] < 5} == set()
    assert sum(world.crashes for world in worlds) > 50
    assert sum(bool(world.engine._state.shadowed) for world in worlds) > 0


@pytest.mark.parametrize("seed", [4, 7])
def test_the_campaign_judges_a_seed(seed: int) -> None:
    assert judge(seed) == []
