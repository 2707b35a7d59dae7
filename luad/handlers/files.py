"""Remove old files.

``metadata``:

    path               the folder to look in
    pattern            which names: ``*.log``, or a list (default: ``*``); hidden files need ``.*``
    older_than         only files not modified for so long: ``90s 10m 1h30m 2d 1w``, or seconds
    keep               leave the newest so many of the matching files alone, however old
    recursive          look in the folders below as well (default: false)
    remove_empty_dirs  also remove folders that this run has emptied (default: false)
    dry_run            only say what would be removed (default: **true**)

Nothing goes by accident: `dry_run: false` must be written out, and `older_than`, `keep` or both. Only
regular files are touched; symbolic links are neither followed nor removed, and other file systems
mounted below `path` are not entered.

Rule: the standard library; `luad.wire` through the parameters.
"""

from __future__ import annotations

import os
import stat
from contextlib import suppress
from fnmatch import fnmatchcase
from pathlib import Path

from luad.handlers.parameters import DURATION, FLAG, TEXT, Parameters, schema, whole
from luad.sdk.params import params

TYPE_CHECKING = False  # `typing` costs 9 ms, which every run would pay
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    from luad.sync import Job

SHOWN = 20
"""How many paths the result names."""

REFUSED = frozenset(
    (
        *(
            "/",
            "/bin",
            "/boot",
            "/dev",
            "/etc",
            "/home",
            "/lib",
            "/lib32",
            "/lib64",
            "/opt",
            "/proc",
        ),
        *("/root", "/run", "/sbin", "/srv", "/sys", "/usr", "/usr/bin", "/usr/lib", "/var"),
        *("/var/lib", "/var/spool"),
    )
)
"""Folders that nobody means; what lies below them is fine."""

FileId = tuple[int, int, str]
"""Device, inode and path: whatever takes a file's place before it is removed is another file."""


class PruneError(RuntimeError):
    """Something could not be read or removed; everything else has been dealt with."""


class _Wish:
    """What the parameters ask for."""

    def __init__(self, job: Job) -> None:
        asked = Parameters(
            job,
            *("path", "pattern", "older_than", "keep"),
            *("recursive", "remove_empty_dirs", "dry_run"),
        )
        if "older_than" not in asked and "keep" not in asked:
            asked.refuse("older_than", "is missing; write older_than: 7d, keep: 10, or both")
        self.top = _top(asked)
        self.patterns = asked.texts("pattern", ("*",))
        self.keep = asked.whole("keep", 0)
        self.before_ns: int | None = None
        if "older_than" in asked:
            started_ms = int(job.started_at.timestamp() * 1000)
            self.before_ns = (started_ms - asked.duration_ms("older_than")) * 1_000_000
        self.is_recursive = asked.flag("recursive", default=False)
        self.is_dry = asked.flag("dry_run", default=True)
        self.sweeps_dirs = asked.flag("remove_empty_dirs", default=False)
        if self.sweeps_dirs and not self.is_recursive:
            asked.refuse("remove_empty_dirs", "needs `recursive: true`")

    def choose(self, found: list[_File]) -> list[_File]:
        """Pick those to be removed."""
        newest_first = sorted(found, key=lambda one: (-one.modified_ns, one.id[2]))
        before = self.before_ns
        return [
            one for one in newest_first[self.keep :] if before is None or one.modified_ns < before
        ]


class _File:
    """A regular file with a matching name, as it was when it was found."""

    __slots__ = ("id", "modified_ns", "size")

    def __init__(self, path: str, found: os.stat_result) -> None:
        self.id: FileId = (found.st_dev, found.st_ino, path)
        self.modified_ns = found.st_mtime_ns
        self.size = found.st_size


class _Folder:
    """An open folder. Whatever is done through *descriptor* stays in it: a name may turn into a
    symbolic link between looking and removing."""

    __slots__ = ("descriptor", "dirs", "names", "path")

    def __init__(self, path: str, descriptor: int) -> None:
        self.path = path
        self.descriptor = descriptor
        with os.scandir(descriptor) as entries:
            kinds = [(entry.name, entry.is_dir(follow_symlinks=False)) for entry in entries]
        self.dirs = sorted(name for name, is_dir in kinds if is_dir)
        self.names = sorted(name for name, is_dir in kinds if not is_dir)


