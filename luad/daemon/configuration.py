"""Brings jobs and users of the files into force, and answers requests to reload them.

Rule: readings come from `luad.daemon.reloading`; the engine decides which jobs are installed.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from luad.api.service import ReloadResult
from luad.clock import monotonic_us
from luad.core.events import ConfigLoaded
from luad.core.plan import Plan
from luad.daemon import wiring
from luad.daemon.reloading import Reloader
from luad.daemon.status import jobs_line

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from luad.core.events import Reply
    from luad.daemon.condition import Parts
    from luad.daemon.file_problems import FileProblems
    from luad.daemon.reloading import ConfigReader, Reading
    from luad.daemon.replies import Replies
    from luad.errors import Problem


class Configuration:
    """The files of one daemon. Each requested reload also awaits *renew_spawner*."""

    def __init__(
        self,
        parts: Parts,
        reader: ConfigReader,
        file_problems: FileProblems,
        replies: Replies,
        renew_spawner: Callable[[], Awaitable[None]],
    ) -> None:
        self._parts = parts
        self._reader = reader
        self._file_problems = file_problems
        self._replies = replies
        self._renew_spawner = renew_spawner
        self.reloader = Reloader(
            reader, self._apply, lambda error: parts.tasks.note_failure("reloader", error)
        )

    async def read(self) -> Reading:
        """Read the files for the first time, and load the users."""
        reading = await asyncio.to_thread(self._reader.read)
        self._note(reading)
        return reading

    async def reload(self, *, check_only: bool = False) -> ReloadResult:
        """Read the folders now; return the changes once they are in force and durable.

        With *check_only* nothing changes, and the result holds what would change.
        """
        parts = self._parts
        if check_only:
            snapshots = wiring.job_snapshots(parts.settings)
            reading = await asyncio.to_thread(self._reader.dry_run, snapshots)
            plan = parts.engine.plan(reading.loaded.wanted)
            return _result(plan, reading, self._file_problems.of_dry_run(reading))
        parts.notifier.reloading(monotonic_us(), "reading jobs")
        line = ""
        renewing = asyncio.ensure_future(self._renew_spawner())
        try:
            reading, answer = await self.reloader.ask()
            plan = (
                await asyncio.shield(answer)
            ).value  # other clients may wait for the same answer
            line = await jobs_line(parts)
        finally:
            await asyncio.gather(renewing, return_exceptions=True)
            parts.notifier.ready(line)
        assert isinstance(plan, Plan)
        return _result(plan, reading, self._file_problems.of_files(reading))

    def _apply(self, reading: Reading) -> asyncio.Future[Reply]:
        self._note(reading)
        request_id = f"reload-{reading.serial}"
        answer = self._replies.expect(request_id)
        event = ConfigLoaded(reading.loaded.wanted, reading.error_count, request_id)
        self._parts.loop.post(event)
        return answer

    def _note(self, reading: Reading) -> None:
        condition = self._parts.condition
        if condition.reading is None or condition.reading.users != reading.users:
            self._parts.directory.load(reading.users)
        condition.reading = reading
        if not reading.error_count:
            condition.last_good_reload_at = reading.at
        self._file_problems.log_new(reading)


def _result(plan: Plan, reading: Reading, problems: tuple[Problem, ...]) -> ReloadResult:
    return ReloadResult(
        tuple(each.job.name for each in plan.add),
        tuple((each.name, each.changes) for each in plan.replace),
        plan.remove,
        len(plan.keep),
        problems,
        reading.loaded.stale,
    )
