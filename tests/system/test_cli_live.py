"""The command line against a real daemon: what an operator does in a day."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

LUAD = [sys.executable, "-m", "luad"]
HANDLERS = """\
import time

def work(job):
    job.log.info("hello %s", job.metadata.get("who", "nobody"))
    return {"who": job.metadata.get("who"), "trigger": job.trigger_kind}

def fail(job):
    raise ValueError("no way")

def sleep(job):
    print("sleeping", flush=True)
    time.sleep(60)
"""
JOB = """\
name: {name}
handler: app:{name}
schedule: {{type: cron, expression: "0 3 1 1 *"}}
timeout: {timeout}
tags: [live]
"""


@dataclass
class Live:
    """A project with its daemon."""

    folder: Path
    process: subprocess.Popen[str] | None = None
    environ: dict[str, str] = field(default_factory=dict)

    def start(self) -> None:
        self.process = subprocess.Popen(
            [*LUAD, "serve", "--log-format", "json", "--drain", "1s"],
            cwd=self.folder, env=self.environ, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        assert self.process.stdout is not None
        for line in self.process.stdout:
            if '"daemon.ready"' in line:
                return
        pytest.fail(f"the daemon ended with {self.process.wait()}")

    def stop(self) -> int:
        assert self.process is not None
        self.process.send_signal(signal.SIGTERM)
        self.process.communicate(timeout=60)
        return self.process.returncode

    def luad(self, *args: str) -> tuple[int, str, str]:
        done = subprocess.run(
            [*LUAD, *args], cwd=self.folder, env=self.environ, capture_output=True, text=True,
            check=False, timeout=30,
        )  # fmt: skip
        return done.returncode, done.stdout, done.stderr

    def json(self, *args: str) -> Any:
        code, out, err = self.luad(*args, "--json")
        assert (code, err) == (0, "")
        return json.loads(out)


@pytest.fixture(scope="module")
def live(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    folder = tmp_path_factory.mktemp("live")
    (folder / "jobs.d").mkdir()
    (folder / "handlers").mkdir()
    (folder / "handlers/app.py").write_text(HANDLERS)
    for name, timeout in (("work", "5m"), ("fail", "5m"), ("sleep", "1s")):
        (folder / f"jobs.d/{name}.yaml").write_text(JOB.format(name=name, timeout=timeout))
    environ = {key: text for key, text in os.environ.items() if not key.startswith("LUAD_")}
    environ |= {"LUAD_SOCKET": str(folder / "luad.sock"), "LANG": "C.UTF-8"}
    live = Live(folder, environ=environ)
    live.start()
    yield live
    assert live.stop() == 0


def test_a_run_by_hand_is_waited_for_followed_and_remembered(live: Live) -> None:
    code, out, err = live.luad("run", "work", "-f", "-m", "who=ann")
    assert code == 0
    run_id, line = out.splitlines()
    assert line == "hello ann"
    assert "✓ work succeeded after" in err
    run = live.json("show", run_id)
    assert (run["job"], run["trigger"], run["status"]) == ("work", "manual", "succeeded")
    assert run["result"] == {"who": "ann", "trigger": "manual"}
    assert live.json("history", "work", "-n", "1")["runs"][0]["id"] == run_id
    assert live.json("show", run_id[:20])["id"] == run_id
    assert live.json("show", "@last")["id"] == run_id
    assert live.luad("logs", run_id, "--raw")[1] == "hello ann\n"
    assert "hello ann" in live.luad("logs", "wor", "--raw", "-n", "1")[1]


def test_a_run_ends_the_command_as_it_ended(live: Live) -> None:
    code, _, err = live.luad("run", "fail", "--wait")
    assert code == 4
    assert "✗ fail failed" in err
    assert "ValueError: no way" in err
    code, _, err = live.luad("run", "sleep", "--wait")
    assert code == 7
    assert "timed out" in err
    code, out, _ = live.luad("show", "@last-failed")
    assert code == 0
    assert "timed out" in out
    assert live.luad("history", "--failed", "--exit-status")[0] == 4


def test_a_failed_run_is_tried_again(live: Live) -> None:
    assert live.luad("run", "fail", "--wait")[0] == 4
    failed = live.json("show", "@last-failed")
    code, out, _ = live.luad("retry", "@last-failed", "--wait")
    assert code == 4
    assert live.json("show", out.strip())["retry_of"] == failed["id"]


def test_a_running_run_is_cancelled(live: Live) -> None:
    (live.folder / "jobs.d/long.yaml").write_text(
        JOB.format(name="sleep", timeout="5m").replace("name: sleep", "name: long")
    )
    assert live.luad("reload")[0] == 0
    with subprocess.Popen(
        [*LUAD, "run", "long", "-f"],
        cwd=live.folder, env=live.environ, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    ) as waiting:  # fmt: skip
        assert waiting.stdout is not None
        run_id = waiting.stdout.readline().strip()
        assert waiting.stdout.readline() == "sleeping\n"
        assert live.json("list", "--status", "running")["jobs"][0]["name"] == "long"
        code, _, err = live.luad("run", "long")
        assert code == 8, err
        assert live.luad("run", "long", "--wait", "--wait-timeout", "0.1s", "--force")[0] == 7
        assert live.luad("cancel", run_id, "--kill")[0] == 0
        assert waiting.wait(60) == 5
    assert live.luad("cancel", run_id)[0] == 8
    for run in live.json("history", "long", "--status", "running,queued")["runs"]:
        live.luad("cancel", run["id"], "--kill")


def test_a_job_is_paused_and_resumed(live: Live) -> None:
    assert live.luad("pause", "work", "--reason", "moving house", "--until", "1h")[0] == 0
    job = live.json("list", "--status", "paused")["jobs"][0]
    assert (job["name"], job["pause"]["reason"]) == ("work", "moving house")
    assert job["pause"]["author"]
    assert 'paused: "moving house"' in live.luad("list")[1]
    assert "work" not in {row["job"] for row in live.json("next")["next"]}
    assert live.luad("resume", "-t", "live")[0] == 0
    assert live.json("list", "--status", "paused")["jobs"] == []
    assert "work" in {row["job"] for row in live.json("next")["next"]}


def test_a_broken_file_is_told_and_changes_nothing_else(live: Live) -> None:
    path = live.folder / "jobs.d/work.yaml"
    good = path.read_text()
    path.write_text(good.replace("timeout", "timout"))
    code, out, err = live.luad("reload")
    assert code == 1
    assert "! jobs.d/work.yaml (1 error, kept as before)" in out
    assert "jobs.d/work.yaml:4:1 LU102" in err
    assert live.luad("status", "--exit-status")[0] == 1
    job = next(job for job in live.json("list")["jobs"] if job["name"] == "work")
    assert job["file"]["stale"] is True
    code, out, err = live.luad("list")
    assert "(stale)" in out
    assert "warning: jobs.d/work.yaml is broken" in err
    path.write_text(good.replace("5m", "6m"))
    code, out, _ = live.luad("reload")
    assert code == 0
    assert live.luad("status", "--exit-status")[0] == 0
    path.write_text(good)
    live.luad("reload")


def test_names_are_beginnings_or_suggestions(live: Live) -> None:
    assert live.json("show", "wor")["name"] == "work"
    code, out, err = live.luad("show", "wrok")
    assert (code, out) == (3, "")
    assert "did you mean `work`?" in err


def test_every_look_answers(live: Live) -> None:
    for args in (["list"], ["list", "--json"], ["status"], ["history"], ["next"], ["logs"]):
        assert live.luad(*args)[0] == 0


def test_logs_are_followed_over_a_restart_of_the_daemon(live: Live) -> None:
    with subprocess.Popen(
        [*LUAD, "logs", "-f", "work", "--raw", "-n", "1"],
        cwd=live.folder, env=live.environ, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    ) as following:  # fmt: skip
        assert following.stdout is not None
        assert following.stderr is not None
        assert live.luad("run", "work", "--wait", "-m", "who=before")[0] == 0
        while following.stdout.readline() != "hello before\n":
            assert following.poll() is None
        assert live.stop() == 0
        assert "waiting for the daemon" in following.stderr.readline()
        live.start()
        assert live.luad("run", "work", "--wait", "-m", "who=after")[0] == 0
        assert following.stdout.readline() == "hello after\n"
        following.send_signal(signal.SIGINT)
        assert following.wait(60) == 130
