"""Wishes become readings, one at a time, whatever happens to one of them."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path

import pytest

from luad.clock import SystemClock
from luad.config.jobs.catalogue import Catalogue
from luad.config.settings.daemon_settings import Settings
from luad.core.plan import Plan
from luad.daemon.file_reading import ConfigReader, Reading, UserReader
from luad.daemon.reloading import Answer, Reloader
from luad.watcher import Hints, SnapshotReader


class Slow(ConfigReader):
    """A reader whose readings wait until the test lets them go on."""

    def __init__(self, folder: Path) -> None:
        super().__init__(*parts_of(folder))
        self.count = 0
        self.has_begun = threading.Event()
        self.may_go_on = threading.Event()

    def read(
        self, *, is_settled: bool = False, hints: Hints = None, is_portion: bool = False
    ) -> Reading:
        self.count += 1
        self.has_begun.set()
        assert self.may_go_on.wait(60)
        return super().read(is_settled=is_settled, hints=hints, is_portion=is_portion)


class Stumbling(ConfigReader):
    """A reader that fails as long as it is told to."""

    must_fail = True

    def read(
        self, *, is_settled: bool = False, hints: Hints = None, is_portion: bool = False
    ) -> Reading:
        if self.must_fail:
            raise RuntimeError("out of memory")
        return super().read(is_settled=is_settled, hints=hints, is_portion=is_portion)


def parts_of(folder: Path) -> tuple[SnapshotReader, Catalogue, SystemClock, UserReader]:
    users = UserReader(Settings(), lambda: SnapshotReader([]))
    return SnapshotReader([folder]), Catalogue(Settings()), SystemClock(), users


def apply(_: Reading) -> Answer:
    answer: Answer = asyncio.get_running_loop().create_future()
    answer.set_result(Plan())
    return answer


async def test_whoever_asks_during_a_reading_shares_the_next_one(tmp_path: Path) -> None:
    reader = Slow(tmp_path)
    failures: list[Exception] = []
    reloader = Reloader(reader, apply, failures.append)
    running = asyncio.create_task(reloader.run(None))
    first = reloader.ask()
    await asyncio.to_thread(reader.has_begun.wait, 60)
    others = [reloader.ask() for _ in range(200)]
    reader.may_go_on.set()
    await asyncio.gather(first, *others)
    assert (reader.count, failures) == (2, [])
    running.cancel()


async def test_a_reading_that_fails_is_told_and_the_next_one_goes_well(tmp_path: Path) -> None:
    reader = Stumbling(*parts_of(tmp_path))
    failures: list[Exception] = []
    reloader = Reloader(reader, apply, failures.append)
    running = asyncio.create_task(reloader.run(None))
    with pytest.raises(RuntimeError, match="out of memory"):
        await reloader.ask()
    reader.must_fail = False
    reading, _ = await reloader.ask()
    assert reading.file_count == 0
    assert [str(error) for error in failures] == ["out of memory"]
    running.cancel()
