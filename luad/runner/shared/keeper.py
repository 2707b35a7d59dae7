"""The keeper of a shared process: it forks it, reads its own output, and ends what it leaves.

Run as ``python -P -m luad.runner.shared.keeper CONTROL CHANNEL BEGUN``, with ``runs.lock`` open. Rule: it imports
no user code. It outlives the shared process, and reports its end only when nothing of it is left.
"""

from __future__ import annotations

import os
import select
import signal
import socket
import sys
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Final, NoReturn

from luad.clock import elapsed_ms
from luad.runner import prctl
from luad.runner.frames import CHUNK
from luad.runner.leftovers import leftovers_message, read_process
from luad.runner.processes import descendants, kill_descendants
from luad.runner.shared.channel import Channel
from luad.runner.shared.own_output import OwnOutput

if TYPE_CHECKING:
    from collections.abc import Callable

    from luad.runner.leftovers import Leftover

_HELD: Final = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2)
_ORPHAN_MS: Final = 1_500  # the shared process ends its runs in this time when the daemon is gone
_CLEAR_UP_MS: Final = 5_000  # a process may be stuck in the kernel
_PAUSE_MS: Final = 10
_DRAIN_MS: Final = 200
_LONGEST_WAIT_MS: Final = 60_000
_OOM_SCORE: Final = b"500"  # when memory runs out, the kernel kills handlers before the daemon
_MOST_DESCRIPTORS: Final = 256  # the keeper never has more than a dozen open
_NAMED: Final = 5


def main(arguments: list[str]) -> NoReturn:
    """Keep one shared process."""
    control, channel, memory = (int(each) for each in arguments)
    signal.pthread_sigmask(signal.SIG_SETMASK, _HELD)
    woken, wake_up = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
    signal.signal(signal.SIGCHLD, _do_nothing)
    signal.set_wakeup_fd(wake_up, warn_on_full_buffer=False)
    prctl.set_name("luad-shared")
    prctl.become_subreaper()
    out, err = os.pipe(), os.pipe()
    parent, pid = os.getpid(), os.fork()
    if pid == 0:
        _become_process(parent, (channel, memory), (out[1], err[1]))
    for descriptor in (channel, memory, out[1], err[1]):
        os.close(descriptor)
    keeper = Keeper(Channel(socket.socket(fileno=control)), pid, (out[0], err[0]))
    keeper.serve(woken)
    os._exit(0)


def _become_process(parent: int, kept: tuple[int, int], pipes: tuple[int, int]) -> NoReturn:
    """Become the shared process, which the kernel ends together with its keeper."""
    try:
        os.setsid()
        prctl.die_with_parent(signal.SIGKILL)
        if os.getppid() != parent:
            os._exit(70)  # the keeper died before the line above took effect
        os.dup2(pipes[0], 1)
        os.dup2(pipes[1], 2)
        first, last = sorted(kept)
        os.closerange(3, first)
        os.closerange(first + 1, last)
        os.closerange(last + 1, _MOST_DESCRIPTORS)
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        with suppress(OSError), open("/proc/self/oom_score_adj", "wb") as file:
            file.write(_OOM_SCORE)
        from luad.runner.shared.process import run_process  # noqa: PLC0415 - the keeper does not need it

        run_process(*kept)
    except BaseException:  # noqa: BLE001 - nothing may leave this function
        import traceback  # noqa: PLC0415 - only where something is wrong

        traceback.print_exc()
    os._exit(70)


