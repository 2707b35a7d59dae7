"""Brings jobs and users of the files into force, and answers requests to reload them.

Rule: readings come from `luad.daemon.reloading`; the engine decides which jobs are installed.
"""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import replace
from itertools import chain
from typing import TYPE_CHECKING, Final, Protocol

from luad.api.service import ReloadResult
from luad.clock import monotonic_us
from luad.core.events import ConfigChanged, Log
from luad.core.plan import Plan, together
from luad.daemon import wiring
from luad.daemon.comparison import FileComparison
from luad.daemon.free_memory import return_free_memory
from luad.daemon.load_progress import LoadProgress, told
from luad.daemon.reloading import Reloader
from luad.daemon.status import jobs_line

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping

    from luad.core.events import Reply, Restored
    from luad.core.model import Run, Wanted
    from luad.daemon.condition import Parts
    from luad.daemon.file_problems import FileProblems
    from luad.daemon.file_reading import ConfigReader, Reading
    from luad.daemon.replies import Replies
    from luad.errors import Problem

_PORTION: Final = 50
"""The largest number of jobs that change in one turn of the loop, in some milliseconds."""

MOST_NAMED: Final = 50
"""The changes of each kind that the status names."""


class Others(Protocol):
    """The other nodes that share the jobs with this daemon."""

    async def announce(self, items: Mapping[str, Wanted | None]) -> Plan | None:
        """Put changed files in force; return what they change on all nodes, or None if other files are in force."""
        ...

    def count(self) -> int:
        """Return the number of jobs in the files that this node has read."""
        ...


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
        self.others: Others | None = None
        """Set by a daemon that is a node of several."""
        self._waiting: deque[tuple[Reading, asyncio.Future[Plan]]] = deque()
        self._has_work = asyncio.Event()
        self._digest = wiring.files_digest(parts.settings)
        self._comparison = FileComparison(parts, reader, replies, self._install_rest)
        self.reloader = Reloader(
            reader, self._apply, lambda error: parts.tasks.note_failure("reloader", error)
        )

    def restore(self, take_over: Callable[[Collection[int]], Restored]) -> Restored:
        """Take over the jobs and files in the store; files are read only if they have changed since.

        *take_over* gets the short hashes of the documents that this luad has checked before.
        """
        files = self._parts.store.files.restore(self._digest)
        restored = take_over(frozenset(chain.from_iterable(each.checked for each in files)))
        self._reader.restore(files)
        return restored

    async def begin_comparison(self, open_runs: Iterable[Run]) -> Collection[str] | None:
        """Load the users, and return the jobs whose files were compared, at least those of *open_runs*.

        The others are compared while jobs run. None if all files must be read before anything starts.
        """
        entries = (self._parts.engine.find(run.job_id) for run in open_runs)
        names = {each.job.name for each in entries if each is not None and each.wanted.origin}
        found = await self._comparison.begin(names)
        if found is None:
            return None
        reading, compared = found
        self._note(reading)
        return compared

    async def run_reloader(self, rescan_s: float | None) -> None:
        """Compare the files if that is left to do, then reload what changes until cancelled."""
        await self._comparison.run()
        await asyncio.to_thread(self._reader.settle)
        await asyncio.to_thread(return_free_memory)
        await self.reloader.run(rescan_s)

    async def _install_rest(self, reading: Reading) -> None:
        """Bring into force what the comparison has found."""
        self.reloader.recheck_after(reading)
        await self._apply(reading)

    async def read(self) -> Reading:
        """Read the files for the first time, and load the users."""
        progress = LoadProgress(self._parts.notifier, self._parts.logs)
        async with told(progress.tell, self._reader.progress):
            reading = await asyncio.to_thread(self._reader.read)
        self._note(reading)
        self._reader.delivered(reading)
        return reading

    async def reload(self, *, check_only: bool = False) -> ReloadResult:
        """Read the folders now; return the changes once they are in force and durable.

        With *check_only* nothing changes, and the result holds what would change.
        """
        parts = self._parts
        await self._comparison.wait()
        if check_only:
            snapshots = wiring.job_snapshots(parts.settings)
            reading = await asyncio.to_thread(self._reader.dry_run, snapshots)
            plan = parts.engine.plan(reading.items)
            problems = await self._file_problems.of_dry_run(reading)
            return self._result(plan, reading, problems)
        parts.notifier.reloading(monotonic_us(), "reading jobs")
        line = ""
        renewing = asyncio.ensure_future(self._renew_spawner())
        try:
            reading, answer = await self.reloader.ask()
            plan = await asyncio.shield(answer)  # other clients may wait for the same answer
            line = jobs_line(parts)
        finally:
            await asyncio.gather(renewing, return_exceptions=True)
            parts.notifier.ready(line)
        await self._file_problems.missing.look()
        return self._result(plan, reading, self._file_problems.of_reload(reading))

    async def run(self) -> None:
        """Bring the readings into force, one after the other, until cancelled."""
        while True:
            await self._has_work.wait()
            while self._waiting:
                reading, answer = self._waiting.popleft()
                plan = await self._install(reading) if reading.is_news else Plan()
                self._keep_files(reading)
                if not answer.done():
                    answer.set_result(plan)
            self._has_work.clear()

    def _keep_files(self, reading: Reading) -> None:
        """Keep the files of *reading* in the store; its jobs must be durable before."""
        self._parts.store.files.save_later(self._digest, reading.to_save, reading.to_drop)

    def keep_first(self, reading: Reading, in_force: asyncio.Future[Reply]) -> None:
        """Keep the files of the first reading, once its jobs are *in_force*."""
        if not in_force.cancelled():
            self._keep_files(reading)

    async def _install(self, reading: Reading) -> Plan:
        """Bring a reading into force; return what has changed once all of it is durable.

        The loop does other work between two portions. Removals come first.
        """
        whole = None if self.others is None else await self.others.announce(reading.items)
        if whole is None and self.others is not None:
            return Plan()
        every = sorted(reading.items.items(), key=lambda each: each[1] is not None)
        portions = [dict(every[at : at + _PORTION]) for at in range(0, len(every), _PORTION)]
        plans = [
            await self._install_portion(portion, f"reload-{reading.serial}-{number}")
            for number, portion in enumerate(portions or [{}])
        ]
        plan = together(plans)
        if plan.add or plan.replace or plan.remove:
            self._parts.condition.last_plan = reading.at, _shortened(plan)
        fields = {
            "added": len(plan.add),
            "replaced": len(plan.replace),
            "removed": len(plan.remove),
            "kept": self._kept_count(plan),
            "problems": reading.error_count,
        }
        self._parts.effects.log(Log("config.installed", fields))
        self._parts.ring.publish("config.changed", fields)
        return whole or plan

    async def _install_portion(self, items: Mapping[str, Wanted | None], request_id: str) -> Plan:
        answer = self._replies.expect(request_id)
        self._parts.loop.post(ConfigChanged(items, request_id))
        plan = (await answer).value
        assert isinstance(plan, Plan)
        return plan

    def _kept_count(self, plan: Plan) -> int:
        count = self._parts.engine.static_count if self.others is None else self.others.count()
        return count - len(plan.add) - len(plan.replace)

    def _apply(self, reading: Reading) -> asyncio.Future[Plan]:
        self._note(reading)
        answer: asyncio.Future[Plan] = asyncio.get_running_loop().create_future()
        self._waiting.append((reading, answer))
        self._has_work.set()
        self._reader.delivered(reading)
        return answer

    def _note(self, reading: Reading) -> None:
        condition = self._parts.condition
        if condition.reading is None or condition.reading.users != reading.users:
            self._parts.directory.load(reading.users)
        condition.reading = replace(
            reading, items={}, wanted={}, to_save=(), to_drop=()
        )  # the engine has the jobs
        if not reading.error_count:
            condition.last_good_reload_at = reading.at
        self._file_problems.log_new(reading)

    def _result(self, plan: Plan, reading: Reading, problems: tuple[Problem, ...]) -> ReloadResult:
        return ReloadResult(
            tuple(each.job.name for each in plan.add),
            tuple((each.name, each.changes) for each in plan.replace),
            plan.remove,
            self._kept_count(plan),
            problems,
            reading.stale,
        )


def _shortened(plan: Plan) -> Plan:
    """Return the first changes of each kind, which the status shows."""
    return Plan(plan.add[:MOST_NAMED], plan.replace[:MOST_NAMED], plan.remove[:MOST_NAMED])
