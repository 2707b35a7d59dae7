"""What luad carries over: each use it was made for ships as an example with a real handler. Here they are,
as they are shipped, on one live daemon."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
from support.forked_daemon import ForkedDaemon
from support.live_daemon import LiveDaemon

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveDaemon]:
    folder = tmp_path_factory.mktemp("uses")
    for name in ("jobs.d", "handlers", "users.d"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    with ForkedDaemon(folder) as live:
        yield live


def agent(daemon: LiveDaemon, module: str, *words: str) -> str:
    """Call a tool of an agent, in a process of its own; return what it would say."""
    env = {**os.environ, "PYTHONPATH": str(daemon.handlers), "LUAD_SOCKET": str(daemon.socket)}
    command = [sys.executable, "-m", module, *words]
    done = subprocess.run(command, capture_output=True, text=True, env=env, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def inbox(daemon: LiveDaemon) -> str:
    return daemon.luad("users", "inbox", "ann").stdout


@pytest.mark.parametrize(
    ("use", "job"),
    [
        ("daily reports", "daily-report"),
        ("clean-up", "clean-up"),
        ("reminders", "reminder"),
        ("monitoring", "disk-space"),
        ("follow-ups", "follow-up"),
        ("notifications", "notification"),
    ],
)
def test_a_use_is_a_file_that_runs(daemon: LiveDaemon, use: str, job: str) -> None:
    assert daemon.json("show", job)["description"], use
    ran = daemon.luad("run", job, "--wait", check=False)
    assert ran.returncode == 0, ran.stdout + ran.stderr


@pytest.mark.parametrize(
    ("job", "says"),
    [
        ("reminder", "The certificate of shop.example runs out in two weeks."),
        ("follow-up", "Two days ago we talked about order 1042."),
        ("notification", "luad is at work."),
    ],
)
def test_what_is_there_to_tell_somebody_tells_her(daemon: LiveDaemon, job: str, says: str) -> None:
    daemon.luad("run", job, "--wait")
    (run,) = daemon.json("history", job, "-n", "1")["runs"]
    assert run["sent"]["delivered"] == run["sent"]["total"] > 0
    assert says in inbox(daemon)


def test_a_service_is_watched(daemon: LiveDaemon) -> None:
    class Healthy(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            """Say nothing."""

    with HTTPServer(("127.0.0.1", 0), Healthy) as server:
        serving = Thread(target=server.serve_forever)
        serving.start()
        url = f"url=http://127.0.0.1:{server.server_port}/healthz"
        ran = daemon.luad("run", "service-check", "--wait", "-m", url, check=False)
        server.shutdown()
        serving.join()
    assert ran.returncode == 0, ran.stdout + ran.stderr


def test_an_agent_sets_a_reminder_and_says_what_will_happen(daemon: LiveDaemon) -> None:
    said = agent(daemon, "reminders", "ann", "stand-up", "0.01")
    assert said.startswith("Runs once on ")
    assert said.endswith(", for ann.\n")
    daemon.wait_for("job.done")
    assert "Reminder: stand-up" in inbox(daemon)


def test_a_follow_up_is_asked_for_twice_and_is_one(daemon: LiveDaemon) -> None:
    first, second = (agent(daemon, "followups", "T-812", "ann") for _ in range(2))
    assert first.startswith("Runs once on ")
    assert second.startswith("Runs once on ")
    listed = daemon.json("list", "--all")["jobs"]
    assert [job["name"] for job in listed if job["dynamic"]] == ["followup-t-812"]
    daemon.luad("run", "followup-t-812", "--wait")
    assert "T-812" in inbox(daemon)


def test_a_nag_ends_itself_once_it_is_paid(daemon: LiveDaemon) -> None:
    daemon.luad(
        "create", "invoice-7", "--handler", "followups:nag", "--every", "1d", "--user", "ann",
        "-m", "invoice=7", "-m", "paid=false", "-m", "times=0",
    )  # fmt: skip
    daemon.luad("run", "invoice-7", "--wait")
    daemon.luad("run", "invoice-7", "--wait")
    assert "Invoice 7 is still open (reminder 2)" in inbox(daemon)
    daemon.luad("metadata", "invoice-7", "paid=true")
    daemon.luad("run", "invoice-7", "--wait")
    assert daemon.json("show", "invoice-7")["status"] == "deleted"
