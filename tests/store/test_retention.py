"""The cost of retention for the writer, in steps of the database, on a clock that is moved by hand."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import pytest
from sqlalchemy import event

from luad.clock import Now
from luad.core.events import ClaimRun, InstallJob
from luad.core.model import DAY, Interval, Job, RunState
from luad.store import Store
from luad.store.query_types import Pruned

NOW = 1_800_000_000_000


@dataclass
class LookingClock:
    """A clock that moves when it is looked at, or told to."""

    elapsed: int = 0
    look_ms: int = 0

    def now(self) -> Now:
        self.elapsed += self.look_ms
        return Now(NOW, self.elapsed)


@pytest.fixture
def clock() -> LookingClock:
    return LookingClock()


@pytest.fixture
def store(state: Path, clock: LookingClock) -> Iterator[Store]:
    with closing(Store.open(state, clock=clock)) as opened:
        yield opened


async def forget(store: Store, slice_size: int = 500) -> Pruned:
    return await store.prune(
        NOW, history_ms=30 * DAY, runs_per_job=1_000, logs_ms=14 * DAY, slice_size=slice_size
    )


async def test_a_commit_that_takes_long_makes_the_next_slices_short(
    store: Store, clock: LookingClock, claim: Callable[..., ClaimRun]
) -> None:
    at = [NOW - 40 * DAY + number for number in range(900)]
    done = {"state": RunState.CANCELLED}
    await store.apply(
        [
            claim(number, scheduled_for=each, fire_at=each, claimed_at=each, **done)
            for number, each in enumerate(at)
        ]
    )
    clock.look_ms = 1
    well = [(await forget(store)).runs for _ in range(3)]
    commit_ms = [200]
    event.listen(
        store._backend._writer._engine, "commit", lambda _: clock_moves(clock, commit_ms[0])
    )
    slow = [(await forget(store)).runs for _ in range(6)]
    assert slow[-1] == 1
    assert slow[1] < min(well)
    commit_ms[0] = 0
    again = [(await forget(store)).runs for _ in range(12)]
    assert again[-1] >= min(well)


def clock_moves(clock: LookingClock, by_ms: int) -> None:
    clock.elapsed += by_ms


def installed(number: int, at: int) -> InstallJob:
    name = f"job-{number}"
    definition = {"name": name, "handler": "m:f", "schedule": {"type": "interval", "seconds": 60}}
    job = Job(name, "m:f", Interval(60_000), revision="r1", definition=definition)
    return InstallJob(f"job_{number}", job, None, at)


async def test_a_pass_without_anything_to_remove_costs_the_writer_the_same_with_many_jobs(
    store: Store,
) -> None:
    async def steps(first: int, count: int) -> int:
        old = NOW - 90 * DAY
        await store.apply([installed(number, old) for number in range(first, first + count)])
        connection = store._backend._writer._connection
        assert connection is not None
        driver = connection.connection.driver_connection
        assert driver is not None
        seen = 0

        def see() -> int:
            nonlocal seen
            seen += 1
            return 0

        driver.set_progress_handler(see, 100)
        while not (await forget(store)).is_done:
            pass
        driver.set_progress_handler(None, 0)
        return seen

    few = await steps(0, 10)
    many = await steps(10, 2_000)
    assert many <= few + 20
