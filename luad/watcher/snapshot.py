"""Reads the job folders with as little work as possible.

A file is opened again only if its status has changed; a snapshot of 10,000 unchanged files costs one
`stat` each. A change that would remove jobs counts only after the debounce time: a file that is empty now,
that has lost documents, that has fewer lines while a program overwrites it, or that is missing. Programs
truncate a file before they write it, and editors rename it before they create it again.

Rule: reads folders and files, and knows no YAML but the line between documents.
"""

from __future__ import annotations

import errno
import os
import re
import stat
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import blake2b
from pathlib import Path
from typing import Final

from luad.core.model import Instant
from luad.errors import Problem, Severity
from luad.trust import (
    file_problem,
    folder_problem,
    forget_accounts,
    is_private_group,
    path_problem,
)
from luad.watcher.unread import unread_problems

_JOB_FILE: Final = re.compile(r"[^._#~][^\n]*\.ya?ml")
_RACY_MS: Final = 1_000
"""A second write may leave so recent a status unchanged, so the file is read again."""
_PASSING: Final = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOMEM})
"""Errors of the system and not of the file: the file is read again soon."""

Signature = tuple[int, ...]


def is_job_file(name: str) -> bool:
    """Return True if luad reads a file of that name in a job folder."""
    return _JOB_FILE.fullmatch(name) is not None


