"""The log of writes is moved by somebody who is not the writer, and retention does not outrun it."""

from __future__ import annotations

import asyncio
import shutil
import sqlite3
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from luad.core.events import ClaimRun
from luad.core.model import DAY
from luad.store import Store
from luad.store.sqlite.checkpoints import LONG_LOG_KIB, Checkpoints
from luad.store.sqlite.connect import READERS, _checkpoint


@contextmanager
def kept_busy(threads: Executor, count: int) -> Iterator[threading.Event]:
    """Have *count* of the threads do nothing else until the event is set, at the latest in the end."""
    go = threading.Event()
    for _ in range(count):
        threads.submit(go.wait)
    try:
        yield go
    finally:
        go.set()


@contextmanager
def held_up(state: Path) -> Iterator[tuple[Checkpoints, threading.Event]]:
    """A checkpoint makes no progress until the event is set."""
    with ThreadPoolExecutor(1) as threads, kept_busy(threads, 1) as go:
        yield Checkpoints(state / "luad.db", threads), go


async def test_it_is_waited_for_and_there_is_one_at_a_time(
    state: Path, open_store: Callable[[], Store]
) -> None:
    open_store().close()
    with held_up(state) as (checkpoints, go):
        await checkpoints.wait()  # none is under way
        assert not checkpoints.start_if_long(LONG_LOG_KIB - 1)
        assert checkpoints.start_if_long(LONG_LOG_KIB)
        assert not checkpoints.start_if_long(LONG_LOG_KIB)
        waiting = asyncio.create_task(checkpoints.wait())
        done, _ = await asyncio.wait({waiting}, timeout=0.05)
        assert not done
        go.set()
        await waiting
        assert checkpoints.start_if_long(LONG_LOG_KIB)


async def test_who_no_longer_waits_for_it_does_not_end_it(
    state: Path, open_store: Callable[[], Store]
) -> None:
    open_store().close()
    with held_up(state) as (checkpoints, go):
        assert checkpoints.start_if_long(LONG_LOG_KIB)
        waiting = asyncio.create_task(checkpoints.wait())
        await asyncio.sleep(0)
        waiting.cancel()
        await asyncio.wait({waiting})
        go.set()
        await checkpoints.wait()
        assert checkpoints.start_if_long(LONG_LOG_KIB)  # else the log would never be moved again


async def test_a_slice_of_retention_waits_while_the_log_is_moved(
    open_store: Callable[[], Store], claim: Callable[..., ClaimRun]
) -> None:
    with closing(open_store()) as store:
        old = [claim(number, claimed_at=0, scheduled_for=number) for number in range(3)]
        await store.apply(old)
        limits = {"history_ms": DAY, "runs_per_job": 1, "logs_ms": DAY}
        assert not (await store.prune(100 * DAY, **limits, slice_size=1)).is_done
        with kept_busy(store._backend.threads, READERS) as go:
            assert store._backend._checkpoints.start_if_long(LONG_LOG_KIB)
            slice_done = asyncio.create_task(store.prune(100 * DAY, **limits, slice_size=1))
            done, _ = await asyncio.wait({slice_done}, timeout=0.1)
            assert not done
            go.set()
            await slice_done


class Meddled(sqlite3.Connection):
    """A connection that lets somebody else do something before its n-th statement."""

    before: dict[int, Callable[[], object]]
    count: int = 0

    def execute(self, *arguments: Any) -> sqlite3.Cursor:
        self.count += 1
        self.before.get(self.count, int)()
        return super().execute(*arguments)


def test_a_rest_that_a_reader_left_is_moved_as_soon_as_he_is_gone(
    state: Path, open_store: Callable[[], Store], claim: Callable[..., ClaimRun]
) -> None:
    with closing(open_store()) as store:
        asyncio.run(store.apply([claim(1)]))
        path = state / "luad.db"
        with (
            closing(sqlite3.connect(path, isolation_level=None)) as reader,
            closing(sqlite3.connect(path, factory=Meddled)) as checkpoints,
        ):
            reader.execute("BEGIN")
            reader.execute("SELECT count(*) FROM runs").fetchall()
            asyncio.run(store.apply([claim(2)]))
            checkpoints.before = {3: lambda: reader.execute("COMMIT")}
            _checkpoint(checkpoints)
            alone = shutil.copy(path, state / "without-the-log.db")
        with closing(sqlite3.connect(alone)) as connection:
            assert connection.execute("SELECT count(*) FROM runs").fetchall() == [(2,)]
