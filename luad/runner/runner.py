"""The runner starts and stops attempts, and reports their output and their ending.

Rule: it reports endings and does not interpret them. `launch` and `stop` never raise and never wait;
every launched attempt ends in exactly one `AttemptEnded`. Every method runs on the event loop.
"""

from __future__ import annotations

import asyncio
from collections import deque
from contextlib import suppress
from dataclasses import replace
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final

from luad.clock import elapsed_ms, wall_ms
from luad.core.events import AttemptEnded, AttemptStarted
from luad.core.model import SECOND, Ending, EndKind, ProcessIdentity
from luad.errors import UnavailableError
from luad.runner.attempt import (
    Attempt,
    Key,
    cancelled_early,
    ending_of,
    error_of,
    failed_ending,
)
from luad.runner.capture import system_line
from luad.runner.frames import encode
from luad.runner.keepers import key_of
from luad.runner.leftovers import OrphanLog, end_runs, leftovers_message
from luad.runner.processes import (
    boot_id,
    continue_if_stopped,
    continue_other_holders,
    kill_survivor,
)
from luad.runner.runslock import RunsLock
from luad.runner.spawning import Spawners
from luad.runner.spec import build_spec, constant_part

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from luad.core.events import StartAttempt
    from luad.runner.capture import Line
    from luad.runner.keeper_link import KeeperLink
    from luad.runner.spec import RunnerConfig

_WINDOW: Final = 32  # attempts whose process is being started; more would only compete for the CPU
_MAX_TRIES: Final = 6  # keepers that may die before the handler of an attempt gets the run
_START_TIMEOUT_S: Final = 30
_WAKE_AFTER_MS: Final = 500  # a keeper that is not stopped notices the end of its daemon at once
_SWEEP_S: Final = 0.5
_CLOSE_MARGIN_S: Final = 8.0


