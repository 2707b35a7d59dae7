"""Waiting for a run, showing its progress, and the exit code for its end.

Rule: it polls runs until they end; it starts and stops none.
"""

from __future__ import annotations

import signal
import threading
import time
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Final

from luad.cli.project.target_daemon import connect
from luad.cli.terminal.failure import CommandError, ExitCode
from luad.cli.terminal.labels import OPEN, RUN_GLYPHS, error_text, state_text
from luad.cli.terminal.progress import LiveLine
from luad.cli.terminal.times import parse_rfc3339, show_exact, show_took, to_datetime
from luad.client import segment
from luad.clock import monotonic_us, wall_ms
from luad.core.model import SECOND
from luad.errors import LuadError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from luad.cli.session import Session
    from luad.client import Client
    from luad.core.model import Instant
    from luad.json_text import JsonObject

FIRST_POLL_SECONDS: Final = 0.02
LAST_POLL_SECONDS: Final = 0.5
_CTRL_C: Final = "Ctrl-C leaves the run alone"

_interrupts: Final[list[int]] = []
"""Each Ctrl-C during `explained_interrupt`; Python drops a KeyboardInterrupt of a finalizer."""

RUN_EXIT_CODES: Final = {
    "succeeded": ExitCode.OK,
    "failed": ExitCode.RUN_FAILED,
    "lost": ExitCode.RUN_FAILED,
    "timed_out": ExitCode.TIMEOUT,
    "cancelled": ExitCode.RUN_CANCELLED,
    "skipped": ExitCode.CONFLICT,
    "missed": ExitCode.CONFLICT,
}


class RunWatcher:
    """Writes the progress of a run to standard error: its attempts, and when the next one starts.

    On a terminal the last line shows what the command waits for. Elsewhere each change is one line.
    """

    def __init__(self, session: Session, *, is_live: bool = True) -> None:
        self._session = session
        self._line = LiveLine(session.out)
        self._is_live = is_live and self._line.is_shown
        self._started = monotonic_us()
        self._shown: tuple[str, int] | None = None
        self._has_explained_ctrl_c = False

    def look(self, run: JsonObject) -> None:
        """Write the changes of *run* since the previous call."""
        if self._session.json:
            return
        now = (run["status"], run.get("attempt") or 1)
        if now != self._shown:
            self._shown = now
            if text := self._news(run):
                self.end()
                self._session.out.info(text, RUN_GLYPHS[run["status"]][1])
        waited = (monotonic_us() - self._started) // 1_000_000
        if waited < 1 or run["status"] not in OPEN:
            return
        words = f"{_state(run)}{_left(run)}, {waited} s"
        both = f"{words}   ({_CTRL_C})"
        has_room = self._is_live and self._line.has_room_for(both)
        if not (self._has_explained_ctrl_c or has_room):
            self._session.out.info(f"{_state(run)}; {_CTRL_C}", "dim")
        self._has_explained_ctrl_c = True
        if self._is_live:
            self._line.show(both if has_room else words)

    def end(self) -> None:
        """Clear the last line of the terminal."""
        self._line.show("")

    def _news(self, run: JsonObject) -> str:
        """Return the line about a waiting retry or a new attempt; empty for other states."""
        attempt, at = run.get("attempt") or 1, parse_rfc3339(run.get("retry_at"))
        if run["status"] == "retrying":
            error = f": {error_text(run)}" if error_text(run) else ""
            when = "" if at is None else f" at {_clock(self._session, at)} (in {_until(at)})"
            return f"{run['job']}: attempt {_of(run, attempt)} failed{error}; the next one starts{when}"
        if run["status"] == "running" and attempt > 1:
            return f"{run['job']}: attempt {_of(run, attempt)} has started"
        return ""


def _state(run: JsonObject) -> str:
    attempt = run.get("attempt") or 1
    match run["status"]:
        case "retrying":
            return f"{run['job']} waits for attempt {_of(run, attempt + 1)}"
        case "running":
            return f"{run['job']} is running, attempt {_of(run, attempt)}"
        case state:
            return f"{run['job']} is {state}"


def _of(run: dict[str, object], attempt: int) -> str:
    return f"{attempt} of {run['max_attempts']}" if run.get("max_attempts") else str(attempt)


