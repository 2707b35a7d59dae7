"""A world that fails: full disks, foreign locks, files that go away."""

from __future__ import annotations

import asyncio
import os
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from luad.core.events import ClaimRun, InstallJob
from luad.core.model import DAY
from luad.errors import StoreUnavailableError
from luad.store import Store, StoreReplacedError


async def test_a_deleted_database_is_noticed_and_not_written_to(
    state: Path, open_store: Callable[[], Store], claim: Callable[..., ClaimRun]
) -> None:
    with closing(open_store()) as store:
        await store.apply([claim(1)])
        assert store.check_identity()
        (state / "luad.db").unlink()
        assert not store.check_identity()
        assert not store.is_writable
        with pytest.raises(StoreReplacedError, match="deleted or replaced"):
            await store.apply([claim(2)])
    assert not (state / "luad.db").exists()


async def test_a_database_put_in_its_place_is_not_written_to(
    state: Path, open_store: Callable[[], Store], claim: Callable[..., ClaimRun]
) -> None:
    with closing(open_store()) as store:
        await store.apply([claim(1)])
        other = state / "other"
        other.write_bytes(b"precious")
        other.replace(state / "luad.db")
        with pytest.raises(StoreReplacedError):
            await store.apply([claim(2)])
    assert (state / "luad.db").read_bytes() == b"precious"


@pytest.mark.slow
async def test_a_foreign_lock_is_waited_for_and_then_reported(
    state: Path, open_store: Callable[[], Store], claim: Callable[..., ClaimRun]
) -> None:
    with closing(open_store()) as store:
        await store.apply([claim(1)])
        with closing(sqlite3.connect(state / "luad.db", isolation_level=None)) as foreign:
            foreign.execute("BEGIN EXCLUSIVE")
            attempts = [store.apply([claim(number)]) for number in (2, 3)]
            outcomes = await asyncio.gather(*attempts, return_exceptions=True)
            assert [type(each) for each in outcomes] == [StoreUnavailableError] * 2
            assert not store.is_writable
            assert "locked" in store.last_error
            assert len((await store.runs())[0]) == 1  # reading goes on
            foreign.execute("ROLLBACK")
        assert await store.apply([claim(2), claim(3)]) == ()
        assert store.is_writable


async def test_a_foreign_lock_that_is_let_go_in_time_is_no_failure(
    state: Path, open_store: Callable[[], Store], claim: Callable[..., ClaimRun]
) -> None:
    with closing(open_store()) as store:
        await store.apply([claim(1)])
        with closing(sqlite3.connect(state / "luad.db", isolation_level=None)) as foreign:
            foreign.execute("BEGIN EXCLUSIVE")
            waiting = asyncio.ensure_future(store.apply([claim(2)]))
            await asyncio.sleep(0)
            foreign.execute("COMMIT")
            assert await waiting == ()


async def test_a_table_that_is_gone_is_our_mistake_and_no_unavailability(
    state: Path,
    open_store: Callable[[], Store],
    install: InstallJob,
    claim: Callable[..., ClaimRun],
) -> None:
    with closing(open_store()) as store:
        with closing(sqlite3.connect(state / "luad.db")) as foreign:
            foreign.execute("DROP TABLE runs")
        outcomes = await asyncio.gather(
            store.apply([claim(1)]), store.apply([install]), return_exceptions=True
        )
        assert not isinstance(outcomes[0], StoreUnavailableError)
        assert isinstance(outcomes[0], Exception)
        assert "secret" not in str(outcomes[0])
        assert outcomes[1] == ()


async def test_errors_do_not_tell_what_users_wrote(
    state: Path, open_store: Callable[[], Store], claim: Callable[..., ClaimRun]
) -> None:
    with closing(open_store()) as store:
        with closing(sqlite3.connect(state / "luad.db")) as foreign:
            foreign.execute("DROP TABLE runs")
        with pytest.raises(Exception, match="no such table") as raised:
            await store.apply([claim(1, metadata={"token": "hunter2"})])
        assert "hunter2" not in str(raised.value)


