"""What the job folders hold now, read with as little work as possible.

A file is opened again only when its status has changed; a snapshot of 10,000 unchanged files costs a
`stat` each. What takes jobs away is not believed at once: a file that is empty now, has lost documents, has
fewer lines while it is written over in place, or is gone. Writers truncate before they write, and editors
rename before they create; what a person means by it shows once the file has settled.

Room rule: reads folders and files, and knows no YAML but the line between documents.
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
"""A status this fresh may stay the same through another write: such a file is read again."""
_PASSING: Final = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOMEM})
"""Not the file's fault: nothing was learnt of it, and it is read again soon."""

Signature = tuple[int, ...]


def is_job_file(name: str) -> bool:
    """Say whether a file of that name in a job folder is meant to be read."""
    return _JOB_FILE.fullmatch(name) is not None


@dataclass(frozen=True, slots=True)
class FileVersion:
    """One job file: its *data* and their hash as *key*, or the *problem* of reading it."""

    path: str
    data: bytes = b""
    key: str = ""
    problem: Problem | None = None


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Every job file, by path as shown to people. *problems* concern whole folders; those that could
    not be read are *unread*, and nothing is said about their files but what was known before.

    *recheck_in_ms*: something has not settled; read again after that time. *doubtful*: the files that
    have not, shown in *files* as they were, and here as what stands there meanwhile; None: nothing does.
    """

    files: Mapping[str, FileVersion]
    problems: tuple[Problem, ...] = ()
    recheck_in_ms: int | None = None
    unread: frozenset[str] = frozenset()
    doubtful: Mapping[str, FileVersion | None] = field(default_factory=dict)


@dataclass(slots=True)
class _Known:
    version: FileVersion
    signature: Signature
    is_racy: bool = False
    doubtful_since: Instant | None = None  # emptied, cut short or gone, not believed yet
    doubted: FileVersion | None = None  # what stands there meanwhile
    gid: int | None = None  # the group that may write it


@dataclass(slots=True)
class SnapshotReader:
    """Reads *folders* again and again, remembering what it has seen.

    *settle_ms*: how long an emptied or vanished file must stay so. *max_bytes*: of one file.
    *permit_insecure*: read files that others may write, too.
    """

    folders: Sequence[Path]
    settle_ms: int = 1_000
    max_bytes: int = 1 << 20
    permit_insecure: bool = False
    _known: dict[str, _Known] = field(default_factory=dict)
    _devices: dict[Path, int] = field(default_factory=dict)
    _unread: list[Problem] = field(default_factory=list)
    _private: dict[int, bool] = field(default_factory=dict)  # by group, as it was at the last look

    def read(self, now: Instant, *, is_settled: bool = False) -> Snapshot:
        """Return what the folders hold at *now*. *is_settled*: believe everything at once."""
        self._look_at_groups()
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
            seen.update(kept)  # nobody said that these jobs are not wanted any more
        if not is_settled:
            self._doubt_the_vanished(seen, now)
        self._known = seen
        doubted = {path: each for path, each in seen.items() if each.doubtful_since is not None}
        since = min((each.doubtful_since or now for each in doubted.values()), default=None)
        recheck = max(0, since + self.settle_ms - now) if since is not None else None
        if must_read_again:
            recheck = self.settle_ms if recheck is None else min(self.settle_ms, recheck)
        files = {path: seen[path].version for path in sorted(seen)}
        doubtful = {path: each.doubted for path, each in doubted.items()}
        problems += self._unread
        return Snapshot(files, tuple(problems), recheck, frozenset(unread), doubtful)

    def _folder_problem(self, folder: Path) -> Problem | None:
        if self.permit_insecure:
            return None
        return folder_problem(folder, daemon_uid=os.geteuid())

    def _unmounted(self, folder: Path, *, is_settled: bool) -> Problem | None:
        """An empty folder on another disk than before is the place where that disk was mounted, unless
        somebody means it."""
        try:
            device = os.stat(folder).st_dev
            is_other = self._devices.setdefault(folder, device) != device
            if is_other and not is_settled and not os.listdir(folder):
                return _not_mounted(folder)
        except OSError:
            return None  # reading it will say why
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
        prefix = _prefix(folder)  # ten thousand joins of paths take as long as the stats
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
            is_in_place = known.signature[:1] in {(), signature[:1]}  # () of one that was gone
            if _may_go_on(known.version.data, version.data, is_in_place=is_in_place):
                is_as_before = known.doubtful_since is not None and known.doubted == version
                since = _no_later(known.doubtful_since, now) if is_as_before else now
                if now - since < self.settle_ms:
                    return _Known(known.version, signature, True, since, version, gid)
        return _Known(version, signature, is_racy, gid=gid)

    def _load(self, path: str, folder: Path) -> tuple[FileVersion, os.stat_result | None]:
        """Open without ever blocking, look at what was opened, then read it."""
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
        """A link must stay in its folder (as Kubernetes' `..data` does), where nobody else writes."""
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
            "copy the file, or name the folder it stands in: luad serve --jobs DIR",
        )

    def _leads_elsewhere(self, path: str, folder: Path, known: _Known) -> bool:
        """Whether another rule holds for a link than at the last look: the way to its target has a
        status of its own."""
        try:
            return self._outside(path, folder) != known.version.problem
        except OSError:
            return True

    def _writing_group(self, status: os.stat_result | None) -> int | None:
        """Remember the group that may write a file, and whether it was private when that was judged."""
        if status is None or not status.st_mode & stat.S_IWGRP:
            return None
        self._private[status.st_gid] = is_private_group(status.st_gid, os.geteuid())
        return status.st_gid

    def _look_at_groups(self) -> None:
        """Ask the databases of accounts anew; files of a group that has changed are read again."""
        forget_accounts()
        user = os.geteuid()
        changed = {gid for gid, was in self._private.items() if is_private_group(gid, user) != was}
        for known in self._known.values() if changed else ():
            known.is_racy = known.is_racy or known.gid in changed

    def _doubt_the_vanished(self, seen: dict[str, _Known], now: Instant) -> None:
        for path, known in self._known.items():
            if path in seen or not known.version.data.strip():
                continue
            since = _no_later(known.doubtful_since, now)
            if now - since < self.settle_ms:
                seen[path] = _Known(known.version, (), is_racy=True, doubtful_since=since)


