"""A pre-forked keeper and handler process, waiting for a run.

Rule: slow work is done before a run arrives. Then the process becomes a `Keeper`; `run_keeper` never
returns.
"""

from __future__ import annotations

import os
import select
import signal
import socket
import sys
import traceback
from typing import TYPE_CHECKING, NoReturn

from luad.runner import child, prctl
from luad.runner.frames import CHUNK, FrameBuffer, encode
from luad.runner.keeper import Handler, Keeper
from luad.runner.processes import kill_descendants, read_stat

if TYPE_CHECKING:
    from luad.runner.spec import LaunchSpec


def run_keeper(assignments: socket.socket) -> NoReturn:
    """Run this forked process as the keeper of the attempt whose channel *assignments* delivers.

    The keeper inherits the lock on ``runs.lock`` and holds it, so that a later daemon knows that a run
    may be alive.
    """
    code = 1
    try:
        _serve(assignments, _prepare())
        code = 0
    except (BrokenPipeError, ConnectionResetError):
        kill_descendants(os.getpid())  # the daemon is gone
    except BaseException:  # noqa: BLE001 - nothing may leave this function
        traceback.print_exc(file=sys.__stderr__)
        kill_descendants(os.getpid())
    os._exit(code)


def _prepare() -> int:
    """Make this process a keeper; return the descriptor that becomes readable when a child ends."""
    os.setsid()
    prctl.become_subreaper()
    wake_read, wake_write = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
    signal.signal(signal.SIGCHLD, _do_nothing)
    signal.set_wakeup_fd(wake_write, warn_on_full_buffer=False)
    # Use the code once, because the first write to each page copies it.
    FrameBuffer().feed(encode({"t": "hello", "env": {}, "limits": [None, 1, "text"]}))
    return wake_read


def _serve(assignments: socket.socket, wake_up: int) -> None:
    handler = _fork_handler()
    stat = read_stat(os.getpid())
    message, descriptors, _flags, _address = socket.recv_fds(assignments, 64, 1)
    if not message:  # the spawner has ended, so no run will come
        while kill_descendants(os.getpid()):
            os.wait()
        return
    channel = socket.socket(fileno=descriptors[0])
    assignments.close()
    channel.sendall(encode({"t": "hello", "pid": os.getpid(), "ticks": stat and stat.start_ticks}))
    buffer = FrameBuffer()
    frames: list[dict[str, object]] = []
    while not frames and (data := channel.recv(CHUNK)):
        frames = buffer.feed(data)
    if not frames or _has_gone(channel):
        return  # the daemon has ended, or has cancelled the attempt
    if isinstance(handler, OSError) or os.waitpid(-1, os.WNOHANG) != (0, 0):
        handler = _fork_handler()  # the first fork failed, or the process died while it waited
    if isinstance(handler, OSError):
        channel.sendall(encode(failed_frame(handler)))
        return
    spec: LaunchSpec = frames[0]  # type: ignore[assignment] # our own daemon wrote it
    keeper = Keeper(channel, spec, buffer, handler)
    keeper.start(wake_up)
    for frame in frames[1:]:
        keeper.handle_request(frame)
    keeper.run()


def _has_gone(channel: socket.socket) -> bool:
    """Return True if the daemon has closed its end, and so has cancelled its request."""
    poll = select.poll()
    poll.register(channel, 0)  # poll(2) always reports a hang-up
    return bool(poll.poll(0))


def _fork_handler() -> Handler | OSError:
    """Return a process that waits for a `LaunchSpec`, or the error of the fork."""
    try:
        out_read, out_write = os.pipe()
        err_read, err_write = os.pipe()
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        parent = os.getpid()
        pid = os.fork()
    except OSError as error:
        return error
    if pid == 0:
        child.run_child(parent, (out_write, err_write, theirs))
    os.close(out_write)
    os.close(err_write)
    theirs.close()
    stat = read_stat(pid)
    return Handler(pid, stat.start_ticks if stat else 0, out_read, err_read, ours)


def failed_frame(error: OSError) -> dict[str, object]:
    """Return the frame that reports that no process could be started."""
    return {"t": "failed", "error": [type(error).__name__, str(error), ""]}


def _do_nothing(_signum: int, _frame: object) -> None:
    """Do nothing; Python writes to the wake-up descriptor only if a handler is set."""
