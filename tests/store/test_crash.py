"""kill -9: what was acknowledged is there afterwards, and the database is whole."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from luad.store import Store

pytestmark = pytest.mark.slow

# Writes batches, several at a time, and names each one on standard output once it is acknowledged.
WRITER = """
from luad.core.events import ClaimRun, SaveRun

async def write(store, life, lane):
    for number in range(1_000_000):
        key = f"{life:03d}{lane}{number:06d}"
        run = Run(f"run_{key}", "backup", "job_backup", "r", Trigger.SCHEDULE, int(key), 0, int(key))
        assert await store.apply([ClaimRun(run)]) == ()
        over = replace(run, state=RunState.SUCCEEDED, ended_at=1)
        await store.apply([SaveRun(over)])
        await store.append_logs(run.id, [{"ts": 1, "message": "x" * 300}] * 5)
        os.write(1, f"{run.id}\\n".encode())
"""


async def test_what_was_acknowledged_survives(
    state: Path,
    lives_of: Callable[[str], Callable[[int], list[str]]],
    open_store: Callable[[], Store],
    is_sound: Callable[[Path], bool],
) -> None:
    acknowledged: list[str] = []
    live = lives_of(WRITER)
    for number in range(12):
        acknowledged += live(1 + number * 7)
        assert is_sound(state / "luad.db")
    with closing(open_store()) as store:
        assert store.quarantined is None
        for run_id in acknowledged:
            row = await store.run(run_id)
            assert row.run.state == "succeeded"
            assert len(await store.read_logs(run_id)) == 5
