"""Wishes become readings, one at a time, whatever happens to one of them."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from luad.clock import SystemClock
from luad.config.jobs.catalogue import Catalogue
from luad.config.settings.daemon_settings import Settings
from luad.core.plan import Plan
from luad.daemon.file_reading import ConfigReader, Reading, UserReader
from luad.daemon.reloading import Answer, Reloader
from luad.watcher import Hints, SnapshotReader


class Stumbling(ConfigReader):
    """A reader that fails as long as it is told to."""

    must_fail = True

    def read(
        self, *, is_settled: bool = False, hints: Hints = None, is_portion: bool = False
    ) -> Reading:
        if self.must_fail:
            raise RuntimeError("out of memory")
        return super().read(is_settled=is_settled, hints=hints, is_portion=is_portion)


async def test_a_reading_that_fails_is_told_and_the_next_one_goes_well(tmp_path: Path) -> None:
    reader = Stumbling(
        SnapshotReader([tmp_path]),
        Catalogue(Settings()),
        SystemClock(),
        UserReader(Settings(), lambda: SnapshotReader([])),
    )
    failures: list[Exception] = []

    def apply(_: Reading) -> Answer:
        answer: Answer = asyncio.get_running_loop().create_future()
        answer.set_result(Plan())
        return answer

    reloader = Reloader(reader, apply, failures.append)
    running = asyncio.create_task(reloader.run(None))
    with pytest.raises(RuntimeError, match="out of memory"):
        await reloader.ask()
    reader.must_fail = False
    reading, _ = await reloader.ask()
    assert reading.file_count == 0
    assert [str(error) for error in failures] == ["out of memory"]
    running.cancel()
