"""The path of a socket: locked, sheltered in a folder where others may write, cleared of a stale socket.

Rule: knows files and folders. It never touches a socket on which a program answers, and removes no
file but a dead socket, luad's own link to one, and its own lock.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import socket
import stat
from typing import TYPE_CHECKING, Final

from luad.errors import AlreadyRunningError, LuadError, UsageError
from luad.project_socket import LOCAL_FOLDER
from luad.trust import file_problem
from luad.wire import SOCKET_FOLDER

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

SHELTER_MODE: Final = 0o750
PARENT_MODE: Final = 0o750
PROJECT_MODE: Final = 0o700
_LOCK_TRIES: Final = 50


def make_folder(folder: Path) -> None:
    """Make the folder of a socket, for luad's user and group; that of a project for the user alone."""
    is_project = folder.name == LOCAL_FOLDER
    folder.mkdir(PROJECT_MODE if is_project else PARENT_MODE, parents=True, exist_ok=True)
    if is_project:
        status = folder.stat()
        if status.st_uid == os.geteuid() and status.st_mode & 0o077:
            folder.chmod(PROJECT_MODE)


def place_for(path: Path) -> Path:
    """Return where the socket of *path* is bound: there, or in a folder that luad makes beside it.

    Where others may write the folder of *path*, they could exchange the socket. Such a folder gets
    another one inside, which belongs to luad, and *path* becomes a link to the socket in it. A folder
    like /tmp needs none: others cannot remove there what is not theirs.
    """
    folder = path.parent
    status = folder.stat()
    if status.st_mode & stat.S_ISVTX and status.st_uid in {0, os.geteuid()}:
        return path
    if file_problem(str(folder), status, daemon_uid=os.geteuid(), is_folder=True) is None:
        return path
    return _shelter(folder) / path.name


def _shelter(folder: Path) -> Path:
    """Make the folder inside *folder* that only luad may write, or check the one that is there."""
    inner = folder / SOCKET_FOLDER
    with contextlib.suppress(FileExistsError):
        inner.mkdir(SHELTER_MODE)
    check_shelter(inner)
    if stat.S_IMODE(inner.lstat().st_mode) & 0o777 != SHELTER_MODE:
        inner.chmod(SHELTER_MODE)
    return inner


def check_shelter(inner: Path) -> None:
    """Raise `UsageError` when *inner* is not a folder of this user."""
    status = inner.lstat()
    if stat.S_ISDIR(status.st_mode) and status.st_uid == os.geteuid():
        return
    reason = "another user made it" if stat.S_ISDIR(status.st_mode) else "it is not a folder"
    raise UsageError(
        f"luad cannot keep its socket in {inner}: {reason}",
        hint=f"run: rm -r {inner}   (others may write {inner.parent}, so luad needs its own folder)",
    )


def identity(path: Path) -> tuple[int, int] | None:
    """Device and inode of what lies at *path*, a link itself; None when luad cannot read them."""
    try:
        found = path.lstat()
    except OSError:
        return None
    return found.st_dev, found.st_ino


@contextlib.contextmanager
def place_lock(path: Path) -> Iterator[None]:
    """Keep other daemons out between "no program answers there" and "this one does".

    The lock is a file of its own beside the socket: the folder may be the state folder, which has a
    lock already.
    """
    lock = path.with_name(f"{path.name}.lock")
    handle = _lock(lock)
    try:
        yield
    finally:
        with contextlib.suppress(OSError):
            lock.unlink()  # before the lock is given back, so that no other process is in it
        os.close(handle)


def _lock(lock: Path) -> int:
    flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
    for _ in range(_LOCK_TRIES):
        handle = os.open(lock, flags, 0o600)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            os.close(handle)
            raise AlreadyRunningError(
                f"another luad is just opening its socket in {lock.parent}", hint="try again"
            ) from error
        except BaseException:
            os.close(handle)
            raise
        found = os.fstat(handle)
        if identity(lock) == (found.st_dev, found.st_ino):
            return handle
        os.close(handle)  # its owner has just removed it
    raise LuadError(f"{lock} is removed again and again", hint="find the program that does that")


def make_way(path: Path) -> None:
    """Remove a socket on which no program answers, or luad's own link; refuse to touch the rest."""
    try:
        info = path.lstat()
    except FileNotFoundError:
        return
    is_own_link = stat.S_ISLNK(info.st_mode) and is_link_to_shelter(path)
    if not stat.S_ISSOCK(info.st_mode) and not is_own_link:
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


def is_link_to_shelter(path: Path) -> bool:
    """Say whether the link at *path* is one that luad leaves, to the socket in the folder inside."""
    return str(path.readlink()) == f"{SOCKET_FOLDER}/{path.name}"


def make_link(path: Path) -> None:
    """Leave a link at *path* to the socket of that name in the folder inside."""
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    draft.symlink_to(f"{SOCKET_FOLDER}/{path.name}")
    try:
        draft.rename(path)
    except OSError:
        draft.unlink(missing_ok=True)
        raise


def _is_answered(path: Path) -> bool:
    """Return whether a program listens at *path*. In doubt (no permission, full queue) one does."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.setblocking(False)  # a full queue means a live daemon: nothing to wait for
        return probe.connect_ex(str(path)) not in {errno.ECONNREFUSED, errno.ENOENT}


def _kind(mode: int) -> str:
    if stat.S_ISDIR(mode):
        return "a folder"
    if stat.S_ISLNK(mode):
        return "a symbolic link"
    return "a file" if stat.S_ISREG(mode) else "a special file"
