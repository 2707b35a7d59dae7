"""Jobs with `isolation: shared` in a whole daemon: records, crashes of every process, limits, the command line."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator
from http.client import HTTPConnection
from pathlib import Path
from socket import AF_UNIX, socket

import pytest
from support.forked_daemon import ForkedDaemon
from support.live_daemon import LiveDaemon
from support.runner_harness import is_gone

HANDLERS = """
import asyncio, os, subprocess, threading
from pathlib import Path

from luad.sync import Jobs


def plain(job):
    print("said by", job.run_id)
    return os.getpid()


async def coroutine(job):
    await job.update_metadata(seen=job.run_id)
    await job.trigger(force=True) if job.attempt == 99 else None
    job.log.info("logged by %s", job.run_id)
    return os.getpid()


def makes(job):
    made = Jobs.create(name="made-by-" + job.name, handler="shared:plain", in_="1h", isolation="shared")
    return [made.name, os.environ.get("LUAD_RUN_ID")]


async def waits(job):
    if job.attempt > 1:
        return "again"
    child = subprocess.Popen(["sleep", "600"], start_new_session=True)
    print(f"child {child.pid}", flush=True)
    await asyncio.Event().wait()


async def finishes(job):
    print("begun", flush=True)
    await asyncio.sleep(1)
    return "finished"


_inside = []


async def counts(job):
    _inside.append(job.run_id)
    await asyncio.sleep(0.2)
    seen = len(_inside)
    _inside.remove(job.run_id)
    return seen
"""
JOB = "name: {0}\nhandler: shared:{0}\nschedule: {{type: interval, every: 1h}}\nisolation: shared\n"


@pytest.fixture
def daemon(tmp_path: Path) -> Iterator[LiveDaemon]:
    live = ForkedDaemon(tmp_path, env={"LUAD_KILL_GRACE": "1s", "LUAD_SHARED_PROCESSES": "1"})
    live.write_handler("shared", HANDLERS)
    yield live
    live.__exit__(None, None, None)


def add(daemon: LiveDaemon, name: str, more: str = "") -> None:
    daemon.write_job(name, JOB.format(name) + more)


def run(daemon: LiveDaemon, name: str) -> str:
    run_id: str = daemon.json("run", name)["id"]
    return run_id


def end_of(daemon: LiveDaemon, run_id: str) -> tuple[str, object]:
    if not any(each["event"] == "run.ended" and each["run_id"] == run_id for each in daemon.lines):
        daemon.wait_for("run.ended", run_id=run_id)
    [(state, result)] = daemon.rows("SELECT state, result_json FROM runs WHERE id = ?", run_id)
    return state, json.loads(result) if result else None


def test_shared_runs_have_the_same_records_logs_and_api(daemon: LiveDaemon) -> None:
    for name in ("plain", "coroutine", "makes"):
        add(daemon, name)
    with daemon:
        first, second = run(daemon, "plain"), run(daemon, "coroutine")
        pids = {end_of(daemon, first)[1], end_of(daemon, second)[1]}
        assert len(pids) == 1
        third = run(daemon, "makes")
        assert end_of(daemon, third) == ("succeeded", ["made-by-makes", None])
        assert daemon.json("show", "coroutine")["metadata"] == {"seen": second}
        made = daemon.json("show", "made-by-makes")
        assert (made["isolation"], made["creation"]["run_id"]) == ("shared", third)
        assert f"said by {first}" in daemon.luad("logs", first).stdout
        assert f"logged by {second}" in daemon.luad("logs", second).stdout
        assert {each["isolation"] for each in daemon.json("list")["jobs"]} == {"shared"}
        assert daemon.luad("check", "--strict", str(daemon.jobs)).returncode == 0
        shared = daemon.json("status")["shared"]
        assert (shared["processes"], shared["runs"]) == (1, 0)
        assert "\nluad_shared_processes 1.0\n" in metrics(daemon)
        add(daemon, "plain", "env: {A: b}\n")
        checked = daemon.luad("check", "--strict", str(daemon.jobs), check=False)
        assert checked.returncode != 0
        assert "LU208" in checked.stdout + checked.stderr


@pytest.mark.parametrize(("policy", "state"), [("fail", "lost"), ("retry", "succeeded")])
def test_a_killed_shared_process_loses_its_runs_and_on_lost_decides(
    daemon: LiveDaemon, policy: str, state: str
) -> None:
    add(daemon, "waits", f"on_lost: {policy}\n")
    with daemon:
        run_id = run(daemon, "waits")
        pid = daemon.wait_for("run.started", run_id=run_id)["pid"]
        child = child_of(daemon, run_id)
        os.kill(pid, signal.SIGKILL)
        assert end_of(daemon, run_id)[0] == state
        assert is_gone(child)


@pytest.mark.parametrize("too", ["the keeper lives", "the keeper is killed, too"])
@pytest.mark.parametrize(("policy", "state"), [("fail", "lost"), ("retry", "succeeded")])
def test_the_next_daemon_finds_the_runs_of_a_killed_one(
    daemon: LiveDaemon, policy: str, state: str, too: str
) -> None:
    add(daemon, "waits", f"on_lost: {policy}\n")
    daemon.start()
    run_id = run(daemon, "waits")
    pid = daemon.wait_for("run.started", run_id=run_id)["pid"]
    child = child_of(daemon, run_id)
    keeper = int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
    if too != "the keeper lives":
        os.kill(daemon.process.pid, signal.SIGSTOP)  # it must not see the keeper's end
        os.kill(keeper, signal.SIGKILL)
    daemon.kill()
    with daemon:
        assert end_of(daemon, run_id)[0] == state
        assert is_gone(pid)
        assert is_gone(child)


def metrics(daemon: LiveDaemon) -> str:
    connection = HTTPConnection("luad")
    connection.sock = socket(AF_UNIX)
    with connection.sock:
        connection.sock.connect(str(daemon.socket))
        connection.request("GET", "/metrics")
        return connection.getresponse().read().decode()


def child_of(daemon: LiveDaemon, run_id: str) -> int:
    line = daemon.wait_for("run.output", run_id=run_id)
    return int(str(line["message"]).removeprefix("child "))


def test_a_stop_waits_for_shared_runs(daemon: LiveDaemon) -> None:
    add(daemon, "finishes")
    daemon.start()
    run_id = run(daemon, "finishes")
    daemon.wait_for("run.output", run_id=run_id)
    assert daemon.stop() == 0
    assert daemon.rows("SELECT state, result_json FROM runs WHERE id = ?", run_id) == [
        ("succeeded", '"finished"')
    ]


def test_shared_runs_count_for_the_limit_of_runs_at_once(daemon: LiveDaemon) -> None:
    daemon.env["LUAD_MAX_CONCURRENT_RUNS"] = "2"
    add(daemon, "counts", "overlap: allow\nmax_running: 20\n")
    with daemon:
        runs = [run(daemon, "counts") for _ in range(6)]
        seen = [end_of(daemon, each)[1] for each in runs]
        assert all(isinstance(each, int) and each <= 2 for each in seen)