@params(
    schema(
        "path",
        path={**TEXT, "examples": ["/srv/reports"]},
        pattern={
            "type": ["string", "array", "null"],
            "pattern": r"\S",
            "minItems": 1,
            "items": {"type": "string"},
        },
        older_than={**DURATION, "examples": ["7d"]},
        keep=whole(0, 10**12),
        recursive=FLAG,
        remove_empty_dirs=FLAG,
        dry_run=FLAG,
    )
    | {"anyOf": [{"required": ["older_than"]}, {"required": ["keep"]}]}
)
def prune(job: Job) -> dict[str, Any]:
    """Remove the files that the parameters describe; return counts, bytes and the first paths.

    *selected* is what they describe, *removed* what is gone now; with ``dry_run`` that is nothing.
    Raises `PruneError`, after dealing with everything else, when something resisted.
    """
    wish = _Wish(job)
    errors: list[str] = []
    found = [one for folder in _walk(wish, errors) for one in _matching(folder, wish.patterns)]
    doomed = {one.id: one.size for one in wish.choose(found)}
    removed, directories = _remove(wish, doomed, errors)
    result = {
        "path": wish.top,
        "dry_run": wish.is_dry,
        "matched": len(found),
        "selected": len(doomed),
        "selected_bytes": sum(doomed.values()),
        "removed": len(removed),
        "removed_bytes": sum(doomed[one] for one in removed),
        "removed_dirs": directories,
        "files": sorted(path for _, _, path in doomed)[:SHOWN],
    }
    job.log.info(_said(result))
    if errors:
        raise PruneError(f"{len(errors)} resisted, first {errors[0]}")
    return result


def _top(asked: Parameters) -> str:
    """The folder, with symbolic links on the way to it resolved once and for all."""
    given = asked.text("path")
    top = Path(given).expanduser().resolve()
    if str(top) in REFUSED or top == Path.home().resolve():
        asked.refuse("path", f"{top} is refused; name a folder below it")
    if not top.is_dir():
        asked.fail("path", f"{given} is no folder")
    return str(top)


def _walk(wish: _Wish, errors: list[str]) -> Iterator[_Folder]:
    """Yield the top folder, after all those below it if they are asked for; the deepest first."""
    descriptor = os.open(wish.top, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        top = _Folder(wish.top, descriptor)
        if wish.is_recursive:
            yield from _walk_below(top, os.fstat(descriptor).st_dev, errors)
        yield top
    finally:
        os.close(descriptor)


def _walk_below(folder: _Folder, device: int, errors: list[str]) -> Iterator[_Folder]:
    for name in folder.dirs:
        path = f"{folder.path}/{name}"
        try:
            flags = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW
            descriptor = os.open(name, flags, dir_fd=folder.descriptor)
        except FileNotFoundError:
            continue  # somebody else was faster
        except OSError as error:
            errors.append(f"{path}: {error.strerror}")
            continue
        try:
            if os.fstat(descriptor).st_dev == device:
                below = _Folder(path, descriptor)
                yield from _walk_below(below, device, errors)
                yield below
        finally:
            os.close(descriptor)


def _matching(folder: _Folder, patterns: list[str]) -> Iterator[_File]:
    """Yield the regular files whose names match one of *patterns*."""
    for name in folder.names:
        if any(_matches(name, pattern) for pattern in patterns):
            with suppress(FileNotFoundError):  # somebody else was faster
                found = os.stat(name, dir_fd=folder.descriptor, follow_symlinks=False)
                if stat.S_ISREG(found.st_mode):
                    yield _File(f"{folder.path}/{name}", found)


def _matches(name: str, pattern: str) -> bool:
    is_hidden = name.startswith(".") and not pattern.startswith(".")
    return not is_hidden and fnmatchcase(name, pattern)


def _remove(wish: _Wish, doomed: dict[FileId, int], errors: list[str]) -> tuple[list[FileId], int]:
    """Remove the *doomed* files, and the folders that are empty by that; say which, and how many."""
    removed: list[FileId] = []
    swept = 0
    if wish.is_dry or not doomed:
        return removed, swept
    changed: set[str] = set()
    for folder in _walk(wish, errors=[]):  # what cannot be read has been told by the first walk
        gone = [
            one.id
            for one in _matching(folder, wish.patterns)
            if one.id in doomed and _unlink(one.id[2], folder.descriptor, errors)
        ]
        emptied = [
            name
            for name in folder.dirs
            if wish.sweeps_dirs
            and f"{folder.path}/{name}" in changed
            and _rmdir(name, folder.descriptor)
        ]
        removed += gone
        swept += len(emptied)
        if gone or emptied:
            changed.add(folder.path)
    return removed, swept


def _rmdir(name: str, descriptor: int) -> bool:
    try:
        os.rmdir(name, dir_fd=descriptor)
    except OSError:  # not empty, or no longer there: both are fine
        return False
    return True


def _unlink(path: str, descriptor: int, errors: list[str]) -> bool:
    try:
        os.unlink(path.rpartition("/")[2], dir_fd=descriptor)
    except FileNotFoundError:
        return False
    except OSError as error:
        errors.append(f"{path}: {error.strerror}")
        return False
    return True


def _said(result: dict[str, Any]) -> str:
    count, size = result["selected"], result["selected_bytes"]
    verb = "would be removed" if result["dry_run"] else "were to be removed"
    text = f"{result['matched']} files match in {result['path']}, {count} ({size} bytes) {verb}"
    if result["dry_run"]:
        return f"{text}; nothing is, because dry_run is on"
    return f"{text}, {result['removed']} are gone"
