"""A pass of retention that fails costs that pass: it is told, and comes again at its time."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

WITHOUT_THREADS = """
import asyncio, json, os, resource, sys
from contextlib import closing
from pathlib import Path
from luad.clock import SystemClock
from luad.config.settings.daemon_settings import Retention
from luad.core.events import ClaimRun, ForgetCompleted
from luad.core.model import DAY, Run, RunState, Trigger
from luad.daemon.retention_schedule import RetentionSchedule
from luad.store import Store

_, MOST = resource.getrlimit(resource.RLIMIT_NPROC)
IS_ROOT = os.getuid() == 0  # whom the limit does not bind

def allow_threads(count):
    if IS_ROOT and count:
        os.setresuid(0, 0, 0)
    resource.setrlimit(resource.RLIMIT_NPROC, (count, MOST))
    if IS_ROOT and not count:
        os.setresuid(65534, 65534, 0)

class Lines:
    def emit(self, level, event, fields):
        told.append([level, event, fields["error"]])

told, posted, faults = [], [], []

async def main():
    with closing(Store.open(Path(sys.argv[1]), clock=SystemClock())) as store:
        old = [Run(f"run_{n:026d}", "j", "job_j", "r", Trigger.SCHEDULE, n, n, n, RunState.CANCELLED)
               for n in range(1, 6)]
        await store.apply([ClaimRun(run) for run in old])
        keep = Retention()
        forgetting = RetentionSchedule(store, SystemClock(), keep, posted.append, Lines())
        for count in (0, 0, MOST):
            allow_threads(count)
            await forgetting.once()
            faults.append(forgetting.fault)
        left = await store.run_count()
    print(json.dumps({"told": told, "posted": len(posted), "faults": faults, "left": left}))

asyncio.run(main())
"""


def test_retention_outlives_a_shortage_of_threads_and_says_so_when_it_lasts(tmp_path: Path) -> None:
    command = [sys.executable, "-c", WITHOUT_THREADS, str(tmp_path / "state")]
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    outcome = json.loads(done.stdout)
    why = "RuntimeError: can't start new thread"
    assert outcome["told"] == [["warning", "store.retention_failed", why]] * 2
    assert outcome["faults"] == [None, f"old history was not removed 2 times in a row: {why}", None]
    assert outcome["left"] == 0  # the job is gone, and so is its history
    assert outcome["posted"] == 3
