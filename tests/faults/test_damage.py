"""A database that is damaged or cut off, at 200 places: luad starts, keeps what it found, and works.

The places are spread evenly, so that every page has some. Most are tried on the store itself; a real
daemon gets a few, and the ones that matter most.
"""

from __future__ import annotations

import asyncio
import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from faults.ordeal import beset

from luad.clock import SystemClock
from luad.core.events import ClaimRun, InstallJob, SaveRun
from luad.core.model import DAY, Ending, EndKind, Interval, Job, Run, RunError, RunState, Trigger
from luad.store import Store, StoreCorruptError

PLACES = 200
NOW = 1_800_000_000_000


def run_number(number: int) -> Run:
    at = NOW + 1_000 * number
    return Run(f"run_{number:026d}", "tidy", "job_tidy", "r", Trigger.SCHEDULE, at, at, at)


async def fill(state: Path) -> None:
    """A job, and runs in every shape: ended well and badly, with output, still open."""
    with closing(Store.open(state, clock=SystemClock())) as store:
        job = Job("tidy", "m:f", Interval(1_000), "r", definition={"name": "tidy"})
        await store.apply([InstallJob("job_tidy", job, None, NOW)])
        runs = [run_number(number) for number in range(200)]
        await store.apply([ClaimRun(run) for run in runs])
        for run in runs[:100]:
            error = RunError("ValueError", "no such file " * 20, "Traceback\n" * 20)
            ending = Ending(EndKind.RAISED, NOW, error=error)
            over = Run(
                **{**as_fields(run), "state": RunState.FAILED, "ended_at": NOW, "ending": ending}
            )
            await store.apply([SaveRun(over)])
            await store.append_logs(run.id, [{"ts": NOW, "message": "line " * 30}] * 4)


def as_fields(run: Run) -> dict[str, object]:
    return {name: getattr(run, name) for name in run.__slots__}


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    state = tmp_path_factory.mktemp("whole") / "state"
    asyncio.run(fill(state))
    content = (state / "luad.db").read_bytes()
    assert len(content) > 40 * 4096
    return content


async def open_and_use(state: Path) -> int:
    """Start and work twice at most: what the first start does not see is met and told, and then gone.

    Return how many databases were set aside.
    """
    for _ in range(2):
        try:
            with closing(Store.open(state, clock=SystemClock())) as store:
                store.restore()
                if store.quarantined is not None:  # a fresh one is tried elsewhere
                    break
                assert await store.apply([ClaimRun(run_number(1_000))]) == ()
                await store.append_logs(run_number(1_000).id, [{"ts": 1, "message": "x"}])
                cursor: str | None = None
                while True:
                    rows, cursor = await store.runs(limit=100, cursor=cursor)
                    assert rows
                    if cursor is None:
                        break
                await store.read_runs_logs(tail=1_000)
                limits = {"history_ms": 1, "runs_per_job": 10, "logs_ms": 1}
                while not (await store.prune(NOW + 365 * DAY, **limits)).is_done:
                    pass
                return 0
        except StoreCorruptError:
            continue
    else:
        pytest.fail("the damage is met again and again")
    return len(set_aside(state))


def harm(content: bytes, number: int) -> bytes:
    """Of four places one is where it ends, one has a sector of rubbish, two have another byte."""
    place = number * len(content) // PLACES
    if number % 4 == 3:
        return content[:place]
    size = 512 if number % 4 == 2 else 1
    patch = bytes(each ^ 0xA5 for each in content[place : place + size])
    return content[:place] + patch + content[place + len(patch) :]


@pytest.fixture
def quick_folder(tmp_path: Path) -> Iterator[Path]:
    """A folder in memory, where there is one: what is synced is not what is tried here."""
    memory = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=memory if memory.is_dir() else tmp_path) as folder:
        yield Path(folder)


@pytest.mark.slow
async def test_a_database_that_is_harmed_at_any_of_200_places_stops_nobody(
    quick_folder: Path, whole: bytes
) -> None:
    found = 0
    for number in range(PLACES):
        state = quick_folder / f"{number}"
        state.mkdir()
        (state / "luad.db").write_bytes(harm(whole, number))
        found += await open_and_use(state)
        shutil.rmtree(state)
    assert found > PLACES // 3, "most of it is in use, and damage to it shows"


def cut_in_half(content: bytes) -> bytes:
    return content[: len(content) // 2]


def overwritten(content: bytes) -> bytes:
    return content[:8_192] + b"rubbish!" * 2_048 + content[8_192 + 8 * 2_048 :]


def test_a_daemon_with_a_harmed_database_says_so_and_runs_its_jobs(tmp_path: Path) -> None:
    daemon = beset(tmp_path)
    with daemon:
        daemon.wait_for("run.ended", job="each", status="succeeded")
    for times, spoil in enumerate((cut_in_half, overwritten), start=1):
        harmed = spoil((daemon.state / "luad.db").read_bytes())
        (daemon.state / "luad.db").write_bytes(harmed)
        daemon.lines.clear()
        with daemon:
            daemon.wait_for("run.ended", job="each", status="succeeded")
            (told,) = [line for line in daemon.lines if line["event"] == "store.corrupt"]
            assert told["level"] == "critical"
            assert Path(told["set_aside"]).read_bytes() == harmed
        assert len(set_aside(daemon.state)) == times
    (daemon.state / "luad.db").write_bytes(b"")  # nothing is nothing to keep
    with daemon:
        daemon.wait_for("run.ended", job="each", status="succeeded")
    assert len(set_aside(daemon.state)) == 2


def set_aside(state: Path) -> list[str]:
    return [
        each.name
        for each in state.iterdir()
        if re.fullmatch(r".*\.corrupt-\d+T\d+Z(-\d+)?", each.name)
    ]
