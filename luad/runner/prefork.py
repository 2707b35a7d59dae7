"""A keeper in reserve: a process with its handler's beside it, both waiting for a run to be theirs.

Rule: whatever takes time is done before there is a run. From the moment that it knows which, it is
a `Keeper`; nothing but the process's end leaves `keep`.
"""

from __future__ import annotations

import os
import select
import signal
import socket
import sys
import traceback
from typing import TYPE_CHECKING, Any, NoReturn

from luad.runner import child, prctl
from luad.runner.frames import CHUNK, FrameBuffer, encode
from luad.runner.keeper import Handler, Keeper
from luad.runner.processes import kill_descendants, read_stat

if TYPE_CHECKING:
    from luad.runner.spec import LaunchSpec


def keep(waiting_room: socket.socket) -> NoReturn:
    """Be a keeper, in a process just forked, for the attempt whose channel comes in.

    The lock on ``runs.lock`` is inherited, and only held: as long as a keeper has it open, a
    later daemon knows that a run may be alive.
    """
    code = 1
    try:
        _serve(waiting_room, _prepare())
        code = 0
    except (BrokenPipeError, ConnectionResetError):
        kill_descendants(os.getpid())  # the daemon is gone
    except BaseException:  # noqa: BLE001 - nothing may leave this function
        traceback.print_exc(file=sys.__stderr__)
        kill_descendants(os.getpid())
    os._exit(code)


def _prepare() -> int:
    """Make this process a keeper; the descriptor that tells of children's ends."""
    os.setsid()
    prctl.become_subreaper()
    wake_read, wake_write = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
    signal.signal(signal.SIGCHLD, _do_nothing)
    signal.set_wakeup_fd(wake_write, warn_on_full_buffer=False)
    # Touch what will be needed: a page that was written to is ours already.
    FrameBuffer().feed(encode({"t": "hello", "env": {}, "limits": [None, 1, "text"]}))
    return wake_read


def _serve(waiting_room: socket.socket, wake_up: int) -> None:
    handler = _fork_handler()
    stat = read_stat(os.getpid())
    message, descriptors, _flags, _address = socket.recv_fds(waiting_room, 64, 1)
    if not message:  # the spawner ends, and nobody needs us
        while kill_descendants(os.getpid()):
            os.wait()
        return
    channel = socket.socket(fileno=descriptors[0])
    waiting_room.close()
    channel.sendall(encode({"t": "hello", "pid": os.getpid(), "ticks": stat and stat.start_ticks}))
    buffer = FrameBuffer()
    frames: list[dict[str, Any]] = []
    while not frames and (data := channel.recv(CHUNK)):
        frames = buffer.feed(data)
    if not frames or _has_gone(channel):
        return  # the daemon has ended, or thought better of it
    if isinstance(handler, OSError) or os.waitpid(-1, os.WNOHANG) != (0, 0):
        handler = _fork_handler()  # there was none, or it died waiting
    if isinstance(handler, OSError):
        channel.sendall(encode(failed_frame(handler)))
        return
    spec: LaunchSpec = frames[0]  # type: ignore[assignment] # our own daemon wrote it
    keeper = Keeper(channel, spec, buffer, handler)
    keeper.start(wake_up)
    for frame in frames[1:]:
        keeper.obey(frame)
    keeper.run()


def _has_gone(channel: socket.socket) -> bool:
    """Was the other end closed: what it had asked for before is not wanted any more."""
    poll = select.poll()
    poll.register(channel, 0)  # a hang-up is told unasked
    return bool(poll.poll(0))


def _fork_handler() -> Handler | OSError:
    """A process that waits to be told what to run."""
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


def failed_frame(error: OSError) -> dict[str, Any]:
    """What is said when no process could be made."""
    return {"t": "failed", "error": [type(error).__name__, str(error), ""]}


def _do_nothing(_signum: int, _frame: object) -> None:
    """A handler must be there for the wake-up descriptor to be written."""
