"""A real daemon under measurement, and what the kernel says of its processes."""

from __future__ import annotations

import ctypes
import json
import os
import queue
import signal
import sqlite3
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from http.client import HTTPConnection
from pathlib import Path
from socket import AF_UNIX, socket
from types import TracebackType
from typing import Any, Final, Self

from benchmarks.common import TICKS_PER_S, now_s

PATIENCE_S: Final = 120.0
QUIET_S: Final = 2.0
QUIET_PART: Final = 0.02  # of a core
LUAD: Final = [sys.executable, "-m", "luad"]


@dataclass(frozen=True, slots=True)
class Line:
    """A line of the log, and when it was read (seconds of the benchmark's clock)."""

    at: float
    text: bytes

    @property
    def fields(self) -> dict[str, Any]:
        fields: dict[str, Any] = json.loads(self.text)
        return fields


class Daemon:
    """`luad serve` on *folder*, which holds jobs.d, handlers and state. A context; starts at entry."""

    def __init__(self, folder: Path, *options: str, env: Mapping[str, str] | None = None) -> None:
        self.folder = folder
        self.env = {**os.environ, **(env or {})}
        self.jobs = folder / "jobs.d"
        self.handlers = folder / "handlers"
        self.state = folder / "state"
        self.socket = folder / "luad.sock"
        self.options = options
        self._lines: queue.SimpleQueue[Line | None] = queue.SimpleQueue()
        for each in (self.jobs, self.handlers):
            each.mkdir(parents=True, exist_ok=True)

    def start(self) -> Self:
        """Start it; `started_at` is the instant before."""
        command = [*self.command(), "--state", str(self.state), "--log-format", "json"]
        self._lines = queue.SimpleQueue()
        self.started_at = now_s()
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, env=self.env)
        self.pid = self.process.pid
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        return self

    def command(self) -> list[str]:
        """The command that serves the folder, without state and log."""
        command = [*LUAD, "serve", "--jobs", str(self.jobs), "--socket", str(self.socket)]
        return [*command, *self.options]

    def wait_ready(self) -> Line:
        """Wait for the line that says that it serves."""
        return self.wait_for(b"daemon.ready")

    def __enter__(self) -> Self:
        self.start()
        try:
            self.wait_ready()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    def stop(self) -> None:
        """Ask it to end; kill it if it does not."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(PATIENCE_S / 2)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        self._reader.join(5)

    def _read(self) -> None:
        assert self.process.stdout is not None
        with self.process.stdout:
            for text in self.process.stdout:
                self._lines.put(Line(now_s(), text))
        self._lines.put(None)

    def wait_for(self, event: bytes, timeout_s: float = PATIENCE_S) -> Line:
        """Return the next line with *event* in it; lines before it are let go."""
        until = now_s() + timeout_s
        while True:
            try:
                line = self._lines.get(timeout=max(0.0, until - now_s()))
            except queue.Empty:
                sys.exit(f"no {event.decode()} within {timeout_s:.0f} s")
            if line is None:
                sys.exit(f"the daemon ended before {event.decode()}")
            if event in line.text:
                return line

    def wait_until_idle(self) -> None:
        """Wait until the work that a start or many requests leave behind is done."""
        deadline, busy = now_s() + PATIENCE_S, -QUIET_S
        while cpu_s(self.pid) - busy >= QUIET_PART * QUIET_S:
            assert now_s() < deadline, "the daemon does not come to rest"
            busy = cpu_s(self.pid)
            time.sleep(QUIET_S)

    def forget_log(self) -> None:
        """Let go of every line so far."""
        while not self._lines.empty():
            self._lines.get()

    # --- asking it -----------------------------------------------------------------------------

    def get(self, path: str) -> Any:
        """Ask the API, over a connection of its own."""
        connection = HTTPConnection("luad")
        connection.sock = socket(AF_UNIX)
        connection.sock.connect(str(self.socket))
        try:
            connection.request("GET", f"/v1{path}", headers={"Connection": "close"})
            return json.loads(connection.getresponse().read())
        finally:
            connection.close()

    def rows(self, question: str) -> list[tuple[Any, ...]]:
        """Ask the database itself."""
        path = f"file:{self.state / 'luad.db'}?mode=ro"
        connection = sqlite3.connect(path, uri=True)
        try:
            return connection.execute(question).fetchall()
        finally:
            connection.close()

    # --- its processes -------------------------------------------------------------------------

    def helpers(self) -> list[int]:
        """The pids below it: the spawner, and the keeper and handler in reserve."""
        return list(descendants(self.pid))


def descendants(pid: int) -> Iterator[int]:
    """Every living process below *pid*."""
    try:
        tasks = list(Path(f"/proc/{pid}/task").iterdir())
    except OSError:
        return
    for task in tasks:
        try:
            children = (task / "children").read_text().split()
        except OSError:
            continue
        for child in map(int, children):
            yield child
            yield from descendants(child)


def resident_mb(pid: int) -> float:
    """VmRSS, in MB (2**20 bytes)."""
    return _kib(Path(f"/proc/{pid}/status"), "VmRSS:") / 1024


def proportional_mb(pid: int) -> float:
    """PSS: pages that several processes share count in parts; in MB. 0 when it has ended."""
    try:
        return _kib(Path(f"/proc/{pid}/smaps_rollup"), "Pss:") / 1024
    except OSError:
        return 0.0


def _kib(path: Path, key: str) -> int:
    for line in path.read_text().splitlines():
        if line.startswith(key):
            return int(line.split()[1])
    return 0


def cpu_s(pid: int) -> float:
    """The processor time of one process, user and system; 0 when it has ended."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) / TICKS_PER_S