class Runner:
    """Runs attempts in processes of their own.

    *emit* gets `AttemptStarted` (unless no process was started) and then `AttemptEnded`;
    *on_lines* gets run id, attempt, job name and lines, in their order and before the ending. A
    line is ``{"ts": ms, "stream", "level", "logger", "message"}``; a log record may also have
    ``extras``, ``exception`` and ``stack``.
    """

    def __init__(
        self,
        config: RunnerConfig,
        *,
        emit: Callable[[AttemptStarted | AttemptEnded], None],
        on_lines: Callable[[str, int, str, list[Line]], None],
    ) -> None:
        self._config = config
        self._emit = emit
        self._on_lines = on_lines
        self._constant = constant_part(config)
        self._socket_path = str(config.socket_path or "")
        self._boot_id = boot_id()
        self._lock: RunsLock | None = None
        self._spawners = Spawners(
            config,
            lock=self.hold_lock,
            on_ready=self._launch_pending,
            on_fault=self._refuse_pending,
            on_frame=self._on_frame,
            on_keeper_gone=self._on_keeper_gone,
        )
        self._attempts: dict[Key, Attempt] = {}
        self._pending: deque[Attempt] = deque()
        self._launching: set[Attempt] = set()  # sent to the spawner; no process reported yet
        self._tasks: set[asyncio.Task[None]] = set()
        self._is_closing = False
        self._idle = asyncio.Event()
        self._idle.set()
        self.orphans = OrphanLog()

    # --- life ----------------------------------------------------------------------------------

    @property
    def fault(self) -> str:
        """The reason why no run can be started; empty if runs can be started."""
        return self._spawners.fault

    async def start(self) -> None:
        """Start the spawner and wait until it is ready.

        Raises `UnavailableError` if no process can be started.
        """
        self.hold_lock()
        self._spawners.start()
        try:
            async with asyncio.timeout(_START_TIMEOUT_S):
                await self._spawners.decided.wait()
        except TimeoutError:
            self._spawners.error = "it does not become ready"
        if self.fault:
            await self.close()
            raise UnavailableError(self.fault)
        self._spawn_task(self._sweep())

    async def wait_for_previous(self, timeout_ms: int = 15 * SECOND) -> bool:
        """Wait until no process of an earlier daemon's runs is alive; False after *timeout_ms*.

        The keepers end such runs on their own. Keepers that were stopped get SIGCONT.
        """
        lock = self.hold_lock()
        if await lock.wait_for_others(min(timeout_ms, _WAKE_AFTER_MS)):
            return True
        await asyncio.to_thread(continue_other_holders, lock.path)
        return await lock.wait_for_others(timeout_ms - _WAKE_AFTER_MS)

    async def close(self) -> None:
        """End the running attempts (TERM, grace, KILL), report them, and end the spawner."""
        self._is_closing = True
        for attempt in list(self._attempts.values()):
            self.stop(*attempt.key)
        grace_s = self._config.kill_grace_ms / SECOND
        with suppress(TimeoutError):
            async with asyncio.timeout(grace_s + _CLOSE_MARGIN_S):
                await self._idle.wait()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for attempt in list(self._attempts.values()):
            self._end(attempt, self._lost("its keeper did not report"))
        await self._spawners.close()
        if self._lock is not None:
            self._lock.close()
            self._lock = None

    @property
    def running(self) -> Mapping[Key, ProcessIdentity | None]:
        """The attempts that have not ended, with their processes; None: no process known yet."""
        return MappingProxyType({key: item.handler for key, item in self._attempts.items()})

    @property
    def spawner_pid(self) -> int | None:
        """The process id of the spawner; None if none runs."""
        link = self._spawners.link
        return link.pid if link is not None else None

    def own_pids(self) -> set[int]:
        """Return the process ids of the spawners, keepers and forkers."""
        return self._spawners.pids

    # --- requests ------------------------------------------------------------------------------

    def launch(self, start: StartAttempt) -> None:
        """Start a process for an attempt. A failure is reported as its `AttemptEnded`."""
        attempt = Attempt(start)
        assert attempt.key not in self._attempts, f"{attempt.key} was launched already"
        self._attempts[attempt.key] = attempt
        self._idle.clear()
        if self._is_closing:
            self._refuse(attempt, "RunnerClosed", "the daemon is shutting down")
            return
        self._pending.append(attempt)
        self._launch_pending()

    def stop(self, run_id: str, attempt: int, kill: bool = False) -> None:
        """End an attempt: TERM, grace, KILL; or KILL at once. An unknown attempt is ignored."""
        found = self._attempts.get((run_id, attempt))
        if found is None or found.is_lost:
            return  # it has ended, or luad reports it as lost
        found.is_stopping = True
        if found.keeper is None:
            with suppress(ValueError):
                self._pending.remove(found)
            self._end_soon(found, cancelled_early())
            return
        grace_ms = 0 if kill else self._config.kill_grace_ms
        found.overdue_ms = elapsed_ms() + grace_ms + self._config.overdue_ms
        found.keeper.stop(found, kill=kill)

    def kill_all(self) -> None:
        """End every attempt at once."""
        for key in list(self._attempts):
            self.stop(*key, kill=True)

    # --- launching -----------------------------------------------------------------------------

    def _launch_pending(self) -> None:
        """Send pending attempts to keepers, up to `_WINDOW` at once."""
        while self._pending and len(self._launching) < _WINDOW and (link := self._spawners.link):
            attempt = self._pending.popleft()
            try:
                spec = encode(build_spec(attempt.start, self._constant, self._socket_path))
                link.keepers.pick(key_of(attempt.start)).start(attempt, spec)
            except (BlockingIOError, BrokenPipeError, ConnectionResetError):
                self._pending.appendleft(attempt)
                return  # the spawner is busy or gone: the next start, or the next spawner, launches it
            except (OSError, ValueError, TypeError, RecursionError) as error:
                is_retryable = isinstance(error, OSError)  # other errors come from the job's values
                self._refuse(attempt, type(error).__name__, str(error), is_retryable=is_retryable)
                continue
            link.attempt_count += 1
            self._launching.add(attempt)

    # --- reports of keepers --------------------------------------------------------------------

    def _on_frame(self, attempt: Attempt, frame: dict[str, Any]) -> None:
        match frame["t"]:
            case "started":
                self._on_started(attempt, frame)
            case "lines":
                self._on_lines(*attempt.key, attempt.start.job.name, frame["lines"])
            case "ended":
                self._end(attempt, ending_of(frame))
            case "failed":
                error = error_of(frame["error"])
                self._end(attempt, Ending(EndKind.NOT_STARTED, wall_ms(), error=error))

    def _on_started(self, attempt: Attempt, frame: dict[str, Any]) -> None:
        self._launching.discard(attempt)
        attempt.handler = self._identity(frame)
        timeout_ms = attempt.start.job.timeout_ms
        if attempt.overdue_ms is None and timeout_ms is not None:
            patience_ms = self._config.kill_grace_ms + self._config.overdue_ms
            attempt.overdue_ms = elapsed_ms() + timeout_ms + patience_ms
        self._emit(AttemptStarted(*attempt.key, frame["ts"], attempt.handler))
        self._launch_pending()

    def _on_keeper_gone(self, link: KeeperLink) -> None:
        """Handle the end of a keeper: its runs are lost, unless their handlers have not got them."""
        attempts = list(link.attempts.values())
        lost = [attempt for attempt in attempts if link.has_begun(attempt)]
        for attempt in lost:
            self._launching.discard(attempt)
            attempt.is_lost = True
        for attempt in attempts:
            if not attempt.is_lost:
                self._retry(attempt, link)
        if lost:
            self._spawn_task(self._clear_up(link, lost))
        if link.process is not None:  # else it could not be made, and the next launch tries again
            link.spawner.keepers.replace()
        self._launch_pending()

    def _retry(self, attempt: Attempt, link: KeeperLink) -> None:
        """Launch an attempt again, whose keeper died before the handler got the run."""
        if link.error is not None:
            ending = Ending(EndKind.NOT_STARTED, wall_ms(), error=error_of(link.error))
            self._end(attempt, ending)
        elif attempt.is_stopping:
            self._end(attempt, cancelled_early())
        elif attempt.tries + 1 >= _MAX_TRIES:
            message = f"the keeper process died {_MAX_TRIES} times while it started this run"
            self._refuse(attempt, "KeeperGone", message)
        else:
            attempt.tries += 1
            self._release(attempt)
            self._pending.append(attempt)

    async def _clear_up(self, link: KeeperLink, lost: Sequence[Attempt]) -> None:
        """End the processes that the runs of a dead keeper left, then report the runs as lost."""
        handlers = {attempt.start.run.id: attempt.handler for attempt in lost}
        ended = await asyncio.to_thread(end_runs, handlers, link.processes)
        strangers = await link.spawner.sweep()
        for attempt in lost:
            run_id, handler = attempt.start.run.id, attempt.handler
            # A process without a sign of its run may come from any of them.
            found, strangers = [*ended[run_id], *strangers], []
            left = [each for each in found if not handler or each.pid != handler.pid]
            self.orphans.note(run_id, [each for each in left if not each.is_identified])
            if left:
                line = system_line(leftovers_message(left), wall_ms(), level="warning")
                self._on_lines(*attempt.key, attempt.start.job.name, [line])
            ending = self._lost("its keeper process was killed")
            self._end(attempt, replace(ending, left_processes=len(left)))

    def _release(self, attempt: Attempt) -> None:
        """Take the attempt from its keeper."""
        self._launching.discard(attempt)
        link = attempt.keeper
        if link is not None:
            link.forget(attempt)
            self._spawners.release(link.spawner)

    # --- endings -------------------------------------------------------------------------------

    def _end(self, attempt: Attempt, ending: Ending) -> None:
        if self._attempts.pop(attempt.key, None) is None:
            return  # it was stopped twice before it had started
        self._release(attempt)
        self._emit(AttemptEnded(*attempt.key, ending))
        if not self._attempts:
            self._idle.set()
        self._launch_pending()

    def _end_soon(self, attempt: Attempt, ending: Ending) -> None:
        """End the attempt after the caller of `launch` or `stop` has returned."""
        asyncio.get_running_loop().call_soon(self._end, attempt, ending)

    def _refuse(
        self, attempt: Attempt, name: str, message: str, *, is_retryable: bool = True
    ) -> None:
        kind = EndKind.NOT_STARTED
        ending = failed_ending(kind, wall_ms(), name, message, is_retryable=is_retryable)
        self._end_soon(attempt, ending)

    def _lost(self, why: str) -> Ending:
        return failed_ending(
            EndKind.LOST, wall_ms(), "Lost", f"the end of the run was not seen: {why}"
        )

    # --- the spawner ---------------------------------------------------------------------------

    async def renew_spawner(self) -> bool:
        """Start later runs from a new interpreter; False if it does not become ready."""
        return await self._spawners.renew()

    def _refuse_pending(self) -> None:
        while self._pending:
            self._refuse(self._pending.popleft(), "SpawnerGone", self.fault)

    async def _sweep(self) -> None:
        """Check regularly for overdue keepers and spawners, because a handler may stop its parent."""
        while True:
            await asyncio.sleep(min(_SWEEP_S, self._config.overdue_ms / SECOND))
            self._spawners.wake()
            now = elapsed_ms()
            for attempt in list(self._attempts.values()):
                link = attempt.keeper
                if link is None:
                    continue
                for process in link.processes:
                    continue_if_stopped(process)
                is_silent = attempt in self._launching and self._is_silent(link, attempt, now)
                is_overdue = attempt.overdue_ms is not None and now > attempt.overdue_ms
                if not is_silent and not is_overdue:
                    continue
                if link.process is None:
                    link.spawner.kill()
                else:
                    await asyncio.to_thread(kill_survivor, link.process)

    def _is_silent(self, link: KeeperLink, attempt: Attempt, now: int) -> bool:
        """Return True if the start of *attempt* takes too long; a new spawner has more time."""
        if not link.spawner.is_ready:
            return now - attempt.sent_ms > _START_TIMEOUT_S * SECOND
        return now - max(attempt.sent_ms, link.spawner.ready_ms) > self._config.overdue_ms

    # --- helpers -------------------------------------------------------------------------------

    def _identity(self, frame: dict[str, Any]) -> ProcessIdentity:
        return ProcessIdentity(frame["pid"], frame["ticks"], self._boot_id)

    def hold_lock(self) -> RunsLock:
        """Return the lock on ``runs.lock``, which every process of runs inherits."""
        if self._lock is None:
            self._lock = RunsLock(self._config.state_dir)
        return self._lock

    def _spawn_task(self, coroutine: Any) -> None:
        task = asyncio.get_running_loop().create_task(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
