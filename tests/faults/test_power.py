"""Power that fails: what was not synced is gone.

strace tells when the log of writes was written to, when it was synced, and when a claim was answered.
So it is known for every answer how much of the log is certainly on the disk at that moment. A
database with just so much of its log has to hold every claim that was answered by then.
"""

from __future__ import annotations

import os
import re
import shutil
import sqlite3
import subprocess
import sys
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import pytest
from faults.ordeal import is_sound

from luad.clock import SystemClock
from luad.store import Store

pytestmark = pytest.mark.needs("strace")

CLAIMS = 40
# Claims runs one after the other and notes each one in a file once the store has taken it; ends
# without closing, so that the log of writes is still there.
WRITER = """
import asyncio, os, sys
from dataclasses import replace
from pathlib import Path
from luad.clock import SystemClock
from luad.core.events import ClaimRun, SaveRun
from luad.core.model import Run, RunState, Trigger
from luad.store import Store

async def main():
    store = Store.open(Path(sys.argv[1]), clock=SystemClock())
    answers = os.open(sys.argv[2], os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    for number in range(int(sys.argv[3])):
        run = Run(f"run_{number:026d}", "j", "job_j", "r", Trigger.SCHEDULE, number, number, number)
        assert await store.apply([ClaimRun(run)]) == ()
        os.write(answers, f"{run.id}\\n".encode())
        if number % 3 == 0:
            await store.append_logs(run.id, [{"ts": 1, "message": "x" * 2_000}])
            await store.apply([SaveRun(replace(run, state=RunState.SUCCEEDED, ended_at=1))])
    os._exit(0)

asyncio.run(main())
"""
CALL = re.compile(r"^(?P<pid>\d+) +(?P<call>\w+)\((?P<rest>.*)$")
RESUMED = re.compile(r"^(?P<pid>\d+) +<\.\.\. (?P<call>\w+) resumed>.*= (?P<result>-?\d+)")
WRITE = re.compile(r'"(?:[^"\\]|\\.)*"(\.\.\.)?, (?P<size>\d+), (?P<offset>\d+)')


@dataclass
class Moment:
    """When so many claims were answered, so much of the log was synced."""

    answered: int
    synced: int


def moments_of(trace: str) -> list[Moment]:
    """Return the certain writes at each answer. A write counts as synced once a later fdatasync has returned."""
    moments: list[Moment] = []
    written = synced = being_synced = answered = 0
    for line in trace.splitlines():
        if resumed := RESUMED.match(line):
            if resumed["call"] == "fdatasync" and resumed["result"] == "0":
                synced = being_synced
            continue
        call = CALL.match(line)
        if call is None:
            continue
        if call["call"] == "pwrite64":
            wrote = WRITE.search(call["rest"])
            assert wrote, line
            written = max(written, int(wrote["offset"]) + int(wrote["size"]))
        elif call["call"] == "fdatasync":
            being_synced = written
            if call["rest"].endswith("= 0"):
                synced = being_synced
        elif call["call"] == "write":
            answered += 1
            moments.append(Moment(answered, synced))
    return moments


@pytest.fixture(scope="module")
def left(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[Moment]]:
    """A state folder as the machine has it in memory, and what of it was certain when."""
    folder = tmp_path_factory.mktemp("power")
    state, answers, trace = folder / "state", folder / "answers", folder / "trace"
    Store.open(state, clock=SystemClock()).close()
    command = [
        "strace",
        "-f",
        "-qq",
        "--seccomp-bpf",
        "-e",
        "signal=none",
        "-s",
        "8",
        "-o",
        str(trace),
    ]
    command += [
        "-e",
        "trace=pwrite64,fdatasync,write",
        "-P",
        f"{state}/luad.db-wal",
        "-P",
        str(answers),
    ]
    arguments = [str(state), str(answers), str(CLAIMS)]
    subprocess.run([*command, sys.executable, "-c", WRITER, *arguments], check=True)
    moments = moments_of(trace.read_text())
    assert len(moments) == CLAIMS == len(answers.read_text().splitlines())
    return state, moments


def after_the_failure(state: Path, target: Path, length: int) -> Path:
    """A copy of the state whose log of writes has lost everything behind *length*."""
    target.mkdir()
    shutil.copy(state / "luad.db", target)
    shutil.copy(state / "luad.db-wal", target)
    os.truncate(target / "luad.db-wal", length)
    return target / "luad.db"


def claims_in(database: Path) -> list[int]:
    with closing(sqlite3.connect(database)) as connection:
        return [row[0] for row in connection.execute("SELECT occurrence FROM runs ORDER BY 1")]


@pytest.mark.slow
def test_a_claim_that_was_answered_survives_a_power_failure(
    left: tuple[Path, list[Moment]], tmp_path: Path
) -> None:
    state, moments = left
    for moment in moments:
        database = after_the_failure(state, tmp_path / f"{moment.answered}", moment.synced)
        assert claims_in(database)[: moment.answered] == list(range(moment.answered))
        assert is_sound(database)


@pytest.mark.slow
def test_a_log_of_writes_that_ends_anywhere_is_a_history_up_to_there(
    left: tuple[Path, list[Moment]], tmp_path: Path
) -> None:
    """No claim without those before it, never more of them the shorter the log; luad opens it."""
    state, _ = left
    whole = (state / "luad.db-wal").stat().st_size
    most = 0
    for number in range(100):
        database = after_the_failure(state, tmp_path / f"{number}", number * whole // 99)
        if number % 10 == 3:
            with closing(Store.open(database.parent, clock=SystemClock())) as store:
                assert store.quarantined is None, store.problem
        claims = claims_in(database)
        assert is_sound(database)
        assert claims == list(range(len(claims)))
        assert len(claims) >= most
        most = len(claims)
    assert most == CLAIMS