class Keeper:
    """Supervises the shared process *pid*; the daemon is at the other end of *control*."""

    def __init__(self, control: Channel, pid: int, pipes: tuple[int, int]) -> None:
        self._control = control
        self._pid = pid
        self._status: int | None = None
        self._kill_at: int | None = None
        self._is_orphaned = False
        self._left: list[Leftover] = []
        self._left_count = 0
        self._poll = select.poll()
        self._readers: dict[int, Callable[[], None]] = {}
        self._outputs = {
            pipes[0]: OwnOutput("stdout"),
            pipes[1]: OwnOutput("stderr"),
        }

    def serve(self, woken: int) -> None:
        """Supervise the process to its end, end what it left, and report.

        *woken* becomes readable when a child ends.
        """
        self._register(woken, partial(self._on_wake_up, woken))
        self._register(self._control.descriptor, self._on_control)
        for descriptor in self._outputs:
            os.set_blocking(descriptor, False)
            self._register(descriptor, partial(self._on_output, descriptor))
        self._reap()  # it may have ended before
        while self._status is None:
            self._wait(_LONGEST_WAIT_MS if self._kill_at is None else self._kill_at - elapsed_ms())
            if self._kill_at is not None and elapsed_ms() >= self._kill_at:
                self._kill_at = None
                self._kill()
        self._clear_up()
        self._report()

    def _register(self, descriptor: int, reader: Callable[[], None]) -> None:
        self._readers[descriptor] = reader
        self._poll.register(descriptor, select.POLLIN)

    def _unregister(self, descriptor: int) -> None:
        if self._readers.pop(descriptor, None) is not None:
            self._poll.unregister(descriptor)

    def _wait(self, wait_ms: int) -> None:
        if self._control.descriptor in self._readers:
            events = select.POLLIN | (select.POLLOUT if self._control.waiting_bytes else 0)
            self._poll.modify(self._control.descriptor, events)
        for descriptor, _events in self._poll.poll(max(0, wait_ms)):
            if (reader := self._readers.get(descriptor)) is not None:
                reader()

    # --- events --------------------------------------------------------------------------------

    def _on_wake_up(self, woken: int) -> None:
        with suppress(BlockingIOError):
            os.read(woken, CHUNK)
        self._reap()

    def _on_control(self) -> None:
        self._control.push()
        frames = self._control.read()
        if frames is None:  # the daemon is gone; the shared process has noticed it as well
            self._unregister(self._control.descriptor)
            self._is_orphaned = True
            self._kill_at = elapsed_ms() + _ORPHAN_MS
            return
        if any(frame["t"] == "kill" for frame in frames):
            self._kill()

    def _on_output(self, descriptor: int) -> None:
        try:
            data = os.read(descriptor, CHUNK)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self._unregister(descriptor)
            return
        output = self._outputs[descriptor]
        self._send_lines(output.stream, output.feed(data, elapsed_ms()))

    def _send_lines(self, stream: str, lines: list[str]) -> None:
        if lines and not self._is_orphaned:
            self._control.send({"t": "output", "stream": stream, "lines": lines})

    def _kill(self) -> None:
        if self._status is None:
            os.kill(self._pid, signal.SIGKILL)  # our own child, which we have not reaped

    def _reap(self) -> bool:
        """Reap the children that have ended; return True if others still run."""
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return False
            if pid == 0:
                return True
            if pid == self._pid:
                self._status = status

    # --- the end -------------------------------------------------------------------------------

    def _clear_up(self) -> None:
        """End the processes that the shared process has left, then read the rest of the pipes."""
        for descriptor in [each for each in self._readers if each not in self._outputs]:
            self._unregister(descriptor)
        give_up_at = elapsed_ms() + _CLEAR_UP_MS
        seen: set[int] = set()
        while self._reap() and elapsed_ms() < give_up_at:
            self._note_leftovers(seen)
            kill_descendants(os.getpid())
            self._wait(_PAUSE_MS)
        drained_at = elapsed_ms() + _DRAIN_MS
        while self._readers and elapsed_ms() < drained_at:
            self._wait(drained_at - elapsed_ms())

    def _note_leftovers(self, seen: set[int]) -> None:
        for pid in descendants(os.getpid()):
            if pid in seen or (found := read_process(pid)) is None:
                continue
            seen.add(pid)
            self._left_count += 1
            if len(self._left) < _NAMED:
                self._left.append(found)

    def _report(self) -> None:
        for output in self._outputs.values():
            self._send_lines(output.stream, output.finish())
        left = leftovers_message(self._left, count=self._left_count) if self._left_count else ""
        if not self._is_orphaned:
            gone = {
                "t": "gone",
                "status": self._status,
                "left": left,
                "left_count": self._left_count,
            }
            self._control.send_last(gone)


def _do_nothing(_signum: int, _frame: object) -> None:
    """Do nothing; Python writes to the wake-up descriptor only if a handler is set."""


if __name__ == "__main__":
    main(sys.argv[1:])
