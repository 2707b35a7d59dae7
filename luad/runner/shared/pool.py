"""The daemon's side of shared processes: it starts them, gives them runs, and reports the runs.

Rule: the same as for `luad.runner.runner`: `launch` and `stop` never raise and never wait, and every launched
attempt ends in exactly one `AttemptEnded`. Every method runs on the event loop.
"""

from __future__ import annotations

import asyncio
import json
from collections import Counter, deque
from contextlib import suppress
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final

from luad.clock import elapsed_ms, wall_ms
from luad.core.events import AttemptEnded, AttemptStarted
from luad.core.model import SECOND, EndKind
from luad.runner.attempt import failed_ending
from luad.runner.shared.attempt import SharedAttempt, cancelled, killed, lost
from luad.runner.shared.link import ProcessLink
from luad.runner.shared.messages import ending_of, run_message, setup_message
from luad.runner.spec import DEFAULT_ENVIRONMENT, constant_part, interpreter_environment

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from luad.core.events import StartAttempt
    from luad.core.model import Ending, ProcessIdentity
    from luad.runner.attempt import Key
    from luad.runner.capture import Line
    from luad.runner.runslock import RunsLock
    from luad.runner.shared.messages import Item
    from luad.runner.spec import RunnerConfig

    LogLine = Callable[[str, str, dict[str, object]], None]
    """Writes a line to the daemon's log: level, event, fields."""

_MOST_TRIES: Final = 3  # processes that may die before luad gives up an attempt that none has begun
_MOST_FAILURES: Final = 3
_SWEEP_S: Final = 0.5
_CLOSE_MARGIN_S: Final = 8.0
_LATE_MS: Final = 2_000  # beyond its own limits, after which the daemon kills a process itself
_PING_MS: Final = 1_000


