"""Tools that some tests need: `pytest.mark.needs("strace")`.

Where that is missing they are left out, and the summary says so; with LUAD_SYSTEM_TESTS=required they run (and
fail) all the same.
"""

from __future__ import annotations

import os
import shutil
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from postgres import choose_folder, end_server, postgres_url

__all__ = ["postgres_url"]  # a fixture

# A busy machine is not a mistake: hypothesis must not judge how long an example takes.
settings.register_profile("luad", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("luad")

TOOLS = ("strace", "unshare", "chromium")
IS_REQUIRED = os.environ.get("LUAD_SYSTEM_TESTS") == "required"
LACKS = [] if IS_REQUIRED else [tool for tool in TOOLS if not shutil.which(tool)]


TESTS = Path(__file__).parent
FIRST = ("test_doc_commands.py", "test_systemd.py", "test_migrations.py")
"""Files with few tests that take a minute."""
SLOWEST = (
    "system",
    "faults",
    "shell",
    "web",
    "store",
    "cli",
    "runner",
    "simulation",
    "soak",
    "api",
)

STOPS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def pytest_configure() -> None:
    """Give SIGINT back where the shell started the tests in the background: children inherit it.

    The folder of the PostgreSQL server is chosen here, before the workers start.
    """
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    choose_folder()


def pytest_unconfigure() -> None:
    end_server()


@pytest.fixture(autouse=True)
def path_stays() -> Iterator[None]:
    """Take back what a test adds to `sys.path`: a folder of handlers would be one of installed packages."""
    before = list(sys.path)
    yield
    sys.path[:] = before


@pytest.fixture(autouse=True)
def signals_stay() -> Iterator[None]:
    """Fail a test that leaves SIGINT, SIGTERM or SIGHUP changed: later daemons would inherit it."""
    before = {each: signal.getsignal(each) for each in STOPS}
    yield
    after = {each: signal.getsignal(each) for each in STOPS}
    for number, handler in before.items():
        signal.signal(number, handler)
    assert after == before


def lacks_something(item: pytest.Item) -> bool:
    """Whether the machine has not what *item* needs."""
    return any(tool in LACKS for mark in item.iter_markers("needs") for tool in mark.args)


def in_turn(item: pytest.Item) -> tuple[bool, int]:
    """Sort the files that take longest first, so that none of them begins when the others are done."""
    place = item.path.relative_to(TESTS)
    folder = place.parts[0]
    rank = SLOWEST.index(folder) if folder in SLOWEST else len(SLOWEST)
    return place.name not in FIRST, rank


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    items.sort(key=in_turn)
    left_out = [item for item in items if lacks_something(item)]
    if left_out:
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if not lacks_something(item)]


def pytest_terminal_summary(terminalreporter: Any) -> None:
    if LACKS:
        terminalreporter.write_line(f"left out what needs {', '.join(LACKS)}", yellow=True)
