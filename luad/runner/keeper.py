"""The keeper of one run: it supervises the handler, reports, and ends left processes.

Rule: one pre-forked process for each run; it imports no user code and never trusts data from the
handler. It outlives the spawner, but not the daemon: when the daemon is gone, it ends the run. `verdict`
decides which ending it was.
"""

from __future__ import annotations

import os
import select
import signal
import socket
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from luad.clock import elapsed_ms, wall_ms
from luad.runner import child
from luad.runner.capture import Output, checked_record, system_line
from luad.runner.frames import CHUNK, FrameBuffer, encode
from luad.runner.left_tasks import left_tasks, tasks_message
from luad.runner.leftovers import Leftover, leftovers_message, read_process
from luad.runner.processes import descendants, kill_descendants
from luad.runner.result import read_json
from luad.runner.verdict import Facts, judge

if TYPE_CHECKING:
    from collections.abc import Callable

    from luad.runner.capture import Line
    from luad.runner.spec import LaunchSpec
    from luad.runner.verdict import Cause

_PACKET: Final = 262_144  # more than the largest packet of a handler
_BATCH_MS: Final = 20  # lines that come faster than this share a frame
_LINES_PER_FRAME: Final = 256  # a frame must not occupy the daemon's loop for long
_DRAIN_MS: Final = 200  # for data that is still in the pipes when the handler has ended
_ORPHAN_GRACE_MS: Final = 1_000  # between TERM and KILL when the daemon is gone
_CLEAR_UP_MS: Final = 5_000  # a process may be stuck in the kernel, or belong to another user
_NAMED: Final = 5
_PARTIAL_MS: Final = 450  # text without a line end is shown if two checks find it
_LONGEST_WAIT_MS: Final = 60_000
_OWN_END_MS: Final = 200  # for helpers that end by themselves once the handler has ended


@dataclass(frozen=True, slots=True)
class Handler:
    """The process of a run, and the keeper's ends of its pipes."""

    pid: int
    ticks: int
    stdout: int
    stderr: int
    control: socket.socket


