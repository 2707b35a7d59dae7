"""Fixtures of the tests of the SQLite store."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from luad.clock import Now
from luad.core.events import ClaimRun, InstallJob
from luad.core.model import Interval, Job, Run, Trigger
from luad.store import Store

NOW = 1_800_000_000_000


class HandClock:
    """A clock that stands still."""

    def now(self) -> Now:
        return Now(NOW, 0)


@pytest.fixture
def state(tmp_path: Path) -> Path:
    return tmp_path / "state"


@pytest.fixture
def open_store(state: Path) -> Callable[[], Store]:
    return lambda: Store.open(state, clock=HandClock())


@pytest.fixture
def claim() -> Callable[..., ClaimRun]:
    """A claim of the n-th occurrence."""

    def make(number: int, **changes: Any) -> ClaimRun:
        fields: dict[str, Any] = {
            "id": f"run_{number:026d}",
            "job_name": "backup",
            "job_id": "job_backup",
            "revision": "r1",
            "trigger": Trigger.SCHEDULE,
            "scheduled_for": NOW + number,
            "fire_at": NOW + number,
            "claimed_at": NOW + number,
        }
        return ClaimRun(Run(**(fields | changes)))

    return make


@pytest.fixture
def install() -> InstallJob:
    job = Job("backup", "m:f", Interval(1_000), "r1", definition={"name": "backup"})
    return InstallJob("job_backup", job, None, NOW)


@pytest.fixture
def is_sound() -> Callable[[Path], bool]:
    """Does SQLite itself find nothing wrong with a database."""

    def check(database: Path) -> bool:
        connection = sqlite3.connect(database)
        try:
            return connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        finally:
            connection.close()

    return check


# For each line on standard input a fork runs `main`, which writes for ever.
IMPORTS = """
import asyncio, os, sys
from dataclasses import replace
from pathlib import Path
from luad.clock import SystemClock
from luad.core.model import Creation, Job, Once, Run, RunState, Trigger
from luad.store import Store
"""

LIVES = """
async def main(life):
    store = Store.open(Path(sys.argv[1]), clock=SystemClock())
    assert store.quarantined is None, store.problem
    await asyncio.gather(*(write(store, life, lane) for lane in range(4)))

for line in sys.stdin:
    child = os.fork()
    if not child:
        asyncio.run(main(int(line)))
    os.write(1, f"pid {child}\\n".encode())
    os.waitpid(child, 0)
    os.write(1, b"dead\\n")
"""


@pytest.fixture
def lives_of(state: Path) -> Iterator[Callable[[str], Callable[[int], list[str]]]]:
    """Take the text of a coroutine `write(store, life, lane)`, which prints each acknowledged key.

    Return a function that runs four lanes of it in a process, kills the process once so many keys are
    acknowledged, and returns the printed keys.
    """
    writers: list[subprocess.Popen[str]] = []

    def start(script: str) -> Callable[[int], list[str]]:
        writer = subprocess.Popen(
            [sys.executable, "-c", IMPORTS + script + LIVES, str(state)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        writers.append(writer)
        numbers = iter(range(1_000))
        return lambda until: _one_life(writer, next(numbers), until)

    yield start
    for writer in writers:
        assert writer.stdin is not None
        assert writer.stdout is not None
        writer.stdin.close()
        writer.wait()
        writer.stdout.close()


def _one_life(writer: subprocess.Popen[str], number: int, until: int) -> list[str]:
    assert writer.stdin is not None
    assert writer.stdout is not None
    print(number, file=writer.stdin, flush=True)
    pid = 0
    seen: list[str] = []
    for line in writer.stdout:
        word = line.strip()
        if word == "dead":
            return seen
        if word.startswith("pid "):
            pid = int(word.removeprefix("pid "))
        else:
            seen.append(word)
        if pid and len(seen) >= until:
            os.kill(pid, signal.SIGKILL)
            until = 1_000_000_000
    raise AssertionError("the writer has ended")
