"""The whole daemon but its hands against months made of dice: whatever happens, the promises hold."""

from __future__ import annotations

import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
from simulation.campaign import digest, judge, live, wrong_with
from simulation.cluster_world import ClusterWorld
from simulation.history import Acknowledged, Found, Loaded, Slept, Stepped, Stopped, StoreFailed
from simulation.scenery import FAULTS
from simulation.world import MONTH, World

TESTS = Path(__file__).parents[1]
CHUNK = 80
CLUSTER_CHUNK = 20


@pytest.mark.slow
@pytest.mark.parametrize("first_seed", range(0, 6 * CHUNK, CHUNK))
def test_no_promise_is_broken_in_any_month(first_seed: int) -> None:
    for seed in range(first_seed, first_seed + CHUNK):
        assert judge(seed) == [], (
            f"PYTHONPATH=tests python -m simulation.campaign --seed {seed} --verbose"
        )


@pytest.mark.slow
@pytest.mark.parametrize("first_seed", range(0, 2 * CLUSTER_CHUNK, CLUSTER_CHUNK))
def test_no_promise_is_broken_in_any_month_of_a_cluster(first_seed: int) -> None:
    happened: Counter[str] = Counter()
    for seed in range(first_seed, first_seed + CLUSTER_CHUNK):
        world = live(seed, is_cluster=True)
        assert isinstance(world, ClusterWorld)
        happened += world.happened
        assert wrong_with(world) == [], (
            f"PYTHONPATH=tests python -m simulation.campaign --cluster --seed {seed} --verbose"
        )
    expected = {"taken", "given", "killed", "lost", "cut before", "cut after", "judged", "stall"}
    expected |= {"dies", "is cut off", "fetcher", "task"}
    assert {each for each in expected if not happened[each]} == set(), "they are eventful"


@pytest.mark.slow
def test_the_promises_hold_wherever_the_daemon_dies() -> None:
    """One life, ended at every point before and after every single effect."""
    points = _live_to_the_end(None).burnt
    assert points > 30
    for point in range(points):
        assert wrong_with(_live_to_the_end(point)) == [], f"it dies at point {point}"


def _live_to_the_end(dies_at: int | None) -> World:
    world = World(4, faults=frozenset({"dense"}))
    world.fuse = dies_at
    for _ in range(12):
        world.live_or_die(world.step)
    world.fuse = None
    world.heal()
    for _ in range(6):
        world.wait()
    assert world.crashes >= (dies_at is not None)
    return world


@pytest.mark.slow
def test_a_seed_replays_exactly_whatever_the_order_of_sets_is() -> None:
    digests = {
        subprocess.run(
            [sys.executable, "-m", "simulation.campaign", "--seeds", "8", "--digest"],
            env={**os.environ, "PYTHONHASHSEED": hash_seed},
            cwd=TESTS,
            capture_output=True,
            text=True,
            check=True,
        ).stdout.strip()
        for hash_seed in ("0", "1", "2")
    }
    assert digests == {digest(range(8))}
    assert digest(range(8)) != digest(range(1, 9))


@pytest.mark.slow
def test_the_months_are_eventful() -> None:
    """A simulation in which nothing happens proves nothing."""
    worlds, histories = [], []
    for seed in range(60):
        worlds.append(live(seed))
        histories.append(worlds[-1].history())
    assert all(history.steady >= MONTH for history in histories)
    assert {fault for world in worlds for fault in world.chosen} == set(FAULTS)
    states = {row.run.state.value for history in histories for row in history.rows}
    assert states >= {"succeeded", "failed", "timed_out", "cancelled", "lost", "skipped", "missed"}
    reasons = {row.run.reason.value for each in histories for row in each.rows if row.run.reason}
    assert reasons >= {"overlap", "paused", "coalesced", "removed", "downtime", "clock"}
    assert reasons >= {"replaced", "requested", "stopped"}
    kinds = Counter(type(fact) for history in histories for fact in history.log)
    for kind in (Acknowledged, Found, Loaded, Slept, Stepped, Stopped, StoreFailed):
        assert kinds[kind] > 20, kind
    happened = sum((world.outcomes for world in worlds if hasattr(world, "outcomes")), Counter())
    expected = {"created", "kept", "replaced", "refused", "left", "alert", "recovery"}
    expected |= {"made room", "rested"}
    expected |= {f"{each}Requested None" for each in ("Change", "Delete", "Metadata")}
    expected |= {f"{each}Requested file_owned" for each in ("Change", "Delete")}
    expected |= {"MetadataRequested precondition_failed"}
    assert {each for each in expected if not happened[each]} == set()


def test_a_world_that_falls_over_breaks_something(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise ZeroDivisionError("as it happens")

    monkeypatch.setattr("luad.core.claims.Claims.apply", fail)
    assert "as it happens" in judge(0)[0]