@dataclass(frozen=True, slots=True)
class FileVersion:
    """One job file: its *data* with their hash as *key*, or the *problem* of reading it."""

    path: str
    data: bytes = b""
    key: str = ""
    problem: Problem | None = None


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Every job file, by its path as messages show it.

    *problems* concern whole folders. *unread* are the folders that could not be read; *files* has the
    versions of their files that were read last. *recheck_in_ms* is set while a change waits for the
    debounce time: read again then. *unconfirmed* are the files with such a change: *files* has their
    earlier version, and *unconfirmed* the version on the disk, None for a missing file.
    """

    files: Mapping[str, FileVersion]
    problems: tuple[Problem, ...] = ()
    recheck_in_ms: int | None = None
    unread: frozenset[str] = frozenset()
    unconfirmed: Mapping[str, FileVersion | None] = field(default_factory=dict)


@dataclass(slots=True)
class _Known:
    version: FileVersion
    signature: Signature
    is_racy: bool = False
    unconfirmed_since: Instant | None = None  # emptied, cut short or missing since then
    unconfirmed: FileVersion | None = None  # the version on the disk meanwhile
    gid: int | None = None  # the group that may write it


@dataclass(slots=True)
class SnapshotReader:
    """Reads *folders* repeatedly, and remembers the files that it has read.

    *debounce_ms* is the time for which an emptied or missing file must stay so. *max_bytes* is the limit
    for one file. *permit_insecure*: read files that other users may write, too.
    """

    folders: Sequence[Path]
    debounce_ms: int = 1_000
    max_bytes: int = 1 << 20
    permit_insecure: bool = False
    _known: dict[str, _Known] = field(default_factory=dict)
    _devices: dict[Path, int] = field(default_factory=dict)
    _unread: list[Problem] = field(default_factory=list)
    _private: dict[int, bool] = field(default_factory=dict)  # by group, as at the previous read

    def read(self, now: Instant, *, is_settled: bool = False) -> Snapshot:
        """Return the content of the folders at *now*. *is_settled*: without the debounce time."""
        self._check_groups()
        self._unread.clear()
        problems: list[Problem] = []
        unread: set[str] = set()
        must_read_again = False
        seen: dict[str, _Known] = {}
        for folder in self.folders:
            problem = self._folder_problem(folder)
            if problem is None:
                problem = self._unmounted(folder, is_settled=is_settled)
            if problem is None:
                try:
                    seen.update(self._read_folder(folder, now, is_settled=is_settled))
                    continue
                except FileNotFoundError:
                    problem = _missing(folder)
                except OSError as error:
                    problem = _unreadable(folder, error)
                    must_read_again = must_read_again or error.errno in _PASSING
            problems.append(problem)
            shown = _folder_of(_prefix(folder))
            unread.add(shown)
            kept = {path: each for path, each in self._known.items() if _folder_of(path) == shown}
            seen.update(kept)  # a folder that cannot be read keeps its jobs
        if not is_settled:
            self._keep_missing_files(seen, now)
        self._known = seen
        waiting = {path: each for path, each in seen.items() if each.unconfirmed_since is not None}
        since = min((each.unconfirmed_since or now for each in waiting.values()), default=None)
        recheck = max(0, since + self.debounce_ms - now) if since is not None else None
        if must_read_again:
            recheck = self.debounce_ms if recheck is None else min(self.debounce_ms, recheck)
        files = {path: seen[path].version for path in sorted(seen)}
        unconfirmed = {path: each.unconfirmed for path, each in waiting.items()}
        problems += self._unread
        return Snapshot(files, tuple(problems), recheck, frozenset(unread), unconfirmed)

    def _folder_problem(self, folder: Path) -> Problem | None:
        if self.permit_insecure:
            return None
        return folder_problem(folder, daemon_uid=os.geteuid())

    def _unmounted(self, folder: Path, *, is_settled: bool) -> Problem | None:
        """Return the problem of a folder that is empty and on another disk than before.

        It is most probably a mount point whose disk was unmounted, unless the user asks for a reload.
        """
        try:
            device = os.stat(folder).st_dev
            is_other = self._devices.setdefault(folder, device) != device
            if is_other and not is_settled and not os.listdir(folder):
                return _not_mounted(folder)
        except OSError:
            return None  # reading it gives the reason
        self._devices[folder] = device
        return None

    def _read_folder(
        self, folder: Path, now: Instant, *, is_settled: bool
    ) -> Iterator[tuple[str, _Known]]:
        with os.scandir(folder) as entries:
            names, others = [], []
            for each in entries:
                if is_job_file(each.name):
                    names.append((each.name, each.is_symlink()))
                else:
                    others.append(each.name)
        if others:
            links = [name for name, is_link in names if is_link]
            self._unread.extend(unread_problems(folder, others, links, self.folders))
        prefix = _prefix(folder)  # joining 10,000 paths would take as long as the stats
        for name, is_link in names:
            path = prefix + name
            known = self._known.get(path)
            signature = _signature(path)
            if (
                known is not None
                and known.signature == signature
                and not known.is_racy
                and not (is_link and self._leads_elsewhere(path, folder, known))
            ):
                yield path, known
                continue
            if signature is None and not os.path.islink(path):
                continue  # gone since the folder was listed
            yield path, self._read_file(path, folder, known, now, is_settled=is_settled)

    def _read_file(
        self, path: str, folder: Path, known: _Known | None, now: Instant, *, is_settled: bool
    ) -> _Known:
        version, status = self._load(path, folder)
        signature = _as_signature(status) if status else ()
        is_racy = status is not None and now - status.st_ctime_ns // 1_000_000 < _RACY_MS
        gid = self._writing_group(status)
        if version.problem is None and known is not None and known.version.key == version.key:
            version = known.version  # the same content: the same object
        if known is not None and version.problem is None and not is_settled:
            is_in_place = known.signature[:1] in {(), signature[:1]}  # () for a missing file
            if _may_be_unfinished(known.version.data, version.data, is_in_place=is_in_place):
                is_as_before = known.unconfirmed_since is not None and known.unconfirmed == version
                since = _earlier(known.unconfirmed_since, now) if is_as_before else now
                if now - since < self.debounce_ms:
                    return _Known(known.version, signature, True, since, version, gid)
        return _Known(version, signature, is_racy, gid=gid)

    def _load(self, path: str, folder: Path) -> tuple[FileVersion, os.stat_result | None]:
        """Open the file without blocking, judge the status of the open file, then read it."""
        try:
            outside = self._outside(path, folder)
            if outside is not None:
                return FileVersion(path, problem=outside), os.lstat(path)
            descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY)
        except OSError as error:
            if error.errno in _PASSING:
                raise
            return FileVersion(path, problem=_unreadable(Path(path), error)), None
        try:
            status = os.fstat(descriptor)
            problem = file_problem(path, status, daemon_uid=os.geteuid(), descriptor=descriptor)
            is_regular = stat.S_ISREG(status.st_mode)
            if problem is not None and not (self.permit_insecure and is_regular):
                return FileVersion(path, problem=problem), status
            if status.st_size > self.max_bytes:
                return FileVersion(path, problem=_too_big(path, status, self.max_bytes)), status
            with os.fdopen(os.dup(descriptor), "rb") as stream:
                data = stream.read(self.max_bytes + 1)
        except OSError as error:
            return FileVersion(path, problem=_unreadable(Path(path), error)), None
        finally:
            os.close(descriptor)
        return FileVersion(path, data, blake2b(data, digest_size=16).hexdigest()), status

    def _outside(self, path: str, folder: Path) -> Problem | None:
        """Return the problem of a link that leads out of its folder, or through an unsafe one.

        Links of Kubernetes (`..data`) stay in their folder.
        """
        if not os.path.islink(path):
            return None
        target = os.path.realpath(path, strict=True)
        if Path(target).is_relative_to(os.path.realpath(folder)):
            return None if self.permit_insecure else path_problem(path, daemon_uid=os.geteuid())
        return Problem(
            path,
            0,
            0,
            "LU035",
            f"{path} is a link to {target}, outside of {folder}",
            "copy the file, or name the folder that contains it: luad serve --jobs DIR",
        )

    def _leads_elsewhere(self, path: str, folder: Path, known: _Known) -> bool:
        """Return True if the judgement of a link has changed since the previous read.

        The folders on the path to its target have a status of their own.
        """
        try:
            return self._outside(path, folder) != known.version.problem
        except OSError:
            return True

    def _writing_group(self, status: os.stat_result | None) -> int | None:
        """Return the group that may write a file, and remember whether it is private."""
        if status is None or not status.st_mode & stat.S_IWGRP:
            return None
        self._private[status.st_gid] = is_private_group(status.st_gid, os.geteuid())
        return status.st_gid

    def _check_groups(self) -> None:
        """Ask the account databases again; files of a group that has changed are read again."""
        forget_accounts()
        user = os.geteuid()
        changed = {gid for gid, was in self._private.items() if is_private_group(gid, user) != was}
        for known in self._known.values() if changed else ():
            known.is_racy = known.is_racy or known.gid in changed

    def _keep_missing_files(self, seen: dict[str, _Known], now: Instant) -> None:
        for path, known in self._known.items():
            if path in seen or not known.version.data.strip():
                continue
            since = _earlier(known.unconfirmed_since, now)
            if now - since < self.debounce_ms:
                seen[path] = _Known(known.version, (), is_racy=True, unconfirmed_since=since)


def _earlier(since: Instant | None, now: Instant) -> Instant:
    """Return the start of the debounce time; a clock that was set back does not prolong it."""
    return now if since is None else min(since, now)


def _may_be_unfinished(before: bytes, after: bytes, *, is_in_place: bool) -> bool:
    """Return True if *after* may be only a part of the new content that replaces *before*.

    A read between two writes of a file in place sees a file without its last jobs or its last keys. A
    file that was renamed into its place is complete, but a document that it has lost may appear in another
    file a moment later, as when git checks out a branch.
    """
    if after.strip() == b"":
        return before.strip() != b""
    if after.count(b"\n---") < before.count(b"\n---"):
        return True
    has_fewer_lines = after.count(b"\n") < before.count(b"\n")
    return is_in_place and (has_fewer_lines or (after != before and before.startswith(after)))


def _signature(path: str) -> Signature | None:
    try:
        return _as_signature(os.stat(path))
    except OSError:
        return None


def _as_signature(status: os.stat_result) -> Signature:
    """Return values that change whenever the file does; mode and owner change the ctime."""
    return (status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns)


def _prefix(folder: Path) -> str:
    return str(folder / "_")[:-1]


def _folder_of(path: str) -> str:
    return os.path.dirname(path)


def _missing(folder: Path) -> Problem:
    """Return a warning and not an error, because a daemon without jobs is healthy."""
    message = f"folder {folder} does not exist"
    help_text = f"run: mkdir -p {folder}   (luad reads it as soon as it exists)"
    return Problem(str(folder), 0, 0, "LU038", message, help_text, Severity.WARNING)


def _not_mounted(folder: Path) -> Problem:
    message = f"folder {folder} is empty and on another file system than before"
    help_text = "mount its file system again; to remove its jobs, run: luad reload"
    return Problem(str(folder), 0, 0, "LU039", message, help_text, Severity.WARNING)


def _unreadable(path: Path, error: OSError) -> Problem:
    reason = os.strerror(error.errno).lower() if error.errno else str(error)
    if error.errno == errno.ENOENT:
        message, help_text = f"{path} is a broken link", "correct or delete the link"
    elif error.errno == errno.ELOOP:
        message, help_text = f"{path} is a link that leads back to itself", "delete the link"
    elif error.errno in _PASSING:
        message = f"{path} cannot be read: {reason}"
        help_text = "raise the limit (LimitNOFILE=, MemoryMax=); luad tries again by itself"
    else:
        message, help_text = f"{path} cannot be read: {reason}", f"run: chmod u+r {path}"
    return Problem(str(path), 0, 0, "LU036", message, help_text)


def _too_big(path: str, status: os.stat_result, max_bytes: int) -> Problem:
    return Problem(
        path,
        0,
        0,
        "LU037",
        f"{path} has {status.st_size:,} bytes; at most {max_bytes:,} are read",
        "split it, or raise `max_file_size` in luad.yaml",
    )
