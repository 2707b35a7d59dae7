"""The pytest plugin that comes with luad.

Rule: every pytest on this machine imports this; luad itself is imported by whoever uses it.
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
    """Make the job files of the folders that were named tests."""
    folders = [Path(each).absolute() for each in parent.config.getoption("--luad-check")]
    if file_path.parent in folders and file_path.suffix in {".yaml", ".yml"}:
        found: pytest.Collector = JobFile.from_parent(parent, path=file_path)
        return found
    return None


def pytest_configure(config: pytest.Config) -> None:
    """Look into the folders that were named, besides where tests are looked for anyway."""
    config.args += [each for each in config.getoption("--luad-check") if each not in config.args]


def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    """Run a test that is ``async def``, when no plugin that is there for that has taken it.

    pytest-asyncio, anyio and their like hand on a plain function, or answer first.
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
        """Yield the one test of a file."""
        yield JobFileItem.from_parent(self, name="luad-check")


def _check(form: str, paths: Iterable[Path]) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "luad", "check", "--format", form, *map(str, paths)]
    return subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 - ours


def _suspects(paths: list[Path]) -> set[Path]:
    """Check all files in one process; return those that have to be looked at one by one.

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
    """What `luad check` says of a file: it imports the handlers, too."""

    def runtest(self) -> None:
        """Check the file; its errors are the failure."""
        stash = self.config.stash
        if _SUSPECTS not in stash:
            stash[_SUSPECTS] = _suspects([each.path for each in _of_kind(self.session.items)])
        if self.path not in stash[_SUSPECTS]:
            return
        checked = _check("full", [self.path])
        if checked.returncode:
            raise JobFileError(checked.stdout or checked.stderr)

    def repr_failure(self, excinfo: Any, style: Any = None) -> Any:
        """Show the problems as `luad check` does."""
        if isinstance(excinfo.value, JobFileError):
            return str(excinfo.value)
        return super().repr_failure(excinfo, style)

    def reportinfo(self) -> tuple[Path, int | None, str]:
        """Say where the test is."""
        return self.path, None, f"luad check {self.path.name}"


class JobFileError(Exception):
    """A job file has errors."""


class AsyncWorld:
    """`luad.testing.World`, with time that is awaited."""

    def __init__(self, world: World) -> None:
        self._world = world

    async def advance(self, distance: Any) -> None:
        """Let time pass, from one due instant to the next, until everything that fires has ended."""
        await asyncio.to_thread(self._world.advance, distance)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._world, name)


@pytest.fixture
def luad_jobs_sync() -> Iterator[World]:
    """An empty luad on a clock that stands still; `luad.sync` leads to it."""
    from luad.testing.world import World

    with World() as world:
        yield world


@pytest.fixture
def luad_jobs(luad_jobs_sync: World) -> AsyncWorld:
    """An empty luad on a clock that stands still; `luad.Jobs` and `luad.User` lead to it."""
    return AsyncWorld(luad_jobs_sync)
