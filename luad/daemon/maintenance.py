"""Periodic work of the daemon: heartbeat, socket and lock files, a new spawner after an installation.

Rule: a failure here costs this work only, never the schedule.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from luad.core.events import Ticked
from luad.daemon.reaper import ZombieReaper
from luad.daemon.status import status_line
from luad.runner.site_packages import site_marks
from luad.store.state_folder import LOCK

if TYPE_CHECKING:
    from luad.daemon.condition import Parts

_BEAT_S: Final = 10.0


class Maintenance:
    """The periodic work of one daemon."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._marks = self._marks_before = site_marks()

    async def run(self) -> None:
        """Work at every heartbeat until cancelled. Each beat makes the loop turn, for the watchdog."""
        parts = self._parts
        period_s = min(_BEAT_S, (parts.notifier.watchdog_interval_s or 2 * _BEAT_S) / 2)
        shown = ""
        reaper = ZombieReaper()
        while True:
            await asyncio.sleep(period_s)
            parts.loop.post(Ticked())
            parts.store.note_alive(parts.clock.now().wall)
            reaper.reap()
            await self._restore_files()
            if parts.engine.is_draining:
                continue  # the shutdown sets the status line then
            self._watch_packages()
            if parts.notifier.is_supervised and (line := status_line(parts)) != shown:
                parts.notifier.status(line)
                shown = line

    def _watch_packages(self) -> None:
        """Renew the spawner once the files have changed that Python reads at its start."""
        marks = site_marks()  # a third of a millisecond; a thread may not be available
        if marks not in (self._marks, self._marks_before):
            self._marks_before = marks  # pip may still be at work: look again
            return
        if marks != self._marks:
            self._marks = marks
            # A beat must not wait for an interpreter.
            self._parts.tasks.start(self.renew_spawner(), "renewal")

    async def renew_spawner(self) -> None:
        """Start further runs from a new interpreter; the present one stays if none starts."""
        self._marks = self._marks_before = site_marks()
        logs, runner = self._parts.logs, self._parts.runner
        if await runner.renew_spawner():
            logs.emit("info", "spawner.renewed", {"pid": runner.spawner_pid})
        else:
            logs.emit("warning", "spawner.not_renewed", {"pid": runner.spawner_pid})

    async def _restore_files(self) -> None:
        """Restore the socket and the lock file where they were deleted, and log it."""
        parts, condition = self._parts, self._parts.condition
        if line := await parts.api.look_after_socket():
            parts.effects.log(line)
        lock = str(parts.store.path.parent / LOCK)
        match parts.store.keep_lock():
            case True:
                parts.logs.emit("warning", "store.lock_restored", {"lock": lock})
                condition.lock_fault = None
            case False:
                condition.lock_fault = None
            case None if condition.lock_fault is None:
                why = f"{lock} was deleted, and cannot be made and locked again"
                condition.lock_fault = why
                parts.logs.emit("error", "store.lock_lost", {"lock": lock, "why": why})