def tree_cpu_s(pid: int) -> float:
    """The processor time of *pid*, of all that lives below it, and of all that has ended there.

    The kernel adds the time of a process to its parent's when the parent reaps it. So nothing is missing but
    zombies.
    """
    total = 0
    for each in (pid, *descendants(pid)):
        try:
            fields = Path(f"/proc/{each}/stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue
        total += sum(map(int, fields[11:15]))
    return total / TICKS_PER_S


def cpu_ns(pid: int) -> int:
    """The same from the scheduler, in nanoseconds, over all living threads."""
    total = 0
    try:
        for task in Path(f"/proc/{pid}/task").iterdir():
            total += int((task / "schedstat").read_text().split()[0])
    except OSError:
        return total
    return total


def wake_ups(pid: int) -> int:
    """How often threads of *pid* gave up the processor of their own accord."""
    total = 0
    for task in Path(f"/proc/{pid}/task").iterdir():
        text = (task / "status").read_text()
        total += int(text.partition("\nvoluntary_ctxt_switches:")[2].split()[0])
    return total


class Openings:
    """Counts which files of a folder are opened, by anybody; the kernel's inotify tells."""

    _IN_OPEN = 0x20
    _HEAD = struct.Struct("iIII")

    def __init__(self, folder: Path) -> None:
        libc = ctypes.CDLL(None, use_errno=True)
        self._fd = libc.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC)
        watch = libc.inotify_add_watch(self._fd, os.fsencode(folder), self._IN_OPEN)
        assert watch >= 0, os.strerror(ctypes.get_errno())

    def take(self) -> list[str]:
        """The names of the files opened since the last call, each as often as it was opened."""
        names: list[str] = []
        while True:
            try:
                data = os.read(self._fd, 1 << 18)
            except BlockingIOError:
                return names
            while data:
                _, _, _, length = self._HEAD.unpack_from(data)
                name = data[self._HEAD.size : self._HEAD.size + length].rstrip(b"\0")
                if name:  # without one it is the folder itself
                    names.append(os.fsdecode(name))
                data = data[self._HEAD.size + length :]

    def close(self) -> None:
        os.close(self._fd)
