"""kill -9: what was acknowledged is there afterwards, and the database is whole."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from luad.store import Store

pytestmark = pytest.mark.slow

# Waits for a word on standard input; then a fork of it writes batches, several at a time, and names
# each one on standard output once it is acknowledged.
WRITER = """
import asyncio, os, sys
from dataclasses import replace
from pathlib import Path
from luad.clock import SystemClock
from luad.core.events import ClaimRun, SaveRun
from luad.core.model import Run, RunState, Trigger
from luad.store import Store

async def write(store, round_number, lane):
    for number in range(1_000_000):
        key = f"{round_number:03d}{lane}{number:06d}"
        run = Run(f"run_{key}", "backup", "job_backup", "r", Trigger.SCHEDULE, int(key), 0, int(key))
        assert await store.apply([ClaimRun(run)]) == ()
        over = replace(run, state=RunState.SUCCEEDED, ended_at=1)
        await store.apply([SaveRun(over)])
        await store.append_logs(run.id, [{"ts": 1, "message": "x" * 300}] * 5)
        os.write(1, f"{run.id}\\n".encode())

async def main(round_number):
    store = Store.open(Path(sys.argv[1]), clock=SystemClock())
    assert store.quarantined is None, store.problem
    await asyncio.gather(*(write(store, round_number, lane) for lane in range(4)))

for line in sys.stdin:
    child = os.fork()
    if not child:
        asyncio.run(main(int(line)))
    os.write(1, f"pid {child}\\n".encode())
    os.waitpid(child, 0)
    os.write(1, b"dead\\n")
"""


@pytest.fixture
def writer(state: Path) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        [sys.executable, "-c", WRITER, str(state)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    yield process
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.close()
    process.wait()
    process.stdout.close()


async def test_what_was_acknowledged_survives(
    state: Path,
    writer: subprocess.Popen[str],
    open_store: Callable[[], Store],
    is_sound: Callable[[Path], bool],
) -> None:
    acknowledged: list[str] = []
    for number in range(12):
        acknowledged += one_life(writer, number, until=1 + number * 7)
        assert is_sound(state / "luad.db")
    with closing(open_store()) as store:
        assert store.quarantined is None
        for run_id in acknowledged:
            row = await store.run(run_id)
            assert row.run.state == "succeeded"
            assert len(await store.read_logs(run_id)) == 5


def one_life(writer: subprocess.Popen[str], number: int, until: int) -> list[str]:
    """Let a store write until it has acknowledged *until* runs, then kill it, whatever it does."""
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