def _no_later(since: Instant | None, now: Instant) -> Instant:
    """Since when there is doubt; a clock that was set back does not make it last."""
    return now if since is None else min(since, now)


def _may_go_on(before: bytes, after: bytes, *, is_in_place: bool) -> bool:
    """Whether *after* may not be all that is meant to replace *before*.

    A file that is written in place may be read between two writes; then jobs at its end seem to be gone,
    or one seems to have lost its last keys. One that was renamed into its place is whole, but a document
    that it has lost may be on its way to another file, as when a branch is checked out.
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
    """Return what changes whenever the file does: mode and owner show in the ctime."""
    return (status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns)


def _prefix(folder: Path) -> str:
    return str(folder / "_")[:-1]


def _folder_of(path: str) -> str:
    return os.path.dirname(path)


def _missing(folder: Path) -> Problem:
    """A missing folder is advice, not an error: a daemon without jobs is a healthy daemon."""
    message = f"folder {folder} does not exist"
    help_text = f"run: mkdir -p {folder}   (luad notices it as soon as it is there)"
    return Problem(str(folder), 0, 0, "LU038", message, help_text, Severity.WARNING)


def _not_mounted(folder: Path) -> Problem:
    message = f"folder {folder} is empty, and on another file system than before: was it unmounted?"
    help_text = "mount it again; if its jobs are to go, run: luad reload"
    return Problem(str(folder), 0, 0, "LU039", message, help_text, Severity.WARNING)


def _unreadable(path: Path, error: OSError) -> Problem:
    reason = os.strerror(error.errno).lower() if error.errno else str(error)
    if error.errno == errno.ENOENT:
        message, help_text = f"{path} is a link to nothing", "mend or delete the link"
    elif error.errno == errno.ELOOP:
        message, help_text = f"{path} is a link that leads back to itself", "delete the link"
    elif error.errno in _PASSING:
        message = f"{path} cannot be read: {reason}"
        help_text = "give luad more of it (LimitNOFILE=, MemoryMax=); it tries again by itself"
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
