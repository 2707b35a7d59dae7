"""Waiting for a run, watching it, and ending the way it ended.

Room rule: looks at runs until they are over; starts and stops none.
"""

from __future__ import annotations

import signal
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

from luad.cli.failure import CommandError, ExitCode
from luad.cli.times import show_took
from luad.cli.words import OPEN, RUN_GLYPHS, error_words, state_word
from luad.client import segment

if TYPE_CHECKING:
    from collections.abc import Iterator

    from luad.cli.session import Session
    from luad.client import Client

FIRST_LOOK_SECONDS: Final = 0.02
LAST_LOOK_SECONDS: Final = 0.5

RUN_EXIT_CODES: Final = {
    "succeeded": ExitCode.OK,
    "failed": ExitCode.RUN_FAILED,
    "lost": ExitCode.RUN_FAILED,
    "timed_out": ExitCode.TIMEOUT,
    "cancelled": ExitCode.RUN_CANCELLED,
    "skipped": ExitCode.CONFLICT,
    "missed": ExitCode.CONFLICT,
}


def wait_for(client: Client, run: dict[str, Any]) -> dict[str, Any]:
    """Return *run* once it has ended; asks at growing intervals, at most two a second."""
    pause = FIRST_LOOK_SECONDS
    while run["status"] in OPEN:
        time.sleep(pause)
        pause = min(pause * 1.5, LAST_LOOK_SECONDS)
        run = client.get(f"/runs/{segment(run['id'])}")
    return run


def follow(session: Session, client: Client, run: dict[str, Any]) -> dict[str, Any]:
    """Write the log of *run* as it grows; return the run once it has ended."""
    from luad.cli.logs import Printer

    # The log is talk here: with --json stdout belongs to the run.
    printer = None if session.json else Printer(session, has_prefix=False)
    for line in client.stream(f"/runs/{segment(run['id'])}/log", follow=True):
        if printer is not None:
            printer.write(line)
    return wait_for(client, run)


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


def conclude(session: Session, run: dict[str, Any]) -> int:
    """Say on stderr how *run* ended, and return the exit code for it."""
    glyph, style = RUN_GLYPHS.get(run["status"], ("·", ""))
    took = f" after {show_took(run['duration_ms'])}" if run.get("duration_ms") is not None else ""
    error = f": {error_words(run)}" if error_words(run) else ""
    if not session.json:
        session.out.say(f"{glyph} {run['job']} {state_word(run)}{took}{error}", style)
    return RUN_EXIT_CODES.get(run["status"], ExitCode.ERROR)
