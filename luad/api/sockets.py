"""The Unix socket that the API listens on: made safely, inherited, or refused with a reason.

Room rule: knows files and descriptors, no HTTP. A socket that somebody answers on is never touched,
and no file other than a dead socket is ever removed.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import socket
import stat
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from luad.errors import AlreadyRunningError, LuadError, UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator, MutableMapping

MODE: Final = 0o660
PARENT_MODE: Final = 0o750
MAX_PATH_BYTES: Final = 107
"""Longest path that fits `sun_path` of a Unix socket address, with its final NUL."""

FIRST_INHERITED_FD: Final = 3
BACKLOG: Final = 512
"""Who finds the queue full is refused at once, without a wait: it must outlast a busy moment."""

_CREDENTIALS: Final = struct.Struct("3i")


@dataclass(frozen=True, slots=True)
class Peer:
    """Who is at the other end, as the kernel says; -1 where it says nothing."""

    pid: int = -1
    uid: int = -1
    gid: int = -1


@dataclass(slots=True)
class Listener:
    """A socket that listens. *path* is None when it was inherited: then it is not ours to remove."""

    sock: socket.socket
    path: Path | None = None
    identity: tuple[int, int] = (0, 0)  # device and inode of the file that we made

    def withdraw(self) -> None:
        """Remove the file if it is still the one that we made; nobody new finds us any more."""
        if self.path is None:
            return
        with contextlib.suppress(OSError):
            if _identity(self.path.lstat()) == self.identity:
                self.path.unlink()

    def close(self) -> None:
        """Withdraw, and stop listening."""
        self.withdraw()
        self.sock.close()


def listen(path: Path) -> Listener:
    """Listen at *path*, replacing a socket on which nobody answers.

    Raises `UsageError` where the path cannot be meant so, `AlreadyRunningError` when somebody
    answers there, `LuadError` when the system refuses.
    """
    if len(os.fsencode(path)) > MAX_PATH_BYTES:
        raise UsageError(
            f"the socket path {path} is longer than {MAX_PATH_BYTES} bytes",
            hint="the kernel allows no longer ones; choose a shorter one with --socket",
        )
    try:
        path.parent.mkdir(PARENT_MODE, parents=True, exist_ok=True)
        with _folder_lock(path):
            _make_way(path)
            return _bind(path)
    except (FileExistsError, NotADirectoryError) as error:
        raise UsageError(
            f"the socket's folder {path.parent} is not a folder",
            hint="choose another place with --socket",
        ) from error
    except OSError as error:
        raise LuadError(
            f"cannot listen at {path}: {error.strerror or error}",
            hint=f"luad must be able to write in {path.parent}; choose another place with --socket",
        ) from error


def inherited(environ: MutableMapping[str, str], pid: int) -> Listener | None:
    """Return the socket that the service manager opened for us, None if there is none.

    Takes the variables out of *environ*, so that no child believes they are for it. Raises
    `UsageError` when what was passed is not one listening Unix stream socket.
    """
    count = environ.pop("LISTEN_FDS", "")
    addressee = environ.pop("LISTEN_PID", "")
    environ.pop("LISTEN_FDNAMES", None)
    if not count or addressee != str(pid):
        return None
    hint = "luad.socket needs exactly one line  ListenStream=/run/luad/luad.sock"
    if count != "1":
        raise UsageError(f"the service manager passed {count} sockets, luad wants one", hint=hint)
    try:
        sock = socket.socket(fileno=FIRST_INHERITED_FD)
    except OSError as error:
        raise UsageError("the service manager passed no open socket", hint=hint) from error
    is_listening = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN) == 1
    if (sock.family, sock.type) != (socket.AF_UNIX, socket.SOCK_STREAM) or not is_listening:
        sock.detach()  # not ours to close
        raise UsageError("the inherited socket is not a listening Unix stream socket", hint=hint)
    sock.set_inheritable(False)
    sock.setblocking(False)
    return Listener(sock)


def peer_of(sock: socket.socket | None) -> Peer:
    """Ask the kernel who is at the other end of a connected Unix socket."""
    if sock is None or sock.family != socket.AF_UNIX:
        return Peer()
    try:
        data = sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
    except OSError:
        return Peer()
    return Peer(*_CREDENTIALS.unpack(data))


@contextlib.contextmanager
def _folder_lock(path: Path) -> Iterator[None]:
    """Keep other daemons out between "nobody answers there" and "we do"."""
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        info = os.fstat(folder)
        if info.st_mode & stat.S_IWOTH and not info.st_mode & stat.S_ISVTX:
            raise UsageError(
                f"the socket's folder {path.parent} may be written by everybody",
                hint=f"chmod o-w {path.parent}   (who can replace the socket can pose as luad)",
            )
        try:
            fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise AlreadyRunningError(
                f"another luad is just opening its socket in {path.parent}", hint="try again"
            ) from error
        yield
    finally:
        os.close(folder)  # gives up the lock as well


def _make_way(path: Path) -> None:
    """Remove a socket on which nobody answers; refuse to touch anything else."""
    try:
        info = path.lstat()
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(info.st_mode):
        raise UsageError(
            f"{path} is {_kind(info.st_mode)}, not a socket",
            hint="luad removes only its own stale socket; move it away or choose another --socket",
        )
    if _is_answered(path):
        raise AlreadyRunningError(
            f"another program answers at {path}",
            hint="luad status shows it; a second daemon needs its own --socket and --state",
        )
    path.unlink()


def _is_answered(path: Path) -> bool:
    """Whether somebody listens at *path*. In doubt (no permission, full queue) somebody does."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.setblocking(False)  # a full queue means a live daemon: nothing to wait for
        return probe.connect_ex(str(path)) not in {errno.ECONNREFUSED, errno.ENOENT}


def _bind(path: Path) -> Listener:
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        sock.setblocking(False)
        # Linux gives the file the mode of the unbound socket, less the umask. So it is never wider
        # than MODE, not for an instant, and no umask of the whole process has to be changed for it
        # (other threads make files meanwhile). A strict umask takes too much away: given back below.
        os.fchmod(sock.fileno(), MODE)
        sock.bind(str(path))
        path.chmod(MODE)
        sock.listen(BACKLOG)
        return Listener(sock, path, _identity(path.lstat()))
    except BaseException:
        sock.close()
        raise


def _identity(info: os.stat_result) -> tuple[int, int]:
    return info.st_dev, info.st_ino


def _kind(mode: int) -> str:
    if stat.S_ISDIR(mode):
        return "a folder"
    if stat.S_ISLNK(mode):
        return "a symbolic link"
    return "a file" if stat.S_ISREG(mode) else "a special file"