@pytest.mark.slow
async def test_a_log_of_writes_does_not_grow_for_ever(
    state: Path, open_store: Callable[[], Store], claim: Callable[..., ClaimRun]
) -> None:
    with closing(open_store()) as store:
        text = [{"ts": 1, "message": "x" * 60_000}]
        await store.apply([claim(1)])
        for _ in range(600):  # 36 MB
            await store.append_logs(claim(1).run.id, text)
        assert (state / "luad.db-wal").stat().st_size < 32 * 1024 * 1024


@pytest.mark.slow
async def test_what_is_forgotten_is_given_back_to_the_disk(
    state: Path, open_store: Callable[[], Store], claim: Callable[..., ClaimRun]
) -> None:
    with closing(open_store()) as store:
        await store.apply([claim(1, claimed_at=0)])
        text = [{"ts": 1, "message": "x" * 60_000}]
        for _ in range(400):  # 24 MB
            await store.append_logs(claim(1).run.id, text)
        before = store.size_bytes()
        slices = 1
        while not (
            await store.prune(100 * DAY, history_ms=DAY, runs_per_job=1, logs_ms=DAY)
        ).is_done:
            slices += 1
        assert before > 24_000_000
        assert store.size_bytes() < 12_000_000
        assert slices < 30
    assert (state / "luad.db").stat().st_size < 6_000_000


# In a mount namespace of its own, on a disk of 3 MiB.
FULL_DISK = """
import asyncio, os, subprocess, sys
from pathlib import Path
subprocess.run(["mount", "-t", "tmpfs", "-o", "size=3m", "tmpfs", sys.argv[1]], check=True)
from luad.clock import SystemClock
from luad.core.events import ClaimRun
from luad.core.model import Run, Trigger
from luad.core.model import DAY
from luad.errors import StoreUnavailableError
from luad.store import Store

state = Path(sys.argv[1]) / "state"
ballast = Path(sys.argv[1]) / "ballast"

def claims(first):
    return [
        ClaimRun(Run(f"run_{n:026d}", "j", "job_j", "r", Trigger.SCHEDULE, n, n, n))
        for n in range(first, first + 50)
    ]

def fill_the_disk():
    with ballast.open("wb", buffering=0) as file:
        for size in (65536, 4096, 1):
            try:
                while True:
                    file.write(b"x" * size)
            except OSError:
                pass

async def main():
    store = Store.open(state, clock=SystemClock())
    assert await store.apply(claims(0)) == ()
    fill_the_disk()
    failed_at = None
    for first in range(1000, 200_000, 50):
        try:
            await store.apply(claims(first))
        except StoreUnavailableError as error:
            failed_at = first
            print("refused:", error.message)
            break
    assert failed_at is not None
    assert not store.is_writable
    try:
        await store.append_logs(f"run_{1:026d}", [{"message": "x" * 100_000}])
    except StoreUnavailableError:
        print("logs refused")
    before, _ = await store.runs(limit=1)
    assert before[0].run.claimed_at < failed_at, "a refused batch has left rows"
    ballast.unlink()
    assert await store.apply(claims(failed_at)) == ()
    assert store.is_writable
    await store.append_logs(f"run_{1:026d}", [{"message": "x"}])
    store.close()
    again = Store.open(state, clock=SystemClock())
    assert again.quarantined is None, again.problem
    again.close()
    print("fine")

asyncio.run(main())
"""


@pytest.mark.slow
def test_a_full_disk_refuses_and_recovers(tmp_path: Path) -> None:
    command = ["unshare", "--mount"] if os.geteuid() == 0 else ["unshare", "-Urm"]
    done = subprocess.run(
        [*command, sys.executable, "-c", FULL_DISK, str(tmp_path)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "full" in done.stdout
    assert done.stdout.endswith("logs refused\nfine\n")


async def test_a_read_only_database_is_reported(
    state: Path, open_store: Callable[[], Store], claim: Callable[..., ClaimRun]
) -> None:
    with closing(open_store()) as store:
        await store.apply([claim(1)])
    (state / "luad.db").rename(state / "moved")
    (state / "luad.db").mkdir()
    with pytest.raises(StoreUnavailableError, match="cannot be opened"):
        open_store()
