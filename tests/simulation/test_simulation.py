"""The whole engine against worlds made of dice: whatever happens, the promises hold."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from checker import violations
from world import World

STEPS = 400
FOUND_SEEDS = {"steady clock": [10, 11, 19], "stepped clock": [6, 16, 27, 29, 119, 130]}


def live(seed: int, *, with_clock_steps: bool) -> World:
    world = World(seed, with_clock_steps=with_clock_steps)
    for _ in range(STEPS):
        world.step()
    return world


@pytest.mark.slow
@pytest.mark.parametrize("first_seed", range(0, 120, 20))
def test_the_promises_hold_through_crashes_and_reloads(first_seed: int) -> None:
    for seed in range(first_seed, first_seed + 20):
        assert violations(live(seed, with_clock_steps=False)) == [], f"seed {seed}"


@pytest.mark.slow
@pytest.mark.parametrize("first_seed", range(0, 160, 40))
def test_the_promises_hold_when_the_clock_is_stepped(first_seed: int) -> None:
    for seed in range(first_seed, first_seed + 40):
        assert violations(live(seed, with_clock_steps=True)) == [], f"seed {seed}"


@pytest.mark.parametrize("seed", FOUND_SEEDS["steady clock"])
def test_a_seed_that_once_found_a_mistake_stays_clean(seed: int) -> None:
    assert violations(live(seed, with_clock_steps=False)) == []


@pytest.mark.parametrize("seed", FOUND_SEEDS["stepped clock"])
def test_a_seed_that_once_found_a_mistake_with_clock_steps_stays_clean(seed: int) -> None:
    assert violations(live(seed, with_clock_steps=True)) == []


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
