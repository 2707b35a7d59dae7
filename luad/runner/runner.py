"""The runner starts and stops attempts, and reports their output and their ending.

Rule: it reports endings and does not interpret them. `launch` and `stop` never raise and never wait;
every launched attempt ends in exactly one `AttemptEnded`. Every method runs on the event loop.
"""

from __future__ import annotations

import asyncio
import socket
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
    stop_frame,
)
from luad.runner.capture import system_line
from luad.runner.frames import CHUNK, encode
from luad.runner.leftovers import OrphanLog, end_run, leftovers_message
from luad.runner.processes import boot_id, continue_other_holders, kill_survivor
from luad.runner.runslock import RunsLock
from luad.runner.spawning import MAX_TRIES, Spawners
from luad.runner.spec import build_spec, constant_part

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from luad.core.events import StartAttempt
    from luad.runner.capture import Line
    from luad.runner.spawner_link import SpawnerLink
    from luad.runner.spec import RunnerConfig

_WINDOW: Final = 32  # attempts whose process is being started; more would only compete for the CPU
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
        """Return the process ids of the spawners and of the keepers that have reported theirs."""
        keepers = (attempt.keeper for attempt in self._attempts.values())
        return self._spawners.pids | {each.pid for each in keepers if each is not None}

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
        if found is None or (found.channel is None and found.keeper is not None):
            return  # it has ended, or luad reports it as lost
        found.is_stopping = True
        if found.channel is None:
            with suppress(ValueError):
                self._pending.remove(found)
            self._end_soon(found, cancelled_early())
            return
        grace_ms = 0 if kill else self._config.kill_grace_ms
        found.overdue_ms = elapsed_ms() + grace_ms + self._config.overdue_ms
        found.outbox += stop_frame(kill=kill)
        self._push_out(found)

    def kill_all(self) -> None:
        """End every attempt at once."""
        for key in list(self._attempts):
            self.stop(*key, kill=True)

    # --- launching -----------------------------------------------------------------------------

    def _launch_pending(self) -> None:
        """Send pending attempts to the spawner, up to `_WINDOW` at once."""
        while self._pending and len(self._launching) < _WINDOW and (link := self._spawners.link):
            attempt = self._pending.popleft()
            try:
                is_sent = self._send(attempt, link)
            except (OSError, ValueError, TypeError, RecursionError) as error:
                is_retryable = isinstance(error, OSError)  # other errors come from the job's values
                self._refuse(attempt, type(error).__name__, str(error), is_retryable=is_retryable)
                continue
            if not is_sent:
                self._pending.appendleft(attempt)
                return

    def _send(self, attempt: Attempt, link: SpawnerLink) -> bool:
        spec = encode(build_spec(attempt.start, self._constant, self._socket_path))
        ours, theirs = socket.socketpair()
        try:
            link.send(theirs)
        except (BlockingIOError, BrokenPipeError, ConnectionResetError):
            ours.close()
            return False  # busy or gone: the next start, or the next spawner, launches it
        except OSError:
            ours.close()
            raise
        finally:
            theirs.close()
        ours.setblocking(False)
        attempt.channel = ours
        attempt.link = link
        link.attempt_count += 1
        attempt.sent_ms = elapsed_ms()
        attempt.outbox += spec
        self._launching.add(attempt)
        asyncio.get_running_loop().add_reader(ours.fileno(), self._on_readable, attempt)
        self._push_out(attempt)
        return True

    def _push_out(self, attempt: Attempt) -> None:
        loop, channel = asyncio.get_running_loop(), attempt.channel
        if channel is None:
            return
        if attempt.push_out():
            loop.add_writer(channel.fileno(), self._push_out, attempt)
            attempt.is_writing = True
        else:
            attempt.stop_writing(loop)

    # --- reports of keepers --------------------------------------------------------------------

    def _on_readable(self, attempt: Attempt) -> None:
        assert attempt.channel is not None, "a closed channel is not read"
        try:
            data = attempt.channel.recv(CHUNK)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self._on_channel_closed(attempt)
            return
        for frame in attempt.buffer.feed(data):
            self._on_frame(attempt, frame)

    def _on_frame(self, attempt: Attempt, frame: dict[str, Any]) -> None:
        match frame["t"]:
            case "hello":
                attempt.keeper = self._identity(frame)
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

    def _on_channel_closed(self, attempt: Attempt) -> None:
        """Handle a channel that closed without an ending: the keeper or the spawner was killed."""
        self._close_channel(attempt)
        if attempt.keeper is not None:
            self._spawn_task(self._clear_up(attempt))
        elif attempt.is_stopping:
            self._end(attempt, cancelled_early())
        elif attempt.tries + 1 >= MAX_TRIES:
            self._refuse(
                attempt,
                "SpawnerGone",
                f"the spawner died {MAX_TRIES} times while it started this run",
            )
        else:
            # No keeper has reported, so nothing was started and a new try is safe.
            attempt.tries += 1
            self._release(attempt)
            attempt.outbox.clear()
            self._pending.append(attempt)
            self._launch_pending()

    async def _clear_up(self, attempt: Attempt) -> None:
        """End the processes that the run of a dead keeper left, then report the run as lost."""
        run_id, handler = attempt.start.run.id, attempt.handler
        ended = await asyncio.to_thread(end_run, run_id, handler, attempt.keeper)
        strangers = await attempt.link.sweep() if attempt.link is not None else []
        left = [each for each in (*ended, *strangers) if not handler or each.pid != handler.pid]
        self.orphans.note(run_id, [each for each in left if not each.is_identified])
        if left:
            line = system_line(leftovers_message(left), wall_ms(), level="warning")
            self._on_lines(*attempt.key, attempt.start.job.name, [line])
        ending = self._lost("its keeper process was killed")
        self._end(attempt, replace(ending, left_processes=len(left)))

    def _release(self, attempt: Attempt) -> None:
        link, attempt.link = attempt.link, None
        self._spawners.release(link)

    # --- endings -------------------------------------------------------------------------------

    def _end(self, attempt: Attempt, ending: Ending) -> None:
        if self._attempts.pop(attempt.key, None) is None:
            return  # it was stopped twice before it had started
        self._close_channel(attempt)
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

    def _close_channel(self, attempt: Attempt) -> None:
        self._launching.discard(attempt)
        if attempt.channel is not None:
            loop = asyncio.get_running_loop()
            loop.remove_reader(attempt.channel.fileno())
            attempt.stop_writing(loop)
            attempt.channel.close()
            attempt.channel = None

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
            silent_since = min((attempt.sent_ms for attempt in self._launching), default=now)
            link = self._spawners.link
            if now - silent_since > self._config.overdue_ms and link is not None:
                link.kill()
            for attempt in list(self._attempts.values()):
                is_overdue = attempt.overdue_ms is not None and now > attempt.overdue_ms
                if is_overdue and attempt.keeper is not None:
                    await asyncio.to_thread(kill_survivor, attempt.keeper)

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
