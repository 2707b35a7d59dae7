"""The pytest plugin that comes with luad.

Room rule: every pytest on this machine imports this; luad itself is imported by whoever uses it.
"""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

    from luad.testing.world import World


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


class JobFile(pytest.File):
    """A job file."""

    def collect(self) -> Iterator[pytest.Item]:
        """Yield the one test of a file."""
        yield JobFileItem.from_parent(self, name="luad-check")


class JobFileItem(pytest.Item):
    """What `luad check` would say of a file."""

    def runtest(self) -> None:
        """Check the file; its errors are the failure."""
        from luad.config.jobs import load_file
        from luad.config.problems import render_full
        from luad.config.settings import Settings
        from luad.errors import Severity

        problems = load_file(str(self.path), self.path.read_bytes(), settings=Settings()).problems
        errors = [each for each in problems if each.severity is Severity.ERROR]
        if errors:
            raise JobFileError(render_full(errors))

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
