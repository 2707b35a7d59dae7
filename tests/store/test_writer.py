"""One writer: what waits is committed together, what is urgent goes first, readers disturb nobody."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from contextlib import closing

import pytest
from sqlalchemy import event

from luad.core.events import ClaimRun
from luad.store import Store


@pytest.fixture
def store(open_store: Callable[[], Store]) -> Iterator[Store]:
    with closing(open_store()) as opened:
        yield opened


async def test_what_waits_goes_into_one_commit(
    store: Store, claim: Callable[..., ClaimRun]
) -> None:
    commits: list[object] = []
    event.listen(store._backend._writer._engine, "commit", commits.append)
    refused = await asyncio.gather(*(store.apply([claim(number)]) for number in range(200)))
    assert refused == [()] * 200
    assert len(commits) < 50


async def test_each_batch_hears_of_its_own_refusals(
    store: Store, claim: Callable[..., ClaimRun]
) -> None:
    rivals = [claim(number, id=f"run_rival{number}", scheduled_for=7) for number in range(3)]
    outcomes = await asyncio.gather(*(store.apply([claim(1), each]) for each in rivals))
    assert outcomes == [(), ("run_rival1",), ("run_rival2",)]


async def test_claims_pass_log_lines_that_wait(
    store: Store, claim: Callable[..., ClaimRun]
) -> None:
    await store.apply([claim(1)])
    text = [{"ts": 1, "message": "x" * 60_000}]
    ended: list[str] = []

    async def log() -> None:
        await store.append_logs(claim(1).run.id, text)
        ended.append("log")

    async def apply() -> None:
        await store.apply([claim(2)])
        ended.append("claim")

    gate = threading.Event()
    store._transactions.write_later(
        lambda _: gate.wait(60)
    )  # all are handed over before one is written
    waiting = [asyncio.ensure_future(work) for work in (*(log() for _ in range(200)), apply())]
    await asyncio.sleep(0)
    gate.set()
    await asyncio.gather(*waiting)
    assert ended.index("claim") < 150


async def test_a_slow_reader_keeps_nobody_from_writing(
    store: Store, claim: Callable[..., ClaimRun]
) -> None:
    await store.apply([claim(1)])
    is_reading, may_go_on = threading.Event(), threading.Event()

    def read_slowly(connection: object) -> int:
        del connection
        is_reading.set()
        assert may_go_on.wait(60)
        return 1

    loop = asyncio.get_running_loop()
    slow = loop.run_in_executor(None, store._transactions.ask, read_slowly)
    await loop.run_in_executor(None, is_reading.wait)
    assert await store.apply([claim(2)]) == ()
    assert len((await store.runs())[0]) == 2
    may_go_on.set()
    assert await slow == 1


async def test_everything_that_was_handed_over_is_written_before_the_end(
    open_store: Callable[[], Store], claim: Callable[..., ClaimRun]
) -> None:
    store = open_store()
    waiting = [asyncio.ensure_future(store.apply([claim(number)])) for number in range(50)]
    lines = asyncio.ensure_future(store.append_logs(claim(1).run.id, [{"message": "x"}]))
    await asyncio.sleep(0)
    store.close()
    assert await asyncio.gather(*waiting) == [()] * 50
    await lines
    with closing(open_store()) as again:
        assert len(again.restore().open_runs) == 50
        assert len(await again.read_logs(claim(1).run.id)) == 1
