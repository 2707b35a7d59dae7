"""The state folder: its lock, and the files of the database.

The lock is a `flock` on ``luad.lock`` and on the folder; the kernel releases both when the owner ends. The text of
the file is empty after an orderly end; otherwise it is the pid of the owner, and the word `corrupt` if that owner
found damage.
"""

from __future__ import annotations

import errno
import fcntl
import os
from contextlib import ExitStack, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from luad.core.model import Instant
from luad.errors import AlreadyRunningError, StoreUnavailableError

DATABASE: Final = "luad.db"
LOCK: Final = "luad.lock"
_COMPANIONS: Final = ("", "-wal", "-shm", "-journal")
_OWNERS_TEXT: Final = 64


class StateLock:
    """The lock of the state folder. *was_clean*, *was_corrupt*: the end of the previous owner.

    There are two locks, on the file and on the folder, because a user may delete the file under a running daemon.
    """

    def __init__(self, path: Path, handle: int, folder: int, previous: str) -> None:
        self.path: Final = path
        self._handle = handle
        self._folder = folder
        self._previous = previous.strip()
        self._is_corrupt = False
        self.was_clean = not self._previous
        self.was_corrupt = "corrupt" in previous

    @classmethod
    def take(cls, state_dir: Path) -> StateLock:
        """Lock *state_dir*; create it (0700) if it does not exist.

        Raises AlreadyRunningError if another process has locked it, and StoreUnavailableError if the folder cannot be
        created or written.
        """
        with ExitStack() as opened:
            try:
                _make_folder(state_dir)
                folder = os.open(state_dir, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
                opened.callback(os.close, folder)
                handle = _open_lock(state_dir / LOCK)
                opened.callback(os.close, handle)
                is_free = _lock_folder(folder) and _lock_file(handle)
            except OSError as error:
                raise _unusable(state_dir, error) from error
            if not is_free:
                raise _taken(state_dir, _read(handle))
            opened.pop_all()
        lock = cls(state_dir / LOCK, handle, folder, _read(handle))
        lock._write_pid()
        return lock

    def keep(self) -> bool | None:
        """Create the lock file again if it was deleted or replaced; return whether it did.

        Returns None if another process has locked the file that is there now.
        """
        try:
            there = identity_of(self.path)
            if there == _identity(self._handle):
                return False
            if identity_of(self.path.parent) != _identity(self._folder):
                return False  # the whole folder was replaced, which `check_identity` reports
            handle = _open_lock(self.path)
        except OSError:
            return None
        try:
            if not _lock_file(handle):
                os.close(handle)
                return None
        except OSError:
            os.close(handle)
            return None
        os.close(self._handle)
        self._handle = handle
        self._write_pid()
        return True

    def mark_corrupt(self) -> None:
        """Mark the database as damaged for the next owner."""
        self._is_corrupt = True
        self._write_pid()

    def release(self) -> None:
        """Unlock the folder after an orderly end."""
        if not self._is_corrupt:
            self._write("")
        self._close()

    def give_up(self) -> None:
        """Unlock the folder, and leave its lock file as it was."""
        self._write(self._previous)
        self._close()

    def _close(self) -> None:
        os.close(self._handle)
        os.close(self._folder)

    def _write_pid(self) -> None:
        self._write(f"{os.getpid()} corrupt" if self._is_corrupt else str(os.getpid()))

    def _write(self, text: str) -> None:
        # A full disk must not prevent a start; the next daemon only checks more.
        try:
            os.ftruncate(self._handle, 0)
            if text:
                os.pwrite(self._handle, f"{text}\n".encode(), 0)
        except OSError:
            return


def _open_lock(path: Path) -> int:
    return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)


def _lock_file(handle: int) -> bool:
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _lock_folder(folder: int) -> bool:
    """Lock the folder itself, unless the file system (NFS) cannot lock folders."""
    try:
        return _lock_file(folder)
    except OSError as error:
        if error.errno in {errno.EBADF, errno.EINVAL, errno.ENOLCK, errno.ENOTSUP, errno.ENOSYS}:
            return True
        raise


def _make_folder(state_dir: Path) -> None:
    if state_dir.is_dir():
        return
    state_dir.parent.mkdir(parents=True, exist_ok=True)
    state_dir.mkdir(mode=0o700, exist_ok=True)
    state_dir.chmod(0o700)  # whatever the umask says


def _read(handle: int) -> str:
    return os.pread(handle, _OWNERS_TEXT, 0).decode("ascii", "replace")


def _taken(state_dir: Path, text: str) -> AlreadyRunningError:
    words = text.split()
    pid = int(words[0]) if words and words[0].isdecimal() else None
    owner = "another luad" if pid is None else f"another luad (pid {pid})"
    return AlreadyRunningError(
        f"{owner} is running on {state_dir}",
        hint="stop it first, or use another state folder (--state)",
        pid=pid,
    )


def _unusable(state_dir: Path, error: OSError) -> StoreUnavailableError:
    return StoreUnavailableError(
        f"the state folder {state_dir} cannot be used: {error.strerror or error}",
        hint="it must be a folder that the user of luad may write",
    )


# --- the database's files ----------------------------------------------------------------------


def touch_database(database: Path) -> bool:
    """Create *database* if it does not exist, readable by its owner only; return whether it is empty.

    Never call it while this process is connected to the database: closing any handle of a file releases the locks
    that SQLite holds on it.
    """
    try:
        handle = os.open(database, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    except OSError as error:
        raise StoreUnavailableError(
            f"{database} cannot be opened: {error.strerror or error}",
            hint="it must be a file that the user of luad may read and write",
        ) from error
    try:
        return os.fstat(handle).st_size == 0
    finally:
        os.close(handle)


def identity_of(path: Path) -> tuple[int, int] | None:
    """Return device and inode of *path*, None if it does not exist. Raises OSError if luad cannot find out."""
    try:
        found = path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return None
    return found.st_dev, found.st_ino


def _identity(handle: int) -> tuple[int, int]:
    found = os.fstat(handle)
    return found.st_dev, found.st_ino


def size_of(database: Path) -> int:
    """Return the size on disk of *database* and its companions, of those that luad can see."""
    total = 0
    for suffix in _COMPANIONS:
        with suppress(OSError):
            total += Path(f"{database}{suffix}").stat().st_size
    return total


def set_aside(database: Path, now: Instant) -> Path:
    """Rename a damaged *database* and its companions, and return the new path.

    They keep a common stem, so that SQLite's own tools can open them together.
    """
    stamp = datetime.fromtimestamp(now / 1000, UTC).strftime("%Y%m%dT%H%M%SZ")
    stem = f"{database}.corrupt-{stamp}"
    target, number = Path(stem), 1
    while target.exists():
        number += 1
        target = Path(f"{stem}-{number}")
    try:
        for suffix in _COMPANIONS:
            source = Path(f"{database}{suffix}")
            if source.exists():
                source.rename(f"{target}{suffix}")
    except OSError as error:
        raise StoreUnavailableError(
            f"the damaged {database} cannot be set aside: {error.strerror or error}"
        ) from error
    return target
