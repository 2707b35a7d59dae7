"""A real daemon in a folder of its own, for tests that want the whole thing."""

from __future__ import annotations

import json
import os
import queue
import signal
import sqlite3
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from time import monotonic  # noqa: TID251 - a test's patience is real time
from types import TracebackType
from typing import Any, Self

from support.forked_cli import run_luad

PATIENCE_S = 90.0
START_S = 240.0
"""A node of a cluster takes 64 shards before it is ready, beside whatever the machine does."""


class LiveDaemon:
    """`luad serve` on *folder*: jobs.d, handlers and state stand in it. A context; kill and start at will."""

    def __init__(self, folder: Path, *options: str, env: dict[str, str] | None = None) -> None:
        self.folder = folder
        self.jobs = folder / "jobs.d"
        self.handlers = folder / "handlers"
        self.state = folder / "state"
        self.socket = folder / "luad.sock"
        self.jobs.mkdir(parents=True, exist_ok=True)
        self.handlers.mkdir(exist_ok=True)
        self.options = options
        # Jobs of tests are due more often than new ones may be by default, and what a test leaves
        # running is waited for no longer than it must.
        mine = {"LUAD_DYNAMIC_MIN_INTERVAL": "0", "LUAD_DRAIN": "30s"}
        self.env = {**os.environ, **mine, **(env or {})}
        self.launcher: tuple[str, ...] = ()  # a command that runs the daemon as its own
        self.complaints: Path | None = None  # what it writes on stderr goes here, not to ours
        self.lines: list[dict[str, Any]] = []
        self._queue: queue.Queue[dict[str, Any] | None] = queue.Queue()
        self._early: deque[dict[str, Any]] = deque()  # before it was ready
        self._process: subprocess.Popen[bytes] | None = None

    # --- life ---

    def start(self, *, wait: bool = True) -> LiveDaemon:
        """Start it; with *wait*, return once it is ready."""
        self._queue = queue.Queue()
        self._early.clear()
        with open(self.complaints or os.devnull, "ab") as file:  # noqa: PTH123 - the one or the other
            self._process = self.begin(file.fileno() if self.complaints else 2)
        threading.Thread(target=self._read, args=(self._process,), daemon=True).start()
        if wait:
            self.wait_ready()
        return self

    def wait_ready(self) -> None:
        """Wait for `daemon.ready`; what runs log before can still be waited for."""
        known = len(self.lines)
        self.wait_for("daemon.ready", START_S)
        early = [each for each in self.lines[known:] if each["event"].startswith("run.")]
        self._early.extend(early)

    def begin(self, stderr: int) -> subprocess.Popen[bytes]:
        """Start the process; it writes its complaints to the open file *stderr*."""
        command = [*self.launcher, *self.command()]
        return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=stderr, env=self.env)

    def command(self) -> list[str]:
        """Return the command that serves the folder."""
        command = [sys.executable, "-m", "luad", "serve", "--jobs", str(self.jobs)]
        command += ["--state", str(self.state), "--socket", str(self.socket)]
        return [*command, "--log-format", "json", *self.options]

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._process is not None and self._process.poll() is None:
            self.stop()

    @property
    def process(self) -> subprocess.Popen[bytes]:
        assert self._process is not None, "start it first"
        return self._process

    def stop(self) -> int:
        """SIGTERM, and wait; return the exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(PATIENCE_S + 30)

    def kill(self) -> None:
        """Kill -9, and wait."""
        self.process.kill()
        self.process.wait()

    # --- its log ---

    def _read(self, process: subprocess.Popen[bytes]) -> None:
        assert process.stdout is not None
        mine = self._queue
        with process.stdout:
            for line in process.stdout:
                if line.endswith(b"\n"):  # a daemon that is killed may leave half a line
                    mine.put(json.loads(line))
        mine.put(None)

    def python(self, script: str) -> subprocess.CompletedProcess[str]:
        """Run a program beside the daemon, which is to succeed."""
        return subprocess.run(
            [sys.executable, "-c", script],
            env={**self.env, "LUAD_SOCKET": str(self.socket)},
            capture_output=True,
            text=True,
            check=True,
        )

    def wait_until_seen(self, event: str, **fields: object) -> None:
        """Wait for a line of that event and with those fields, unless there was one already."""
        wanted = {"event": event, **fields}.items()
        if not any(wanted <= line.items() for line in self.lines):
            self.wait_for(event, **fields)

    def wait_for(
        self, event: str, timeout_s: float = PATIENCE_S, **fields: object
    ) -> dict[str, Any]:
        """Return the next line of that event and with those fields; lines before it are kept in `lines`."""
        while self._early:
            line = self._early.popleft()
            if _is_wanted(line, event, fields):
                return line
        deadline = monotonic() + timeout_s
        while True:
            try:
                line = self._queue.get(timeout=max(0.0, deadline - monotonic()))
            except queue.Empty:
                raise AssertionError(f"no {event} {fields}; so far: {self.lines[-20:]}") from None
            if line is None:
                self._queue.put(None)  # for whoever asks next
                raise AssertionError(f"the daemon ended before {event}: {self.lines[-20:]}")
            self.lines.append(line)
            if _is_wanted(line, event, fields):
                return line

    def drain_log(self) -> list[dict[str, Any]]:
        """Return every line of a daemon that has ended."""
        while (line := self._queue.get(timeout=PATIENCE_S)) is not None:
            self.lines.append(line)
        return self.lines

    # --- its files ---

    def write_job(self, name: str, text: str) -> Path:
        """Put a job file in place the way editors do: a new file, renamed."""
        path = self.jobs / f"{name}.yaml"
        draft = self.jobs / f".{name}.draft"
        draft.write_text(text)
        draft.replace(path)
        return path

    def write_handler(self, module: str, text: str) -> None:
        """Write a module of handlers."""
        (self.handlers / f"{module}.py").write_text(text)

    def rows(self, question: str, *values: object) -> list[tuple[Any, ...]]:
        """Ask the database itself."""
        if url := self.env.get("LUAD_STORE"):
            import psycopg

            with psycopg.connect(url) as shared:
                return shared.execute(question.replace("?", "%s"), values or None).fetchall()
        connection = sqlite3.connect(f"file:{self.state / 'luad.db'}?mode=ro", uri=True)
        try:
            return connection.execute(question, values).fetchall()
        finally:
            connection.close()

    def luad(self, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Run a command of the command line against this daemon."""
        done = run_luad(["--socket", str(self.socket), *arguments], self.env)
        assert not check or done.returncode == 0, (arguments, done.returncode, done.stderr)
        return done

    def json(self, *arguments: str) -> Any:
        """Run a command with --json and return what it says."""
        return json.loads(self.luad("--json", *arguments).stdout)


def _is_wanted(line: dict[str, Any], event: str, fields: dict[str, object]) -> bool:
    return line["event"] == event and all(line.get(key) == value for key, value in fields.items())


def children_of(pid: int) -> Iterator[int]:
    """Yield the pids of every living descendant of a process; any of them may end meanwhile."""
    with suppress(OSError):
        for task in Path(f"/proc/{pid}/task").iterdir():
            for child in (task / "children").read_text().split():
                yield int(child)
                yield from children_of(int(child))
