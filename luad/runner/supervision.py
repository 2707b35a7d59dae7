"""The supervision of one run by a keeper: its limits of time, its output, its end, and what it leaves.

Rule: it reports every end, also when the handler misbehaves, and never waits: the keeper calls it when a
descriptor is readable or a time has come. It survives the spawner, but not the daemon: when the daemon is
gone, it ends the run. `verdict` decides which ending it was.
"""

from __future__ import annotations

import os
import signal
from collections import deque
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final, Protocol

from luad.clock import elapsed_ms, wall_ms
from luad.runner import child
from luad.runner.capture import Output, checked_record, system_line
from luad.runner.frames import CHUNK
from luad.runner.left_tasks import left_tasks, tasks_message
from luad.runner.leftovers import Leftover, leftovers_message, read_process
from luad.runner.processes import descendants, kill_descendants, kill_trees
from luad.runner.result import read_json
from luad.runner.verdict import Facts, judge

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from luad.runner.capture import Line
    from luad.runner.forker_link import Handler
    from luad.runner.spec import LaunchSpec
    from luad.runner.verdict import Cause

_PACKET: Final = 262_144  # more than the largest packet of a handler
_BATCH_MS: Final = 20  # lines that come faster than this share a frame
_LINES_PER_FRAME: Final = 256  # a frame must not occupy the daemon's loop for long
_DRAIN_MS: Final = 200  # for data that is still in the pipes when the handler has ended
_CLEAR_UP_MS: Final = 5_000  # a process may be stuck in the kernel, or belong to another user
_NAMED: Final = 5
_PARTIAL_MS: Final = 450  # text without a line end is shown if two checks find it
_OWN_END_MS: Final = 200  # for helpers that end by themselves once the handler has ended
_LOOK_MS: Final = 10


class Host(Protocol):
    """The part of a keeper that a supervision uses."""

    def register(self, descriptor: int, reader: Callable[[], None], *, writes: bool = ...) -> None:
        """Call *reader* when *descriptor* is readable, or has room if *writes*."""

    def unregister(self, descriptor: int) -> None:
        """Call its reader no more."""

    def plan(self, run: Supervision) -> None:
        """Call `on_time` of *run* at its `next_at`."""

    def ask_end(self, run: Supervision) -> None:
        """Call `on_end` of *run* with its status and what was left."""

    def send(self, run: Supervision, frame: dict[str, Any]) -> None:
        """Send *frame* to the daemon."""

    def left_by(self, run: Supervision, others: Sequence[int]) -> list[int]:
        """Return those of *others* that *run* has left."""

    def learn(self, run: Supervision, found: object) -> None:
        """Take the packages that *run* has imported."""

    def remove(self, run: Supervision) -> None:
        """Forget *run*, which has been reported."""


