"""A saved file costs the same steps among few files and among many; so does a portion of the slow rescan."""

from __future__ import annotations

import gc
from pathlib import Path

import pytest

from luad.clock import SystemClock
from luad.config.jobs.catalogue import Catalogue
from luad.config.settings.daemon_settings import Settings
from luad.core.events import ConfigChanged, ConfigLoaded
from luad.core.model import Now, Wanted
from luad.daemon.wiring import config_reader
from tests.support.call_steps import steps_of
from tests.support.engine_bench import Bench

FEW, MANY = 40, 640
PORTION = 20


class Later(SystemClock):
    """A clock long after the files were written, so that no status is too recent to be trusted."""

    def now(self) -> Now:
        now = super().now()
        return Now(now.wall + 60_000, now.elapsed)


class Files:
    """*count* job files that a reader has read, and whose jobs an engine has."""

    def __init__(self, folder: Path, count: int) -> None:
        self.folder = folder / "jobs.d"
        self.folder.mkdir(parents=True)
        for number in range(count):
            self.save(number, "1h")
        settings = Settings(
            jobs=(self.folder,), handlers_path=folder / "handlers", state_dir=folder, users=()
        )
        self.reader = config_reader(settings, Catalogue(settings), Later())
        self.bench = Bench()
        first = self.reader.read()
        assert len(first.wanted) == count
        self.bench.feed(ConfigLoaded(first.wanted))
        self.reader.delivered(first)

    def save(self, number: int, every: str) -> str:
        path = self.folder / f"job-{number:04}.yaml"
        path.write_text(
            f"name: job-{number:04}\nhandler: work:note\n"
            f"schedule: {{type: interval, every: {every}}}\n"
        )
        return str(path)

    def change(self, number: int, every: str) -> None:
        reading = self.reader.read(hints=[self.save(number, every)])
        assert list(reading.items) == [f"job-{number:04}"]
        assert not reading.wanted
        self.bench.feed(ConfigChanged(reading.items))
        self.reader.delivered(reading)

    def rescan(self) -> None:
        paths = [str(self.folder / f"job-{number:04}.yaml") for number in range(PORTION)]
        reading = self.reader.read(hints=paths, is_portion=True)
        self.reader.delivered(reading)


@pytest.mark.parametrize("what", ["change", "rescan"])
def test_the_steps_do_not_grow_with_the_number_of_files(tmp_path: Path, what: str) -> None:
    found = []
    for number, count in enumerate((FEW, FEW, MANY)):  # the first one has caches to fill
        files = Files(tmp_path / f"{number}", count)
        files.rescan()
        files.change(5, "3h")
        call = files.rescan if what == "rescan" else lambda files=files: files.change(7, "4h")
        found.append(steps_of(call))
    _, few, many = found
    assert many < few + MANY / 4


def test_one_mapping_of_all_jobs_is_left_after_the_first_reading(tmp_path: Path) -> None:
    files = Files(tmp_path, FEW)
    files.reader.settle()
    gc.collect()
    assert sum(_has_wanted(each) for each in gc.get_objects()) == 1
    files.change(3, "2h")  # what is delivered later is complete


def _has_wanted(each: object) -> bool:
    return type(each) is dict and isinstance(each.get("job-0003"), Wanted) and len(each) == FEW