class Keeper:
    """Supervises one run, whose process is *handler*; the daemon is at the other end of *channel*."""

    def __init__(
        self, channel: socket.socket, spec: LaunchSpec, buffer: FrameBuffer, handler: Handler
    ) -> None:
        self.channel = channel
        self.spec = spec
        self.buffer = buffer
        self.handler = handler
        self.pid = handler.pid
        self.outbox = bytearray()
        self.output = Output(spec["output_limit"], spec["line_limit"])
        self.outcome: dict[str, Any] | None = None
        self.result = bytearray()
        self.result_parts = bytearray()  # of the next outcome
        self.cause: Cause | None = None
        self.was_killed = False
        self.left: list[Leftover] = []  # the first processes that the handler left running
        self.left_count = 0
        self.status: int | None = None  # of the handler, from wait(2)
        self.ended_at = 0
        self.deadline: int | None = None  # None: the run has no time limit
        self.kill_at: int | None = None
        self.flush_at: int | None = None
        self.partial_at: int | None = None  # when to show a line that has not ended
        self.flushed_at = 0
        self.poll = select.poll()
        self.readers: dict[int, Callable[[], None]] = {}

    def start(self, wake_up: int) -> None:
        """Send the spec to the handler, and begin to read its pipes."""
        started_at = wall_ms()
        if (timeout_ms := self.spec["timeout_ms"]) is not None:
            self.deadline = elapsed_ms() + timeout_ms
        child.send_spec(self.handler.control, self.spec, started_at)
        self._register(wake_up, lambda: self._on_wake_up(wake_up))
        # Registered first, read first: a log record has its own time, which is before the read.
        control = self.handler.control.detach()
        self._register(control, lambda: self._on_control(control))
        self._read("stdout", self.handler.stdout)
        self._read("stderr", self.handler.stderr)
        self.channel.setblocking(False)
        self._register(self.channel.fileno(), self._on_channel)
        pid, ticks = self.pid, self.handler.ticks
        self._send({"t": "started", "pid": pid, "ticks": ticks, "ts": started_at})

    def run(self) -> None:
        """Supervise the handler until it has ended, and report."""
        while self.status is None:
            self._turn()
        self._clear_up()
        self._report()

    def _read(self, stream: str, descriptor: int) -> None:
        self._register(descriptor, lambda: self._on_output(stream, descriptor))

    def _register(self, descriptor: int, reader: Callable[[], None]) -> None:
        os.set_blocking(descriptor, False)
        self.readers[descriptor] = reader
        self.poll.register(descriptor, select.POLLIN)

    def _unregister(self, descriptor: int) -> None:
        self.poll.unregister(descriptor)
        del self.readers[descriptor]
        if descriptor != self.channel.fileno():
            os.close(descriptor)

    # --- one turn ------------------------------------------------------------------------------

    def _turn(self) -> None:
        self._wait(self._next_timer())
        now = elapsed_ms()
        if self.cause is None and self.deadline is not None and now >= self.deadline:
            self._stop("timed_out", self.spec["kill_grace_ms"])
        if self.kill_at is not None and now >= self.kill_at:
            self._kill()
        if self.partial_at is not None and now >= self.partial_at:
            self._show_partial()
        if self.flush_at is not None and now >= self.flush_at:
            self._flush(now)

    def _next_timer(self) -> int:
        timers = [
            self.kill_at,
            self.flush_at,
            self.partial_at,
            self.deadline if self.cause is None else None,
        ]
        # A time limit may be weeks away, and `poll` counts 24 days at most.
        latest = elapsed_ms() + _LONGEST_WAIT_MS
        return min([latest, *(timer for timer in timers if timer is not None)])

    def _wait(self, until: int) -> None:
        """Handle the next events; return at *until* at the latest."""
        for descriptor, _events in self.poll.poll(max(0, until - elapsed_ms())):
            if descriptor == self.channel.fileno() and self.outbox:
                self._push_out()
            reader = self.readers.get(descriptor)
            if reader is not None:
                reader()

    # --- input ---------------------------------------------------------------------------------

    def _on_output(self, stream: str, descriptor: int) -> None:
        data = _read_some(descriptor, CHUNK)
        if data is None:
            return
        if not data:
            self._unregister(descriptor)
            return
        self.output.feed(stream, data, wall_ms())
        if self.partial_at is None and self.output.has_partial:
            self.partial_at = elapsed_ms() + _PARTIAL_MS
        self._plan_flush()

    def _on_control(self, descriptor: int) -> None:
        packet = _read_some(descriptor, _PACKET)
        if packet is None:
            return
        if not packet:
            self._unregister(descriptor)
            return
        kind, content = packet[:1], packet[1:]
        if kind == child.RESULT:
            if len(self.result_parts) <= self.spec["result_limit"]:
                self.result_parts += content
            return
        try:
            value = read_json(content)
        except ValueError:
            return  # not from luad's code: the handler wrote to the descriptor
        if kind == child.OUTCOME and isinstance(value, dict):
            # The last outcome counts: luad's code sends it when the handler has ended.
            self.outcome, self.result = value, self.result_parts
            self.result_parts = bytearray()
        elif kind == child.RECORD and (line := checked_record(value)) is not None:
            self.output.feed_record(line, len(content))
            self._plan_flush()

    def _on_wake_up(self, descriptor: int) -> None:
        _read_some(descriptor, CHUNK)
        self._reap()

    def _on_channel(self) -> None:
        try:
            data = self.channel.recv(CHUNK)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self._unregister(self.channel.fileno())
            self._stop("orphaned", _ORPHAN_GRACE_MS)
            return
        for frame in self.buffer.feed(data):
            self.handle_request(frame)

    def handle_request(self, frame: dict[str, object]) -> None:
        """Carry out a request of the daemon."""
        if frame["t"] == "stop":
            self._stop("cancelled", 0 if frame["kill"] else self.spec["kill_grace_ms"])

    def _reap(self) -> bool:
        """Reap the children that have ended; return True if others still run."""
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return False
            if pid == 0:
                return True
            if pid == self.pid:
                self.status, self.ended_at = status, wall_ms()

    # --- stopping ------------------------------------------------------------------------------

    def _stop(self, cause: Cause, grace_ms: int) -> None:
        """Send TERM now and KILL after *grace_ms*. A second call can only shorten the time."""
        kill_at = elapsed_ms() + grace_ms
        if self.cause is None:
            self.cause = cause
            if grace_ms:
                self._signal_group(signal.SIGTERM)
                self._signal_group(signal.SIGCONT)
        self.kill_at = kill_at if self.kill_at is None else min(kill_at, self.kill_at)

    def _kill(self) -> None:
        self.kill_at = None
        self.was_killed = True
        self._signal_group(signal.SIGKILL)
        kill_descendants(os.getpid())

    def _signal_group(self, signum: int) -> None:
        if self.status is not None:
            return  # reaped: the pid may belong to another process by now
        # The group does not exist until the handler has created its session.
        for send in (os.killpg, os.kill):
            with suppress(OSError):
                send(self.pid, signum)
                return

    # --- output --------------------------------------------------------------------------------

    def _plan_flush(self) -> None:
        if self.flush_at is None:
            self.flush_at = self.flushed_at + _BATCH_MS

    def _flush(self, now: int) -> None:
        self.flush_at, self.flushed_at = None, now
        self._send_lines(self.output.take())

    def _show_partial(self) -> None:
        self.output.show_partial(wall_ms())
        self.partial_at = elapsed_ms() + _PARTIAL_MS if self.output.has_partial else None
        self._plan_flush()

    def _send_lines(self, lines: list[Line]) -> None:
        for start in range(0, len(lines), _LINES_PER_FRAME):
            self._send({"t": "lines", "lines": lines[start : start + _LINES_PER_FRAME]})

    def _send(self, frame: dict[str, object]) -> None:
        self.outbox += encode(frame)
        self._push_out()

    def _push_out(self) -> None:
        """Send as much as the daemon takes now; the handler must not wait for the daemon."""
        try:
            while self.outbox:
                del self.outbox[: self.channel.send(self.outbox)]
        except BlockingIOError:
            pass
        except OSError:
            self.outbox.clear()  # the daemon is gone; the next read of the channel shows it
        if self.channel.fileno() in self.readers:
            events = select.POLLIN | (select.POLLOUT if self.outbox else 0)
            self.poll.modify(self.channel.fileno(), events)

    # --- the end -------------------------------------------------------------------------------

    def _clear_up(self) -> None:
        """End the processes that the handler left running, then read the rest of the pipes."""
        self._wait_for_helpers()
        give_up_at = elapsed_ms() + _CLEAR_UP_MS
        seen: set[int] = set()
        while self._reap():
            self._note_leftovers(seen)
            left = kill_descendants(os.getpid())
            if elapsed_ms() >= give_up_at:
                message = f"{left} processes of this run could not be ended"
                self._send_lines([system_line(message, wall_ms(), level="error")])
                break
            self._wait(elapsed_ms() + 10)
        drained_at = elapsed_ms() + _DRAIN_MS
        with suppress(KeyError):
            self._unregister(self.channel.fileno())
        while len(self.readers) > 1 and elapsed_ms() < drained_at:  # one reader is the wake-up pipe
            self._wait(drained_at)

    def _wait_for_helpers(self) -> None:
        """Wait a moment for helper processes that end by themselves after the handler."""
        until = elapsed_ms() + _OWN_END_MS
        while self.cause is None and self._reap() and elapsed_ms() < until:
            self._wait(min(until, elapsed_ms() + 10))

    def _note_leftovers(self, seen: set[int]) -> None:
        for pid in descendants(os.getpid()):
            if pid in seen or (found := read_process(pid)) is None:
                continue
            seen.add(pid)
            self.left_count += 1
            if len(self.left) < _NAMED:
                self.left.append(found)

    def _report(self) -> None:
        self._send_lines(self.output.finish(wall_ms()))
        self._report_leftovers()
        self.outbox += encode(self._ended_frame())
        self.channel.setblocking(True)
        self.channel.sendall(self.outbox)

    def _report_leftovers(self) -> None:
        """Log the processes and tasks that still ran when the handler had ended."""
        messages = [leftovers_message(self.left, count=self.left_count)] if self.left_count else []
        if tasks := left_tasks(self.outcome):
            messages.append(tasks_message(tasks))
        self._send_lines([system_line(each, wall_ms(), level="warning") for each in messages])

    def _ended_frame(self) -> dict[str, object]:
        assert self.status is not None, "a run is reported once its process has ended"
        facts = Facts(
            status=self.status,
            cause=self.cause,
            was_killed=self.was_killed,
            report=self.outcome or {},
            result=bytes(self.result),
        )
        return {
            **judge(facts, self.spec),
            "ts": self.ended_at,
            "dropped_bytes": self.output.dropped_bytes,
            "left_processes": self.left_count,
            "left_tasks": len(left_tasks(self.outcome)),
        }


def _read_some(descriptor: int, size: int) -> bytes | None:
    """Return the bytes that can be read now; empty at the end, None if there are none yet."""
    try:
        return os.read(descriptor, size)
    except BlockingIOError:
        return None
    except OSError:
        return b""