class Supervision:
    """Supervises the run *spec* in the process *handler*. *number* names it in frames."""

    def __init__(self, host: Host, number: int, spec: LaunchSpec, handler: Handler) -> None:
        self.number = number
        self.spec = spec
        self.handler = handler
        self.pid = handler.pid
        self.timer: int | None = None  # of the keeper
        self._host = host
        self._packets: deque[bytes] = deque()  # for the handler
        self._output = Output(spec["output_limit"], spec["line_limit"])
        self._outcome: dict[str, Any] | None = None
        self._result = bytearray()
        self._result_parts = bytearray()  # of the next outcome
        self._cause: Cause | None = None
        self._was_killed = False
        self._left: list[Leftover] = []  # the first processes that the handler left running
        self._left_count = 0
        self._seen: set[int] = set()
        self._status: int | None = None  # from wait(2)
        self._ended_at: int | None = None  # wall time
        self._deadline: int | None = None  # None: the run has no time limit
        self._kill_at: int | None = None
        self._flush_at: int | None = None
        self._partial_at: int | None = None  # when to show a line that has not ended
        self._flushed_at = 0
        self._helpers_until = 0
        self._give_up_at: int | None = None
        self._look_at: int | None = None
        self._drain_until: int | None = None
        self._open: set[int] = set()

    def start(self) -> None:
        """Send the spec to the handler, and begin to read its pipes.

        Raises ``OSError`` if the handler is gone, before anything else has happened.
        """
        started_at = wall_ms()
        self._packets.extend(child.spec_packets(self.spec, started_at))
        self._push_out()
        # Registered first, read first: a log record has its own time, which is before the read.
        self._read(self.handler.control, self._on_control)
        self._begin(started_at)

    def _begin(self, started_at: int) -> None:
        """Read the output, watch the end and the time limit, and report the start."""
        if (timeout_ms := self.spec["timeout_ms"]) is not None:
            self._deadline = elapsed_ms() + timeout_ms
        handler = self.handler
        self._read(handler.stdout, lambda: self._on_output("stdout", handler.stdout))
        self._read(handler.stderr, lambda: self._on_output("stderr", handler.stderr))
        self._host.register(handler.watch, self._on_exit)
        frame = {"t": "started", "pid": self.pid, "ticks": handler.ticks, "ts": started_at}
        self._host.send(self, frame)
        self._host.plan(self)

    def _read(self, descriptor: int, reader: Callable[[], None]) -> None:
        os.set_blocking(descriptor, False)
        self._open.add(descriptor)
        is_busy = descriptor == self.handler.control and bool(self._packets)
        self._host.register(descriptor, reader, writes=is_busy)

    def _close(self, descriptor: int) -> None:
        self._open.discard(descriptor)
        self._host.unregister(descriptor)
        if self._drain_until is not None and not self._open:
            self._finish()

    def _push_out(self) -> None:
        """Send packets to the handler as long as it takes them."""
        with suppress(BlockingIOError):
            while self._packets:
                os.write(self.handler.control, self._packets[0])
                self._packets.popleft()

    # --- time ----------------------------------------------------------------------------------

    def next_at(self) -> int | None:
        """Return when `on_time` has something to do; None if nothing is planned."""
        timers = (
            self._kill_at,
            self._flush_at,
            self._partial_at,
            self._look_at,
            self._drain_until,
            self._deadline if self._cause is None and self._ended_at is None else None,
        )
        return min((timer for timer in timers if timer is not None), default=None)

    def on_time(self, now: int) -> None:
        """Do what is due."""
        is_running = self._cause is None and self._ended_at is None
        if is_running and self._deadline is not None and now >= self._deadline:
            self._stop("timed_out", self.spec["kill_grace_ms"])
        if self._kill_at is not None and now >= self._kill_at:
            self._kill()
        if self._partial_at is not None and now >= self._partial_at:
            self._show_partial()
        if self._flush_at is not None and now >= self._flush_at:
            self._flush(now)
        if self._look_at is not None and now >= self._look_at:
            self._look_at = None
            self._host.ask_end(self)
        if self._drain_until is not None and now >= self._drain_until:
            self._finish()

    # --- input ---------------------------------------------------------------------------------

    def _on_output(self, stream: str, descriptor: int) -> None:
        data = _read_some(descriptor, CHUNK)
        if data is None:
            return
        if not data:
            self._close(descriptor)
            return
        self._output.feed(stream, data, wall_ms())
        if self._partial_at is None and self._output.has_partial:
            self._partial_at = elapsed_ms() + _PARTIAL_MS
        self._plan_flush()

    def _on_control(self) -> None:
        control = self.handler.control
        if self._packets:
            try:
                self._push_out()
            except OSError:
                self._packets.clear()  # the handler has closed it, or has ended
            if not self._packets:
                self._host.register(control, self._on_control)
        packet = _read_some(control, _PACKET)
        if packet is None:
            return
        if not packet:
            self._close(control)
            return
        self._take_report(packet[:1], packet[1:])

    def _take_report(self, kind: bytes, content: bytes) -> None:
        if kind == child.RESULT:
            if len(self._result_parts) <= self.spec["result_limit"]:
                self._result_parts += content
            return
        try:
            value = read_json(content)
        except ValueError:
            return  # not from luad's code: the handler wrote to the descriptor
        if kind == child.LESSON:
            self._host.learn(self, value)
        elif kind == child.OUTCOME and isinstance(value, dict):
            # The last outcome counts: luad's code sends it when the handler has ended.
            self._outcome, self._result = value, self._result_parts
            self._result_parts = bytearray()
        elif kind == child.RECORD and (line := checked_record(value)) is not None:
            self._output.feed_record(line, len(content))
            self._plan_flush()

    # --- stopping ------------------------------------------------------------------------------

    def stop(self, cause: Cause, *, grace_ms: int | None = None) -> None:
        """Send TERM now and KILL after *grace_ms* (default: the job's)."""
        self._stop(cause, self.spec["kill_grace_ms"] if grace_ms is None else grace_ms)
        self._host.plan(self)

    def _stop(self, cause: Cause, grace_ms: int) -> None:
        """Send TERM now and KILL after *grace_ms*. A second call can only shorten the time."""
        if self._ended_at is not None:
            self._helpers_until = 0  # the handler has ended; only what it left is still there
            return
        kill_at = elapsed_ms() + grace_ms
        if self._cause is None:
            self._cause = cause
            if grace_ms:
                self._signal_group(signal.SIGTERM)
                self._signal_group(signal.SIGCONT)
        self._kill_at = kill_at if self._kill_at is None else min(kill_at, self._kill_at)

    def _kill(self) -> None:
        self._kill_at = None
        self._was_killed = True
        if self._ended_at is None:
            # Stopped first: its children have no subreaper but the forker once it is gone.
            self._signal_group(signal.SIGSTOP)
            kill_descendants(self.pid)
            self._signal_group(signal.SIGKILL)

    def _signal_group(self, signum: int) -> None:
        # The forker reaps the process when it is asked for its end, so the pid is still ours.
        # The group does not exist until the handler has created its session.
        for send in (os.killpg, os.kill):
            with suppress(OSError):
                send(self.pid, signum)
                return

    # --- output --------------------------------------------------------------------------------

    def _plan_flush(self) -> None:
        if self._flush_at is None:
            self._flush_at = self._flushed_at + _BATCH_MS
        self._host.plan(self)

    def _flush(self, now: int) -> None:
        self._flush_at, self._flushed_at = None, now
        self._send_lines(self._output.take())

    def _show_partial(self) -> None:
        self._output.show_partial(wall_ms())
        self._partial_at = elapsed_ms() + _PARTIAL_MS if self._output.has_partial else None
        self._plan_flush()

    def _send_lines(self, lines: list[Line]) -> None:
        for start in range(0, len(lines), _LINES_PER_FRAME):
            part = lines[start : start + _LINES_PER_FRAME]
            self._host.send(self, {"t": "lines", "lines": part})

    # --- the end -------------------------------------------------------------------------------

    def _on_exit(self) -> None:
        self._host.unregister(self.handler.watch)
        self._ended_at = wall_ms()
        self._kill_at = None
        self._helpers_until = elapsed_ms() + _OWN_END_MS
        self._host.ask_end(self)

    def on_end(self, status: int | None, others: Sequence[int]) -> None:
        """Take the status (None if it was told before) and the processes that ended runs have left.

        Helper processes have a moment to end by themselves; what is left then is ended.
        """
        if status is not None:
            self._status = status
        left = self._host.left_by(self, others)
        now = elapsed_ms()
        if self._status is None or (left and not self._is_given_up(now)):
            if self._status is not None and (self._cause is not None or now >= self._helpers_until):
                self._end_left(left, now)
            self._look_at = now + _LOOK_MS
            self._host.plan(self)
            return
        if left:
            message = f"{len(left)} processes of this run could not be ended"
            self._send_lines([system_line(message, wall_ms(), level="error")])
        self._drain_until = now + _DRAIN_MS
        if self._open:
            self._host.plan(self)
        else:
            self._finish()

    def _is_given_up(self, now: int) -> bool:
        return self._give_up_at is not None and now >= self._give_up_at

    def _end_left(self, left: Sequence[int], now: int) -> None:
        if self._give_up_at is None:
            self._give_up_at = now + _CLEAR_UP_MS
        for root in left:
            self._note(root)
            for pid in descendants(root):
                self._note(pid)
        kill_trees(left)

    def _note(self, pid: int) -> None:
        if pid in self._seen or (found := read_process(pid)) is None:
            return
        self._seen.add(pid)
        self._left_count += 1
        if len(self._left) < _NAMED:
            self._left.append(found)

    def _finish(self) -> None:
        """Report the end, and close everything."""
        self._drain_until = None
        for descriptor in self._open:
            self._host.unregister(descriptor)
        self._open.clear()
        self._send_lines(self._output.finish(wall_ms()))
        self._report_leftovers()
        self._host.send(self, self._ended_frame())
        self._host.remove(self)
        self.handler.close()

    def _report_leftovers(self) -> None:
        """Log the processes and tasks that still ran when the handler had ended."""
        messages = (
            [leftovers_message(self._left, count=self._left_count)] if self._left_count else []
        )
        if tasks := left_tasks(self._outcome):
            messages.append(tasks_message(tasks))
        self._send_lines([system_line(each, wall_ms(), level="warning") for each in messages])

    def _ended_frame(self) -> dict[str, Any]:
        assert self._status is not None, "a run is reported once its process has ended"
        return {
            **judge(self._facts(self._status), self.spec),
            "ts": self._ended_at,
            "dropped_bytes": self._output.dropped_bytes,
            "left_processes": self._left_count,
            "left_tasks": len(left_tasks(self._outcome)),
        }

    def _facts(self, status: int) -> Facts:
        return Facts(
            status=status,
            cause=self._cause,
            was_killed=self._was_killed,
            report=self._outcome or {},
            result=bytes(self._result),
        )


def _read_some(descriptor: int, size: int) -> bytes | None:
    """Return the bytes that can be read now; empty at the end, None if there are none yet."""
    try:
        return os.read(descriptor, size)
    except BlockingIOError:
        return None
    except OSError:
        return b""
