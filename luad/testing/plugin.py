"""luad's pytest plugin.

Rule: every pytest on a machine with luad imports this module, so the fixtures import luad at their first use.
"""

from __future__ import annotations

import asyncio
import inspect
import json
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from luad.testing.world import World

_SUSPECTS = pytest.StashKey[set[Path]]()
"""The job files of this session that may have errors."""

_OTHERS = frozenset({"anyio", "asyncio", "tornado", "trio", "twisted"})
"""Markers of plugins that run asynchronous tests in their own way."""


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add ``--luad-check``."""
    parser.getgroup("luad").addoption(
        "--luad-check",
        action="append",
        default=[],
        metavar="DIR",
        help="make every job file of this folder a test of its own",
    )


def pytest_collect_file(file_path: Path, parent: pytest.Collector) -> pytest.Collector | None:
    """Return a collector for each job file of the folders in ``--luad-check``."""
    folders = [Path(each).absolute() for each in parent.config.getoption("--luad-check")]
    if file_path.parent in folders and file_path.suffix in {".yaml", ".yml"}:
        found: pytest.Collector = JobFile.from_parent(parent, path=file_path)
        return found
    return None


def pytest_configure(config: pytest.Config) -> None:
    """Add the folders in ``--luad-check`` to those that pytest searches."""
    config.args += [each for each in config.getoption("--luad-check") if each not in config.args]


def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    """Run an ``async def`` test that no other plugin runs.

    pytest-asyncio, anyio and similar plugins pass on a plain function, or run the test first.
    """
    marks = {mark.name for mark in pyfuncitem.iter_markers()}
    if not inspect.iscoroutinefunction(pyfuncitem.obj) or marks & _OTHERS:
        return None
    names = inspect.signature(pyfuncitem.obj).parameters
    asyncio.run(pyfuncitem.obj(**{name: pyfuncitem.funcargs[name] for name in names}))
    return True


class JobFile(pytest.File):
    """A job file."""

    def collect(self) -> Iterator[pytest.Item]:
        """Yield the one test of the file."""
        yield JobFileItem.from_parent(self, name="luad-check")


def _check(form: str, paths: Iterable[Path]) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "luad", "check", "--format", form, *map(str, paths)]
    return subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 - ours


def _suspects(paths: list[Path]) -> set[Path]:
    """Check all files in one process; return those to check one by one.

    A process for each file would import every handler again.
    """
    checked = _check("json", paths)
    if not checked.returncode:
        return set()
    try:
        named = {Path(each["filename"]).resolve() for each in json.loads(checked.stdout)}
    except (ValueError, KeyError, TypeError):  # the check itself has failed
        return set(paths)
    found = {each for each in paths if each.resolve() in named}
    return found or set(paths)


def _of_kind(items: list[pytest.Item]) -> list[JobFileItem]:
    return [each for each in items if isinstance(each, JobFileItem)]


class JobFileItem(pytest.Item):
    """The test of a file by `luad check`, which also imports its handlers."""

    def runtest(self) -> None:
        """Check the file; raise `JobFileError` with its errors."""
        stash = self.config.stash
        if _SUSPECTS not in stash:
            stash[_SUSPECTS] = _suspects([each.path for each in _of_kind(self.session.items)])
        if self.path not in stash[_SUSPECTS]:
            return
        checked = _check("full", [self.path])
        if checked.returncode:
            raise JobFileError(checked.stdout or checked.stderr)

    def repr_failure(self, excinfo: Any, style: Any = None) -> Any:
        """Return the problems in the format of `luad check`."""
        if isinstance(excinfo.value, JobFileError):
            return str(excinfo.value)
        return super().repr_failure(excinfo, style)

    def reportinfo(self) -> tuple[Path, int | None, str]:
        """Return the place of the test."""
        return self.path, None, f"luad check {self.path.name}"


class JobFileError(Exception):
    """A job file has errors."""


class AsyncWorld:
    """A `luad.testing.World` whose `advance` is awaited."""

    def __init__(self, world: World) -> None:
        self._world = world

    async def advance(self, distance: Any) -> None:
        """Move the clock from one due instant to the next, and wait until all runs have ended."""
        await asyncio.to_thread(self._world.advance, distance)

    def __getattr__(self, name: str) -> object:
        return getattr(self._world, name)


@pytest.fixture
def luad_jobs_sync() -> Iterator[World]:
    """An empty luad on a virtual clock, for `luad.sync`."""
    from luad.testing.world import World

    with World() as world:
        yield world


@pytest.fixture
def luad_jobs(luad_jobs_sync: World) -> AsyncWorld:
    """An empty luad on a virtual clock, for `luad.Jobs` and `luad.User`."""
    return AsyncWorld(luad_jobs_sync)
