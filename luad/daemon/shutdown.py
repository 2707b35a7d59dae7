"""The shutdown of a daemon: waits for its runs, and reports which ones it waits for.

Rule: this module posts events; the engine decides the end of each run.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from luad.clock import elapsed_ms
from luad.core.events import DrainRequested
from luad.core.model import Run, RunState

if TYPE_CHECKING:
    from collections.abc import Awaitable, Sequence

    from luad.daemon.condition import Parts
    from luad.logs import Logging

LEAVE_AFTER_MS: Final = 3_000
"""Time beyond the kill grace: for runs to end, and for the store to accept a write again."""

_EXTEND_US: Final = 30_000_000
_FIRST_LOOK_MS: Final = 100  # most daemons have no runs, and have ended by then
_STATUS_MS: Final = 1_000
_LOG_MS: Final = 15_000
_MOST_NAMED: Final = 10


class Shutdown:
    """Waits for runs, ends them in time, and reports what it waits for."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._hurry = asyncio.Event()
        self._logged_at: int | None = None

    def hurry(self) -> None:
        """End the running runs now."""
        self._hurry.set()

    async def run(self) -> None:
        """Wait for runs as long as the settings allow, then end them, then stop the loop.

        A store that cannot be written, or a process that cannot be killed, delays this for a limited
        time only.
        """
        parts = self._parts
        settings = parts.settings
        grace_ms = settings.kill_grace_ms + LEAVE_AFTER_MS
        parts.notifier.extend_timeout((settings.drain_ms + grace_ms) * 1_000 + _EXTEND_US)
        await self._wait(settings.drain_ms, "running", self._hurry)
        parts.loop.post(DrainRequested(is_impatient=True))
        self._logged_at = None
        await self._wait(grace_ms, "ending", asyncio.Event())
        parts.logs.emit("error", "daemon.left_undone", {"running": len(parts.runner.running)})
        parts.loop.stop()

    async def _wait(self, most_ms: int, phase: str, enough: asyncio.Event) -> None:
        """Wait for *most_ms*, or until *enough* is set."""
        until = elapsed_ms() + most_ms
        pause_ms = _FIRST_LOOK_MS
        while (left_ms := until - elapsed_ms()) > 0 and not enough.is_set():
            with suppress(TimeoutError):
                async with asyncio.timeout(min(pause_ms, left_ms) / 1_000):
                    await enough.wait()
            pause_ms = _STATUS_MS
            self._report(phase, max(0, until - elapsed_ms()))

    def _report(self, phase: str, left_ms: int) -> None:
        runs = [run for run in self._parts.engine.runs.all() if run.state is RunState.RUNNING]
        if not runs:
            return
        parts, now = self._parts, self._parts.clock.now()
        parts.notifier.status(status_of(runs, phase, left_ms, now.wall))
        if self._logged_at is None or now.elapsed - self._logged_at >= _LOG_MS:
            self._logged_at = now.elapsed
            parts.logs.emit("info", "daemon.waiting", fields_of(runs, phase, left_ms, now.wall))


async def stop_part(logs: Logging, part: str, work: Awaitable[None]) -> None:
    """Await the stop of one part of the daemon; log a failure, so that the other parts are stopped too."""
    try:
        await work
    except Exception as error:  # noqa: BLE001 - the other parts must still be stopped
        fields = {"part": part, "error": f"{type(error).__name__}: {error}"}
        logs.emit("error", "daemon.stop_failed", fields)


def fields_of(runs: Sequence[Run], phase: str, left_ms: int, now: int) -> dict[str, object]:
    """Return the fields of the log line: the runs that are waited for, and the time left."""
    named = [
        {"job": run.job_name, "run_id": run.id, "running_s": _age_s(run, now)}
        for run in runs[:_MOST_NAMED]
    ]
    return {"phase": phase, "count": len(runs), "at_most_s": _seconds(left_ms), "runs": named}


def status_of(runs: Sequence[Run], phase: str, left_ms: int, now: int) -> str:
    """Return the same facts as one line for `systemctl status`."""
    names = ", ".join(
        f"{run.job_name} {run.id} (for {_age_s(run, now)} s)" for run in runs[:_MOST_NAMED]
    )
    if len(runs) > _MOST_NAMED:
        names += f" and {len(runs) - _MOST_NAMED} more"
    many = "1 run" if len(runs) == 1 else f"{len(runs)} runs"
    verb = "waiting for" if phase == "running" else "ending"
    return f"stopping: {verb} {many}, at most {_seconds(left_ms)} s: {names}"


def _age_s(run: Run, now: int) -> int:
    began = run.claimed_at if run.started_at is None else run.started_at
    return max(0, now - began) // 1_000


def _seconds(ms: int) -> int:
    return (ms + 999) // 1_000
