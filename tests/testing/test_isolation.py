"""One test leaves nothing to the next, and what a run would not survive is no success in a test."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

import luad.sync
from luad import Jobs
from luad.testing import run_job_sync

pytest_plugins = ["pytester"]
RELEASE = threading.Event()
POOL = ThreadPoolExecutor(1)


def look(_: luad.sync.Job) -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if name.startswith("LUAD_")}


def changes_everything(job: luad.sync.Job) -> str:
    os.environ["LEFT_BEHIND"] = "1"
    os.environ["TZ"] = "Asia/Tokyo"
    del os.environ["PATH"]
    folder = Path(job.metadata["folder"])
    folder.mkdir()
    os.chdir(folder)
    folder.rmdir()
    os.umask(0o777)
    sys.argv = ["changed"]
    if job.metadata.get("fail"):
        raise ValueError("after all that")
    return "changed"


def leaves_a_thread(_: luad.sync.Job) -> str:
    threading.Thread(target=RELEASE.wait, name="left-behind").start()
    return "done"


def leaves_a_thread_of_a_thread(_: luad.sync.Job) -> str:
    middle = threading.Thread(target=lambda: leaves_a_thread(_))
    middle.start()
    middle.join()
    return "done"


def leaves_a_thread_that_ends(_: luad.sync.Job) -> str:
    threading.Thread(target=lambda: RELEASE.wait(0.05)).start()
    return "done"


def leaves_a_daemon_thread(_: luad.sync.Job) -> str:
    threading.Thread(target=lambda: RELEASE.wait(1), daemon=True).start()
    return "done"


def leaves_an_idle_worker(_: luad.sync.Job) -> int:
    return POOL.submit(lambda: 7).result()


def says_hello(job: luad.sync.Job) -> None:
    job.user().send("hello")


def spins(_: luad.sync.Job) -> None:
    while True:
        pass


# --- a job that is due at once ----------------------------------------------------------------


@pytest.mark.parametrize("handler", [says_hello, spins, look])
def test_a_job_that_is_due_at_once_does_not_fail_the_test_that_makes_it(
    luad_jobs_sync: Any, handler: Any
) -> None:
    luad_jobs_sync.add_user("ann")
    for number in range(3):
        luad.sync.Jobs.create(handler=handler, in_=0, name=f"now-{number}", user="ann")


@pytest.mark.usefixtures("luad_jobs")
@pytest.mark.parametrize("number", range(5))
async def test_so_it_is_with_a_test_that_awaits(number: int) -> None:
    await Jobs.create(handler=look, in_=0, name=f"now-{number}")


def test_the_fixture_ends_with_what_is_due_and_with_what_runs(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        """
        import pytest
        from luad.sync import Jobs

        def hello(job):
            job.log.info("hello")

        @pytest.mark.parametrize("number", range(10))
        def test_it(luad_jobs_sync, number):
            Jobs.create(handler=hello, in_=0)
            Jobs.create(handler=hello, at=luad_jobs_sync.now)
        """
    )
    pytester.makepyprojecttoml("[tool.pytest.ini_options]\nfilterwarnings = ['error']\n")
    plain = ("-p", "no:asyncio", "-p", "no:cacheprovider")
    pytester.runpytest_subprocess("-q", *plain).assert_outcomes(passed=10)


# --- the process of a run ---------------------------------------------------------------------


def test_a_handler_finds_the_variables_of_a_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LUAD_URL", "https://luad.example")
    seen = run_job_sync(look, at="2026-11-23T09:42:00Z").result
    assert seen.pop("LUAD_RUN_ID").startswith("run_")
    assert not Path(seen.pop("LUAD_SOCKET")).exists()
    assert seen == {
        "LUAD_JOB": "tested",
        "LUAD_ATTEMPT": "1",
        "LUAD_SCHEDULED_FOR": "2026-11-23T09:42:00Z",
    }
    assert "LUAD_JOB" not in os.environ


PROFILED = """
import sys
import ends
from luad.testing import run_job_sync

run_job_sync(ends.at_once)
run_job_sync(ends.never, timeout=0.2)
sys.setprofile(lambda *_: None)
print(sum(abs(number) for number in range(10)))
"""
ENDS = """
def at_once(job):
    return 1

def never(job):
    while True:
        pass
"""


def test_a_profiler_works_after_a_handler_was_called(tmp_path: Path) -> None:
    (tmp_path / "ends.py").write_text(ENDS)
    env = {**os.environ, "PYTHONPATH": str(tmp_path)}
    command = [sys.executable, "-c", PROFILED]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False, env=env)
    assert done.stdout == "45\n", done.stderr


@pytest.mark.parametrize("fail", [False, True])
def test_what_a_handler_changes_ends_with_it(tmp_path: Path, fail: bool) -> None:
    umask = os.umask(0o022)
    before = (dict(os.environ), Path.cwd(), list(sys.argv))
    metadata = {"folder": str(tmp_path / "gone"), "fail": fail}
    run = run_job_sync(changes_everything, metadata=metadata)
    assert run.status == ("failed" if fail else "succeeded")
    assert (dict(os.environ), Path.cwd(), list(sys.argv)) == before
    assert os.umask(umask) == 0o022


# --- threads ----------------------------------------------------------------------------------


@pytest.mark.parametrize("handler", [leaves_a_thread, leaves_a_thread_of_a_thread])
def test_a_thread_that_is_left_running_is_no_success(handler: Any) -> None:
    try:
        run = run_job_sync(handler, timeout=0.3)
    finally:
        RELEASE.set()
    assert run.status == "timed_out"
    assert run.error is not None
    assert "left threads running: left-behind" in run.error["message"]
    RELEASE.clear()


@pytest.mark.parametrize(
    "handler", [leaves_a_thread_that_ends, leaves_a_daemon_thread, leaves_an_idle_worker]
)
def test_a_thread_that_a_run_would_not_wait_for_is_none(handler: Any) -> None:
    assert run_job_sync(handler).status == "succeeded"
