"""The real daemon beside a broken log, and beside somebody who listens as systemd does."""

from __future__ import annotations

import os
import select
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from luad.client import Client

JOB = """
name: tick
handler: luad.handlers.shell:run
schedule: {type: interval, every: 1s}
metadata: {command: echo tick}
"""


class Serving:
    """`luad serve` in a process of its own, and the socket where it says how it is."""

    def __init__(self, folder: Path, **streams: Any) -> None:
        self.jobs = folder / "jobs.d"
        self.jobs.mkdir()
        (self.jobs / "tick.yaml").write_text(JOB)
        self.manager = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.manager.bind(str(folder / "notify"))
        self.manager.settimeout(30)
        environ = os.environ | {
            "NOTIFY_SOCKET": str(folder / "notify"),
            "WATCHDOG_USEC": "400000",
            "LUAD_SOCKET": str(folder / "luad.sock"),
        }
        environ.pop("JOURNAL_STREAM", None)
        command = ["serve", "--jobs", str(self.jobs), "--state", str(folder / "state")]
        self.process = subprocess.Popen(
            [sys.executable, "-m", "luad", *command], env=environ, cwd=folder, **streams
        )
        self.client = Client(folder / "luad.sock")

    def await_message(self, *wanted: str) -> list[str]:
        """The next message to systemd that has all *wanted* lines, by their beginnings."""
        while True:
            lines = self.manager.recv(65536).decode().split("\n")
            if all(any(line.startswith(each) for line in lines) for each in wanted):
                return lines

    def drain_messages(self) -> None:
        """Forget what was said so far; for when nothing more can come."""
        os.waitid(os.P_PID, self.process.pid, os.WSTOPPED | os.WNOWAIT)
        while select.select([self.manager], [], [], 0)[0]:
            self.manager.recv(65536)

    def stop(self) -> int:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        code = self.process.wait(30)
        self.manager.close()
        return code


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Callable[..., Serving]]:
    started: list[Serving] = []

    def start(**streams: Any) -> Serving:
        started.append(Serving(tmp_path, **streams))
        return started[-1]

    yield start
    for each in started:
        each.process.kill()
        each.stop()


def full_pipe() -> tuple[int, int]:
    """A pipe with no room left, which nobody reads."""
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    try:
        while os.write(writer, b"x" * 4096):
            pass
    except BlockingIOError:
        os.set_blocking(writer, True)
    return reader, writer


@pytest.mark.slow
@pytest.mark.parametrize("sink", ["full pipe", "full disk", "no reader", "closed"])
def test_a_broken_log_stops_nothing(serve: Callable[..., Serving], sink: str) -> None:
    descriptors: list[int] = []
    streams: dict[str, Any] = {"stderr": subprocess.DEVNULL}
    if sink == "full pipe":
        descriptors += full_pipe()
    elif sink == "full disk":
        descriptors.append(os.open("/dev/full", os.O_WRONLY))
    elif sink == "no reader":
        reader, writer = os.pipe()
        os.close(reader)
        descriptors.append(writer)
    if descriptors:
        streams["stdout"] = descriptors[-1]
    else:
        streams = {"preexec_fn": lambda: os.closerange(0, 3)}
    daemon = serve(**streams)
    daemon.await_message("READY=1")
    assert next(follow(daemon))["message"] == "tick"
    assert daemon.stop() == 0
    for descriptor in descriptors:
        os.close(descriptor)


def follow(daemon: Serving) -> Iterator[dict[str, Any]]:
    """The lines of all runs, as they are printed."""
    return daemon.client.stream("/logs", follow=1)


@pytest.mark.slow
def test_systemd_is_told_when_luad_is_ready_reloads_and_stops(
    serve: Callable[..., Serving],
) -> None:
    daemon = serve(stdout=subprocess.DEVNULL)
    ready = daemon.await_message("READY=1")
    assert any(line.startswith("STATUS=1 job, next tick ") for line in ready)
    for _ in range(3):
        daemon.await_message("WATCHDOG=1")

    daemon.process.send_signal(signal.SIGHUP)
    daemon.await_message("RELOADING=1", "MONOTONIC_USEC=")
    daemon.await_message("READY=1")

    (daemon.jobs / "tick.yaml").write_text("name: [")
    assert daemon.client.post("/config/reload")["stale"]
    daemon.await_message("STATUS=1 job, 1 stale")
    for name in ("new", "newer"):
        (daemon.jobs / f"{name}.yaml").write_text("name: [")
    daemon.client.post("/config/reload")
    daemon.await_message("STATUS=1 job, 1 stale, 2 broken files")

    daemon.process.send_signal(signal.SIGTERM)
    daemon.await_message("STOPPING=1")
    assert daemon.process.wait(30) == 0


@pytest.mark.slow
def test_a_loop_that_stands_still_feeds_no_watchdog(serve: Callable[..., Serving]) -> None:
    daemon = serve(stdout=subprocess.DEVNULL)
    daemon.await_message("READY=1")
    daemon.await_message("WATCHDOG=1")
    daemon.process.send_signal(signal.SIGSTOP)
    daemon.drain_messages()
    assert not select.select([daemon.manager], [], [], 1)[0]  # more than twice the watchdog's time
    daemon.process.send_signal(signal.SIGCONT)
    daemon.await_message("WATCHDOG=1")
    assert daemon.stop() == 0
