"""Executes each attempt in the way of its job: in a process of its own, or in a shared process.

Rule: it chooses, and passes on.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from luad.core.model import Isolation
from luad.runner.runner import Runner
from luad.runner.shared.pool import SharedRunner

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from luad.core.events import AttemptEnded, AttemptStarted, StartAttempt
    from luad.core.model import ProcessIdentity
    from luad.runner.attempt import Key
    from luad.runner.capture import Line
    from luad.runner.leftovers import OrphanLog
    from luad.runner.shared.pool import LogLine
    from luad.runner.spec import RunnerConfig


class Runners:
    """A `Runner` and a `SharedRunner`; the arguments are theirs."""

    def __init__(
        self,
        config: RunnerConfig,
        *,
        shared_processes: int,
        emit: Callable[[AttemptStarted | AttemptEnded], None],
        on_lines: Callable[[str, int, str, list[Line]], None],
        log: LogLine,
    ) -> None:
        self._runner = Runner(config, emit=emit, on_lines=on_lines)
        self.shared = SharedRunner(
            config,
            most=shared_processes,
            lock=self._runner.hold_lock,
            emit=emit,
            on_lines=on_lines,
            log=log,
        )

    @property
    def fault(self) -> str:
        """The reason why no run can be started; empty if runs can be started."""
        return self._runner.fault

    @property
    def running(self) -> Mapping[Key, ProcessIdentity | None]:
        """The attempts that have not ended, with their processes."""
        return {**self._runner.running, **self.shared.running}

    @property
    def spawner_pid(self) -> int | None:
        """The process id of the spawner; None if none runs."""
        return self._runner.spawner_pid

    @property
    def orphans(self) -> OrphanLog:
        """The ended processes that nothing linked to a run."""
        return self._runner.orphans

    def own_pids(self) -> set[int]:
        """Return the process ids of the children of this process that are luad's own."""
        return self._runner.own_pids() | self.shared.own_pids()

    async def start(self) -> None:
        """Start the spawner; shared processes start with the first run that needs one."""
        await self._runner.start()

    async def wait_for_previous(self, timeout_ms: int) -> bool:
        """Wait until no process of an earlier daemon's runs is alive; False after *timeout_ms*."""
        return await self._runner.wait_for_previous(timeout_ms)

    async def renew_spawner(self) -> bool:
        """Start later runs from new interpreters; False if the spawner's does not become ready."""
        self.shared.renew()
        return await self._runner.renew_spawner()

    async def close(self) -> None:
        """End the running attempts, report them, and end all processes."""
        await asyncio.gather(self.shared.close(), self._runner.close())

    def launch(self, start: StartAttempt) -> None:
        """Execute an attempt. A failure is reported as its `AttemptEnded`."""
        if start.job.isolation is Isolation.SHARED:
            self.shared.launch(start)
        else:
            self._runner.launch(start)

    def stop(self, run_id: str, attempt: int, kill: bool = False) -> None:
        """End an attempt; an unknown one is ignored."""
        self.shared.stop(run_id, attempt, kill)
        self._runner.stop(run_id, attempt, kill)

    def kill_all(self) -> None:
        """End every attempt at once."""
        for key in list(self.running):
            self.stop(*key, kill=True)
