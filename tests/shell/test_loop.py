"""The one loop: what shares a turn and a commit, what does not wait, and how long a turn may be."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from contextlib import suppress
from itertools import pairwise
from typing import Any

import pytest
from support.engine_bench import START, make_job

from luad.core.engine import Engine
from luad.core.events import (
    AttemptEnded,
    AttemptStarted,
    ClaimRun,
    ConfigLoaded,
    Event,
    Record,
    SaveRun,
    StartAttempt,
    Ticked,
)
from luad.core.model import (
    Cron,
    Ending,
    EndKind,
    Instant,
    Now,
    ProcessIdentity,
    Trigger,
    Wanted,
)
from luad.core.requests import TriggerRequested
from luad.core.state import PORTION, Bounds
from luad.daemon import loop as daemon_loop
from luad.daemon.loop import Loop

EVERY_MINUTE = Cron("* * * * *")


class Bed:
    """A loop with an engine of *count* jobs, and all that it does, in batches."""

    def __init__(self, count: int, capacity: int = 1_000) -> None:
        self.now_ms = START
        self.engine = Engine(Bounds(capacity), self.now())
        self.batches: list[Sequence[Record]] = []
        self.started: list[StartAttempt] = []
        self.turns = 0
        self.alarm_at: Instant | None = None
        self.committed = asyncio.Event()
        self.loop = Loop(
            self.engine,
            self,
            self,
            self,
            on_turn=self.note_turn,
            on_store=lambda _: None,
            make_alarm=lambda _: self,
        )
        jobs = [make_job(f"job-{n}", EVERY_MINUTE) for n in range(count)]
        self.loop.post(ConfigLoaded({job.name: Wanted(job) for job in jobs}))

    # --- what the loop is given ---

    def now(self) -> Now:
        return Now(self.now_ms, self.now_ms)

    async def apply(self, records: Sequence[Record]) -> tuple[str, ...]:
        self.batches.append(records)
        self.committed.set()
        return ()

    def set(self, at: Instant | None) -> None:
        self.alarm_at = at

    def close(self) -> None:
        pass

    def start(self, action: StartAttempt) -> None:
        self.started.append(action)

    def stop(self, _: Any) -> None:
        pass

    deliver = reply = release_output = log = stop

    def note_turn(self) -> None:
        self.turns += 1

    # --- what the tests do ---

    def post_start(self, number: int) -> None:
        run = self.started[number].run
        self.loop.post(AttemptStarted(run.id, 1, self.now_ms, ProcessIdentity(1, 2, "boot")))

    def post_end(self, number: int) -> None:
        run = self.started[number].run
        self.loop.post(AttemptEnded(run.id, 1, Ending(EndKind.RETURNED, self.now_ms)))

    async def quiet(self) -> None:
        """Let the loop turn until it waits for the alarm or for lingering reports."""
        for _ in range(20):
            await asyncio.sleep(0)

    async def next_batch(self) -> Sequence[Record]:
        self.committed.clear()
        await asyncio.wait_for(self.committed.wait(), 30)
        return self.batches[-1]

    async def fire(self) -> None:
        """Let the next minute come, and all portions of it."""
        self.now_ms += 60_000
        self.loop.post(Ticked())
        await self.quiet()
        while self.engine.is_behind:
            assert self.alarm_at is not None
            assert self.alarm_at <= self.now_ms, "what is left is due at once"
            self.loop.post(Ticked())
            await self.quiet()


def bed_test(count: int, capacity: int = 1_000) -> Callable[[Any], Any]:
    def decorate(test: Callable[[Bed], Any]) -> Callable[[], None]:
        def run() -> None:
            async def main() -> None:
                bed = Bed(count, capacity)
                turning = asyncio.create_task(bed.loop.run(lambda: False))
                await bed.quiet()
                try:
                    await test(bed)
                finally:
                    turning.cancel()
                    with suppress(asyncio.CancelledError):
                        await turning

            asyncio.run(main())

        run.__name__ = test.__name__
        return run

    return decorate


@bed_test(3)
async def test_reports_share_a_turn_and_a_commit(bed: Bed) -> None:
    await bed.fire()
    before = len(bed.batches)
    for number in range(3):
        bed.post_start(number)
    bed.post_end(0)
    await bed.quiet()
    assert len(bed.batches) == before, "they wait for others"
    records = await bed.next_batch()
    assert [each.is_start for each in records if isinstance(each, SaveRun)] == [1, 1, 1, 0]
    assert len(bed.batches) == before + 1


@bed_test(3)
async def test_a_claim_does_not_wait_and_takes_the_reports_along(bed: Bed) -> None:
    await bed.fire()
    bed.post_start(0)
    await bed.quiet()
    before = len(bed.batches)
    bed.loop.post(TriggerRequested("r1", "job-1", Trigger.MANUAL, force=True))
    await bed.quiet()
    assert len(bed.batches) == before + 1
    kinds = {type(each) for each in bed.batches[-1]}
    assert kinds == {ClaimRun, SaveRun}


@bed_test(1)
async def test_the_end_of_the_only_run_does_not_wait(bed: Bed) -> None:
    await bed.fire()
    bed.post_start(0)
    bed.post_end(0)
    before = len(bed.batches)
    await bed.quiet()
    assert len(bed.batches) == before + 1


@bed_test(3, capacity=2)
async def test_an_end_that_a_run_waits_for_does_not_wait(bed: Bed) -> None:
    await bed.fire()
    assert len(bed.started) == 2
    bed.post_start(0)
    bed.post_end(0)
    await bed.quiet()
    assert len(bed.started) == 3


@bed_test(2)
async def test_the_alarm_is_set_while_reports_wait(bed: Bed) -> None:
    await bed.fire()
    bed.post_start(0)
    bed.alarm_at = None
    bed.loop.post(Ticked())
    bed.post_start(1)
    await bed.quiet()
    assert bed.alarm_at == bed.now_ms + 60_000 - bed.now_ms % 60_000


@bed_test(5 * PORTION)
async def test_a_herd_is_fired_in_portions_and_every_job_fires_once(bed: Bed) -> None:
    await bed.fire()
    sizes = [sum(isinstance(each, ClaimRun) for each in batch) for batch in bed.batches]
    assert sum(sizes) == 5 * PORTION
    assert max(sizes) <= PORTION
    assert len({each.run.job_name for each in bed.started}) == 5 * PORTION


@bed_test(2 * PORTION)
async def test_other_tasks_run_between_the_effects_of_a_turn(bed: Bed) -> None:
    seen: list[int] = []

    async def look() -> None:
        while True:
            seen.append(len(bed.started))
            await asyncio.sleep(0)

    other = asyncio.create_task(look())
    await bed.fire()
    other.cancel()
    assert seen[-1] == 2 * PORTION
    assert max(after - before for before, after in pairwise(seen)) <= daemon_loop._ACTIONS


@bed_test(250)
async def test_a_turn_takes_a_portion_of_the_reports(
    bed: Bed,
) -> None:
    await bed.fire()
    before = len(bed.batches)
    for number in range(250):
        bed.post_start(number)
    await bed.quiet()
    sizes = [len(batch) for batch in bed.batches[before:]]
    assert sum(sizes) == 250
    assert max(sizes) <= daemon_loop.PORTION


@bed_test(2 * PORTION)
async def test_a_request_waits_until_all_is_fired_that_was_due_before_it(bed: Bed) -> None:
    bed.now_ms += 60_000
    ask: list[Event] = [TriggerRequested("r1", "job-0", Trigger.MANUAL, force=True)]
    first = bed.engine.handle(ask, bed.now())
    assert bed.engine.is_behind
    rest = bed.engine.handle([], bed.now())
    claims = [each.run for each in (*first, *rest) if isinstance(each, ClaimRun)]
    assert [each.trigger for each in claims].index(Trigger.MANUAL) == 2 * PORTION


@pytest.fixture(autouse=True)
def _no_timed_lingering(monkeypatch: pytest.MonkeyPatch) -> None:
    """Reports wait long enough to be seen waiting on a busy machine."""
    monkeypatch.setattr(daemon_loop, "LINGER_S", 0.5)
