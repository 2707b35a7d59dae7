"""Removes old files.

``metadata``:

    path               the folder that contains the files
    pattern            the names: ``*.log``, or a list (default: ``*``); hidden files need ``.*``
    older_than         only files not modified for this time: ``90s 10m 1h30m 2d 1w``, or seconds
    keep               keep this number of the newest matching files, of any age
    recursive          include the folders below (default: false)
    remove_empty_dirs  also remove folders that this run has emptied (default: false)
    dry_run            only report the files that would be removed (default: **true**)

The handler removes nothing by accident: the job must set `dry_run: false`, and `older_than`, `keep` or both.
It removes only regular files; it neither follows nor removes symbolic links, and does not enter other file
systems mounted below `path`.

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

    from luad.sync import Job

SHOWN = 20
"""The number of paths in the result."""

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
"""Folders of the system that are refused; folders below them are allowed."""

FileId = tuple[int, int, str]
"""Device, inode and path, so that a file that replaces another one is not removed in its place."""


class PruneError(RuntimeError):
    """Some files could not be read or removed; all others were handled."""


class _Selection:
    """The parameters of the run."""

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
        self.removes_dirs = asked.flag("remove_empty_dirs", default=False)
        if self.removes_dirs and not self.is_recursive:
            asked.refuse("remove_empty_dirs", "needs `recursive: true`")

    def choose(self, found: list[_File]) -> list[_File]:
        """Return the files to remove."""
        newest_first = sorted(found, key=lambda one: (-one.modified_ns, one.id[2]))
        before = self.before_ns
        return [
            one for one in newest_first[self.keep :] if before is None or one.modified_ns < before
        ]


class _File:
    """A regular file with a matching name, with its status at the time of the search."""

    __slots__ = ("id", "modified_ns", "size")

    def __init__(self, path: str, found: os.stat_result) -> None:
        self.id: FileId = (found.st_dev, found.st_ino, path)
        self.modified_ns = found.st_mtime_ns
        self.size = found.st_size


class _Folder:
    """An open folder.

    Calls through *descriptor* stay in it, even if a name becomes a symbolic link before the removal.
    """

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
def prune(job: Job) -> dict[str, object]:
    """Remove the files that the parameters select; return counts, bytes and the first paths.

    *selected* counts the files that match all parameters, *removed* those that were removed; with
    ``dry_run`` that is 0. Raises `PruneError`, after handling all other files, if some could not be removed.
    """
    selection = _Selection(job)
    errors: list[str] = []
    found = [
        one for folder in _walk(selection, errors) for one in _matching(folder, selection.patterns)
    ]
    doomed = {one.id: one.size for one in selection.choose(found)}
    removed, directories = _remove(selection, doomed, errors)
    result = {
        "path": selection.top,
        "dry_run": selection.is_dry,
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
        raise PruneError(f"{len(errors)} could not be removed, first {errors[0]}")
    return result


def _top(asked: Parameters) -> str:
    """Return the folder, with all symbolic links in its path resolved."""
    given = asked.text("path")
    top = Path(given).expanduser().resolve()
    if str(top) in REFUSED or top == Path.home().resolve():
        asked.refuse("path", f"{top} is refused; name a folder below it")
    if not top.is_dir():
        asked.fail("path", f"{given} is not a folder")
    return str(top)


def _walk(selection: _Selection, errors: list[str]) -> Iterator[_Folder]:
    """Yield the folders, the deepest first and the top folder last."""
    descriptor = os.open(selection.top, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        top = _Folder(selection.top, descriptor)
        if selection.is_recursive:
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
            continue  # another process has removed it
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
            with suppress(FileNotFoundError):  # another process has removed it
                found = os.stat(name, dir_fd=folder.descriptor, follow_symlinks=False)
                if stat.S_ISREG(found.st_mode):
                    yield _File(f"{folder.path}/{name}", found)


def _matches(name: str, pattern: str) -> bool:
    is_hidden = name.startswith(".") and not pattern.startswith(".")
    return not is_hidden and fnmatchcase(name, pattern)


def _remove(
    selection: _Selection, doomed: dict[FileId, int], errors: list[str]
) -> tuple[list[FileId], int]:
    """Remove the *doomed* files and the folders that become empty; return the files, and a count."""
    removed: list[FileId] = []
    removed_dirs = 0
    if selection.is_dry or not doomed:
        return removed, removed_dirs
    changed: set[str] = set()
    for folder in _walk(selection, errors=[]):  # the first walk has reported unreadable folders
        gone = [
            one.id
            for one in _matching(folder, selection.patterns)
            if one.id in doomed and _unlink(one.id[2], folder.descriptor, errors)
        ]
        emptied = [
            name
            for name in folder.dirs
            if selection.removes_dirs
            and f"{folder.path}/{name}" in changed
            and _rmdir(name, folder.descriptor)
        ]
        removed += gone
        removed_dirs += len(emptied)
        if gone or emptied:
            changed.add(folder.path)
    return removed, removed_dirs


def _rmdir(name: str, descriptor: int) -> bool:
    try:
        os.rmdir(name, dir_fd=descriptor)
    except OSError:  # not empty, or already removed
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


def _said(result: dict[str, object]) -> str:
    count, size = result["selected"], result["selected_bytes"]
    verb = "would be removed" if result["dry_run"] else "were to be removed"
    text = f"{result['matched']} files match in {result['path']}, {count} ({size} bytes) {verb}"
    if result["dry_run"]:
        return f"{text}; nothing is, because dry_run is on"
    return f"{text}, {result['removed']} are gone"
