"""The Unix socket that the API listens on: made safely, inherited, or refused with a reason.

Rule: knows descriptors, no HTTP. The files and folders are the business of `socketplace`.
"""

from __future__ import annotations

import contextlib
import os
import socket
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from luad.api.transport import socket_folder
from luad.errors import LuadError, UsageError
from luad.socket_paths import peer_credentials

if TYPE_CHECKING:
    from collections.abc import MutableMapping

MODE: Final = 0o660
MAX_PATH_BYTES: Final = 107
"""Longest path that fits `sun_path` of a Unix socket address, with its final NUL."""

FIRST_INHERITED_FD: Final = 3
BACKLOG: Final = 512
"""The length of the queue. The kernel refuses a client at once when it is full."""


@dataclass(frozen=True, slots=True)
class Peer:
    """The process at the other end, from the kernel; -1 where the kernel does not know."""

    pid: int = -1
    uid: int = -1
    gid: int = -1


@dataclass(slots=True)
class Listener:
    """A socket that listens. *path* is None when it was inherited: then it is not ours to remove.

    *link* is the link to it, where the folder that was asked for needs one. *passed* is where an
    inherited socket can be found.
    """

    sock: socket.socket
    path: Path | None = None
    identity: tuple[int, int] | None = None  # device and inode of the file that we made, or found
    link: Path | None = None
    link_identity: tuple[int, int] | None = None
    passed: Path | None = None

    def is_in_place(self) -> bool:
        """Say whether clients still find this socket; True where that was never visible."""
        where = self.path or self.passed
        if where is None or self.identity is None:
            return True
        if self.link is not None and socket_folder.identity(self.link) != self.link_identity:
            return False
        return socket_folder.identity(where) == self.identity

    def withdraw(self) -> None:
        """Remove the files if they are still those that we made; no new client finds us any more."""
        for path, made in ((self.link, self.link_identity), (self.path, self.identity)):
            if path is not None and made is not None and socket_folder.identity(path) == made:
                with contextlib.suppress(OSError):
                    path.unlink()
        if self.link is not None and self.path is not None:
            with contextlib.suppress(OSError):
                self.path.parent.rmdir()

    def close(self) -> None:
        """Withdraw, and stop listening."""
        self.withdraw()
        self.sock.close()


def listen(path: Path) -> Listener:
    """Listen at *path*, replacing a socket on which no program answers.

    Where others may write the folder, the socket is in a folder inside, and *path* is a link to it.
    Raises `UsageError` where the path cannot be meant so, `AlreadyRunningError` when another program
    answers there, `LuadError` when the system refuses.
    """
    _check_length(path)
    try:
        socket_folder.make_folder(path.parent)
        place = socket_folder.place_for(path)
        _check_length(place)
        with socket_folder.place_lock(place):
            socket_folder.make_way(path)
            if place == path:
                return _bind(path)
            socket_folder.make_way(place)
            return _bind_behind(path, place)
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


def _check_length(path: Path) -> None:
    if len(os.fsencode(path)) > MAX_PATH_BYTES:
        raise UsageError(
            f"the socket path {path} is longer than {MAX_PATH_BYTES} bytes",
            hint="the kernel allows no longer ones; choose a shorter one with --socket",
        )


def _bind_behind(path: Path, place: Path) -> Listener:
    """Bind at *place*, and leave a link to it at *path*."""
    listener = _bind(place)
    try:
        socket_folder.check_shelter(place.parent)  # others may have exchanged it meanwhile
        socket_folder.make_link(path)
    except BaseException:
        listener.close()
        raise
    listener.link, listener.link_identity = path, socket_folder.identity(path)
    return listener


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
    passed = _path_of(sock)
    found = None if passed is None else socket_folder.identity(passed)
    return Listener(sock, identity=found, passed=passed)


def _path_of(sock: socket.socket) -> Path | None:
    """Return where an inherited socket lies; None for an abstract address."""
    name = sock.getsockname()
    return Path(name) if isinstance(name, str) and name.startswith("/") else None


def peer_of(sock: socket.socket | None) -> Peer:
    """Ask the kernel who is at the other end of a connected Unix socket."""
    if sock is None or sock.family != socket.AF_UNIX:
        return Peer()
    try:
        return Peer(*peer_credentials(sock))
    except OSError:
        return Peer()


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
        return Listener(sock, path, socket_folder.identity(path))
    except BaseException:
        sock.close()
        raise