def _left(run: JsonObject) -> str:
    at = parse_rfc3339(run.get("retry_at")) if run["status"] == "retrying" else None
    return "" if at is None else f" in {_until(at)}"


def _until(at: Instant) -> str:
    return show_exact(max(0, at - wall_ms()) // SECOND * SECOND)


def _clock(session: Session, at: Instant) -> str:
    return f"{to_datetime(at, session.zone):%H:%M:%S %Z}".rstrip()


def wait_for(client: Client, run: JsonObject, watcher: RunWatcher) -> JsonObject:
    """Return *run* once it has ended; polls at growing intervals, up to half a second."""
    pause = FIRST_POLL_SECONDS
    try:
        while run["status"] in OPEN:
            watcher.look(run)
            if _interrupts:
                raise KeyboardInterrupt
            time.sleep(pause)
            pause = min(pause * 1.5, LAST_POLL_SECONDS)
            run = client.get(f"/runs/{segment(run['id'])}")
    finally:
        watcher.end()
    return run


def follow(session: Session, client: Client, run: JsonObject) -> JsonObject:
    """Write the log and the attempts of *run* as they come; return the run once it has ended."""
    from luad.cli.terminal.log_lines import LinePrinter

    # With --json only the run itself goes to stdout.
    printer = None if session.json else LinePrinter(session.out, session.zone, has_prefix=False)
    watcher = RunWatcher(session, is_live=False)
    with _watching(session, run, watcher):
        for line in client.stream(f"/runs/{segment(run['id'])}/log", follow=True):
            if printer is not None:
                printer.write(line)
    return wait_for(client, run, watcher)


@contextmanager
def _watching(session: Session, run: JsonObject, watcher: RunWatcher) -> Iterator[None]:
    """Poll *run* in a second thread during the block, while the block reads the log."""
    is_over = threading.Event()
    client = connect(session, is_quiet=True)

    def watch() -> None:
        with suppress(LuadError):  # the stream of the log reports the same error
            while not is_over.wait(LAST_POLL_SECONDS):
                watcher.look(client.get(f"/runs/{segment(run['id'])}"))

    thread = threading.Thread(target=watch, name="watch", daemon=True)
    thread.start()
    try:
        yield
    finally:
        is_over.set()
        thread.join()


@contextmanager
def explained_interrupt(session: Session, runs: Sequence[dict[str, object]]) -> Iterator[None]:
    """On Ctrl-C in the block, say that the runs go on, and how to see or stop them."""
    before = signal.getsignal(signal.SIGINT)
    _interrupts.clear()
    if before is signal.default_int_handler:  # a command in the background ignores Ctrl-C
        signal.signal(signal.SIGINT, _interrupt)
    try:
        yield
    except KeyboardInterrupt:
        for run in runs:
            if run["status"] in OPEN and not session.json:
                name = run["id"]
                session.out.info(
                    f"\n{run['job']} goes on: luad logs -f {name}; luad cancel {name} stops it"
                )
        raise
    finally:
        signal.signal(signal.SIGINT, before)


def _interrupt(*_: object) -> None:
    _interrupts.append(signal.SIGINT)
    raise KeyboardInterrupt


@contextmanager
def time_limit(limit_ms: int | None) -> Iterator[None]:
    """Raise `CommandError` (timeout) in the block once *limit_ms* have passed."""
    if limit_ms is None:
        yield
        return

    def stop(*_: object) -> None:
        raise CommandError(
            f"the run had not ended after {show_took(limit_ms)}",
            code="timeout",
            hint="it goes on; luad history shows how it ends",
        )

    before = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, max(limit_ms, 1) / 1000)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def show_end(session: Session, run: JsonObject) -> int:
    """Write to stderr how *run* ended; return its exit code."""
    glyph, style = RUN_GLYPHS.get(run["status"], ("·", ""))
    took = f" after {show_took(run['duration_ms'])}" if run.get("duration_ms") is not None else ""
    error = f": {error_text(run)}" if error_text(run) else ""
    if not session.json:
        session.out.info(f"{glyph} {run['job']} {state_text(run)}{took}{error}", style)
    return RUN_EXIT_CODES.get(run["status"], ExitCode.ERROR)