class SharedRunner:
    """Runs attempts in at most *most* shared processes, which it starts when they are needed.

    *emit*, *on_lines*: as for `Runner`. *log* writes to the daemon's log.
    """

    def __init__(
        self,
        config: RunnerConfig,
        *,
        most: int,
        lock: Callable[[], RunsLock],
        emit: Callable[[AttemptStarted | AttemptEnded], None],
        on_lines: Callable[[str, int, str, list[Line]], None],
        log: LogLine,
    ) -> None:
        self._config = config
        self._most = most
        self._lock = lock
        self._emit = emit
        self._on_lines = on_lines
        self._log = log
        self._setup = setup_message(constant_part(config))
        self._attempts: dict[Key, SharedAttempt] = {}
        self._pending: deque[SharedAttempt] = deque()
        self._links: list[ProcessLink] = []
        self._is_planned = False
        self._is_closing = False
        self._failures = 0
        self._sweeper: asyncio.Task[None] | None = None
        self._idle = asyncio.Event()
        self._idle.set()
        self.ended: Counter[str] = Counter()
        """How many processes have ended: `replaced`, `killed` (by luad), `lost`."""

    # --- life ----------------------------------------------------------------------------------

    @property
    def running(self) -> Mapping[Key, ProcessIdentity | None]:
        """The attempts that have not ended, with their processes; None: not begun."""
        return MappingProxyType(
            {
                key: item.link.identity if item.link is not None and item.is_started else None
                for key, item in self._attempts.items()
            }
        )

    @property
    def process_count(self) -> int:
        """The number of shared processes."""
        return len(self._links)

    def view(self) -> dict[str, object]:
        """Return the numbers of `GET /v1/status`."""
        ended = {reason: self.ended[reason] for reason in ("replaced", "killed", "lost")}
        return {"processes": self.process_count, "runs": len(self._attempts), "ended": ended}

    def own_pids(self) -> set[int]:
        """Return the process ids of the keepers of shared processes."""
        return {link.keeper.pid for link in self._links if link.keeper is not None}

    async def close(self) -> None:
        """End the running attempts, report them, and end the processes."""
        self._is_closing = True
        for attempt in list(self._attempts.values()):
            self.stop(*attempt.key)
        grace_s = self._config.kill_grace_ms / SECOND
        with suppress(TimeoutError):
            async with asyncio.timeout(grace_s + _CLOSE_MARGIN_S):
                await self._idle.wait()
        if self._sweeper is not None:
            self._sweeper.cancel()
        await asyncio.gather(*(link.close() for link in list(self._links)))
        for attempt in list(self._attempts.values()):
            self._end(attempt, lost("its shared process did not report"))

    def renew(self) -> None:
        """Execute later runs in new processes; running ones end where they are."""
        for link in list(self._links):
            self._retire(link, "a reload, or another set of installed packages")

    # --- requests ------------------------------------------------------------------------------

    def launch(self, start: StartAttempt) -> None:
        """Give an attempt to a process. A failure is reported as its `AttemptEnded`."""
        attempt = SharedAttempt(start)
        assert attempt.key not in self._attempts, f"{attempt.key} was launched already"
        self._attempts[attempt.key] = attempt
        self._idle.clear()
        if self._is_closing:
            self._refuse(attempt, "RunnerClosed", "the daemon is shutting down")
            return
        self._pending.append(attempt)
        self._plan()

    def stop(self, run_id: str, attempt: int, kill: bool = False) -> None:
        """End an attempt: cancel it, then kill its process; or kill at once. An unknown one is ignored."""
        found = self._attempts.get((run_id, attempt))
        if found is None:
            return
        found.is_stopping = True
        if found.link is None:
            with suppress(ValueError):
                self._pending.remove(found)
            self._end_soon(found, cancelled())
            return
        found.is_guilty = (
            found.is_guilty or kill
        )  # its process ends for it, even if it cannot say so
        grace_ms = 0 if kill else self._config.kill_grace_ms
        found.overdue_ms = elapsed_ms() + grace_ms + _LATE_MS
        found.link.send({"t": "stop", "runs": [[run_id, attempt, kill]]})

    # --- launching -----------------------------------------------------------------------------

    def _plan(self) -> None:
        """Send what is pending once this turn of the loop is over, so that one message has many runs."""
        if not self._is_planned:
            self._is_planned = True
            asyncio.get_running_loop().call_soon(self._send_pending)

    def _send_pending(self) -> None:
        self._is_planned = False
        batches: dict[ProcessLink, list[str]] = {}
        while self._pending and (link := self._choose()) is not None:
            attempt = self._pending.popleft()
            attempt.link = link
            message = run_message(attempt.start, link.admit(attempt.key))
            try:
                text = json.dumps(message, ensure_ascii=False, separators=(",", ":"))
            except (ValueError, TypeError, RecursionError) as error:  # from the job's values
                self._release(attempt)
                self._refuse(attempt, type(error).__name__, str(error), is_retryable=False)
                continue
            batches.setdefault(link, []).append(text)
        for link, texts in batches.items():
            link.send_runs(texts)
        if self._sweeper is None:
            self._sweeper = asyncio.get_running_loop().create_task(self._sweep())

    def _choose(self) -> ProcessLink | None:
        """Return the process for the next run; None if none can take it now. It may start one."""
        usable = [link for link in self._links if not link.is_retiring]
        free = [link for link in usable if link.is_ready and link.has_room]
        best = min(free, key=lambda link: len(link.open), default=None)
        is_coming = any(link.identity is None for link in usable)
        if (best is None or best.open) and len(usable) < self._most and not is_coming:
            self._start_process()
        return best

    def _start_process(self) -> None:
        link = ProcessLink(self)
        environ = interpreter_environment(self._config.environ, self._config.pass_env)
        environ |= DEFAULT_ENVIRONMENT
        if self._config.socket_path:
            environ["LUAD_SOCKET"] = str(self._config.socket_path)
        try:
            link.start(self._setup, environ=environ, lock=self._lock().descriptor)
        except OSError as error:
            self._on_failed_start(f"{type(error).__name__}: {error}")
            return
        self._links.append(link)

    def _on_failed_start(self, why: str) -> None:
        self._failures += 1
        if self._failures < _MOST_FAILURES:
            delay_s = 0.1 * 2**self._failures
            asyncio.get_running_loop().call_later(delay_s, self._plan)
            return
        self._failures = 0
        self._log("error", "shared.failed", {"error": why})
        if not any(link.is_ready for link in self._links):
            message = f"a shared process cannot be started: {why}"
            while self._pending:
                self._refuse(self._pending.popleft(), "SharedProcessFailed", message)

    # --- reports of processes ------------------------------------------------------------------

    def on_ready(self, link: ProcessLink) -> None:
        """Note that *link* takes runs."""
        self._failures = 0
        self._log("info", "shared.started", {"pid": link.pid})
        self._plan()

    def on_frame(self, link: ProcessLink, frame: dict[str, Any]) -> None:
        """Handle news of runs, and what a process says of itself."""
        match frame["t"]:
            case "news":
                for item in frame["items"]:
                    self._on_item(link, item)
                if self._pending:
                    self._plan()
            case "returned":
                self._take_back(link, frame["runs"])
                self._retire(link, frame["why"])
            case "output":
                for text in frame["lines"]:
                    fields = {"pid": link.pid, "stream": frame["stream"], "message": text}
                    self._log("info", "shared.output", fields)

    def _on_item(self, link: ProcessLink, item: Item) -> None:
        attempt = self._attempts.get((item["id"], item["attempt"]))
        if attempt is None or attempt.link is not link:
            return
        if "start" in item:
            self._on_started(link, attempt, item["start"])
        if "lines" in item:
            self._on_lines(*attempt.key, attempt.start.job.name, item["lines"])
        if "end" in item:
            self._end(attempt, ending_of(item["end"]))

    def _on_started(self, link: ProcessLink, attempt: SharedAttempt, at: int) -> None:
        assert link.identity is not None, "it is ready before it executes runs"
        attempt.is_started = True
        link.note_start(attempt.key)
        timeout_ms = attempt.start.job.timeout_ms
        if attempt.overdue_ms is None and timeout_ms is not None:
            patience_ms = self._config.kill_grace_ms + _LATE_MS
            attempt.overdue_ms = elapsed_ms() + timeout_ms + patience_ms
        self._emit(AttemptStarted(*attempt.key, at, link.identity))

    def _take_back(self, link: ProcessLink, keys: list[list[Any]]) -> None:
        """Give runs that a process has not begun to another one, in their order."""
        for run_id, number in reversed(keys):
            attempt = self._attempts.get((run_id, number))
            if attempt is None or attempt.link is not link:
                continue
            self._release(attempt)
            if attempt.is_stopping:
                self._end_soon(attempt, cancelled())
            else:
                self._pending.appendleft(attempt)
        self._plan()

    def _retire(self, link: ProcessLink, why: str) -> None:
        """Send no more runs to *link*; it ends after the last of its runs."""
        if not link.is_retiring:
            link.is_retiring = True
            self._log("info", "shared.replaced", {"pid": link.pid, "why": why})
        self._hang_up_if_empty(link)

    def _hang_up_if_empty(self, link: ProcessLink) -> None:
        if link.is_retiring and not link.open:
            link.hang_up()

    def on_gone(self, link: ProcessLink, why: str) -> None:
        """Report the runs of a process that has ended as lost."""
        self._links.remove(link)
        was_ready = link.identity is not None
        begun = self._relaunch_others(link)
        cause = (
            "killed" if link.doomed_by else "replaced" if link.is_retiring and not begun else "lost"
        )
        self.ended[cause] += 1
        fields: dict[str, object] = {"pid": link.pid, "why": why, "lost_runs": len(begun)}
        self._log("info" if cause == "replaced" else "warning", "shared.ended", fields)
        for attempt in begun:
            self._end(attempt, killed(attempt) if attempt.is_guilty else lost(why))
        if not was_ready and not self._is_closing:
            self._on_failed_start("it ended before it was ready")
        elif self._pending:
            self._plan()

    def _relaunch_others(self, link: ProcessLink) -> list[SharedAttempt]:
        """Give the runs that the process has not begun to another one; return those that are lost."""
        found = [self._attempts[key] for key in link.open if key in self._attempts]
        safe = [each for each in found if not link.may_have_begun(each.key)]
        for attempt in reversed(safe):
            self._release(attempt)
            attempt.tries += 1
            if attempt.is_stopping or self._is_closing:
                self._end_soon(attempt, cancelled())
            elif attempt.tries > _MOST_TRIES:
                message = f"{_MOST_TRIES} shared processes died before they began this run"
                self._refuse(attempt, "SharedProcessFailed", message)
            else:
                self._pending.appendleft(attempt)
        return [each for each in found if each not in safe]

    # --- endings -------------------------------------------------------------------------------

    def _end(self, attempt: SharedAttempt, ending: Ending) -> None:
        if self._attempts.pop(attempt.key, None) is None:
            return
        link = attempt.link
        self._release(attempt)
        self._emit(AttemptEnded(*attempt.key, ending))
        if not self._attempts:
            self._idle.set()
        if link is not None:
            self._hang_up_if_empty(link)

    def _release(self, attempt: SharedAttempt) -> None:
        link, attempt.link = attempt.link, None
        if link is not None:
            link.open.pop(attempt.key, None)
            link.note_start(attempt.key)

    def _end_soon(self, attempt: SharedAttempt, ending: Ending) -> None:
        """End the attempt after the caller of `launch` or `stop` has returned."""
        asyncio.get_running_loop().call_soon(self._end, attempt, ending)

    def _refuse(
        self, attempt: SharedAttempt, name: str, message: str, *, is_retryable: bool = True
    ) -> None:
        kind = EndKind.NOT_STARTED
        ending = failed_ending(kind, wall_ms(), name, message, is_retryable=is_retryable)
        self._end_soon(attempt, ending)

    # --- processes that do not answer ----------------------------------------------------------

    async def _sweep(self) -> None:
        """Kill processes that exceed their own limits, or do not answer; they cannot do it themselves."""
        while True:
            await asyncio.sleep(_SWEEP_S)
            now = elapsed_ms()
            for attempt in list(self._attempts.values()):
                if attempt.overdue_ms is not None and now > attempt.overdue_ms:
                    attempt.is_guilty = True
                    name, run_id = attempt.start.job.name, attempt.start.run.id
                    self._kill(attempt.link, f"the run {run_id} of {name} in it did not stop")
            for link in list(self._links):
                self._watch(link, now)

    def _watch(self, link: ProcessLink, now: int) -> None:
        if not link.open or now - link.heard_ms < _PING_MS:
            return
        if link.asked_ms is None:
            link.asked_ms = now
            link.send({"t": "ping"})
        elif now - link.asked_ms > self._config.overdue_ms:
            self._kill(link, f"it has not answered for {self._config.overdue_ms // SECOND} s")

    def _kill(self, link: ProcessLink | None, why: str) -> None:
        if link is not None and not link.doomed_by:
            link.doomed_by = why
            link.is_retiring = True
            link.kill()
