"""Reads the job folders with as little work as possible.

A file is opened again only if its status has changed. `read` looks at all files; `look` at those that a
hint names, and at all where that is not enough: a link or a folder has changed, or the trust in a folder.

A change that would remove jobs counts only after the debounce time: a file that is empty now,
that has lost documents, that has fewer lines while a program overwrites it, or that is missing. Programs
truncate a file before they write it, and editors rename it before they create it again.

Rule: reads folders and files; `job_files` reads a single one.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Collection, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Final

from luad.core.model import Instant
from luad.errors import Problem
from luad.trust import folder_problem
from luad.watcher.job_files import (
    NO_SIGNATURE,
    PASSING,
    FileLoader,
    FileVersion,
    KeptFile,
    Signature,
    as_signature,
    is_job_file,
    is_same_inode,
    may_be_unfinished,
    pack_shape,
    shape_of,
    signature_of,
    unpack_shape,
    unreadable,
)
from luad.watcher.job_folders import JobFolder, list_files, missing_folder, unmounted
from luad.watcher.known_files import KnownFile, Snapshot, Versions
from luad.watcher.unread import unread_problems
from luad.watcher.writing_groups import WritingGroups

_RACY_MS: Final = 1_000  # a second write may leave so recent a status unchanged


class SnapshotReader:
    """Reads *folders* repeatedly, and remembers the files that it has read.

    *debounce_ms* is the time for which an emptied or missing file must stay so. *max_bytes* is the limit
    for one file. *permit_insecure*: read files that other users may write, too. Without *keeps_data* the
    bytes of a file are in one snapshot only: in `changed`.
    """

    def __init__(
        self,
        folders: Sequence[Path],
        debounce_ms: int = 1_000,
        max_bytes: int = 1 << 20,
        permit_insecure: bool = False,
        *,
        keeps_data: bool = True,
    ) -> None:
        self._keeps_data = keeps_data
        self.folders = folders
        self._debounce_ms = debounce_ms
        self._permit_insecure = permit_insecure
        self._loader = FileLoader(max_bytes, permit_insecure)
        self._folders = [JobFolder(each, str(each / "_")[:-1]) for each in folders]
        self._by_prefix = {each.prefix: each for each in self._folders}
        self._known: dict[str, KnownFile] = {}
        self._waiting: set[str] = set()  # paths with an unconfirmed change
        self._changed, self._gone = dict[str, FileVersion](), set[str]()
        self._groups = WritingGroups()
        self._uncompared: set[str] = set()  # between `begin` and `finish`
        self._touched: set[str] = set()  # paths that were read or lost since `take_touched`

    def restore(self, path: str, kept: KeptFile) -> None:
        """Take a file as read before; the next read opens it only if its status has changed."""
        if _prefix_of(path) in self._by_prefix:
            version = FileVersion(path, b"", kept.key)
            self._known[path] = KnownFile(version, kept.signature, unpack_shape(kept.shape))
            if kept.gid is not None:
                self._known[path].gid = kept.gid
                self._groups.restore(kept.gid)

    def forget(self, folders: Collection[str]) -> None:
        """Forget the files of *folders*; they are read once their folder can be read."""
        for path in [each for each in self._known if _prefix_of(each)[:-1] in folders]:
            del self._known[path]

    def take_touched(self) -> dict[str, KeptFile | None]:
        """Return the files that were read since the last call; None for one that must not be kept.

        A file must not be kept that has a problem, that is gone, or whose status may be too old.
        """
        touched, self._touched = self._touched, set()
        return {path: self._kept(path) for path in touched}

    def _kept(self, path: str) -> KeptFile | None:
        known = self._known.get(path)
        if known is None or known.version.problem is not None or not known.signature:
            return None
        if known.is_racy or known.unconfirmed_since is not None:
            return None
        return KeptFile(known.signature, known.version.key, pack_shape(known.shape), known.gid)

    def read(self, now: Instant, *, is_settled: bool = False) -> Snapshot:
        """Return the content of the folders at *now*. *is_settled*: without the debounce time."""
        self._check_groups()
        missing = set(self._known)
        for folder in self._folders:
            folder.must_read_again = False
            folder.problem = folder.distrust = self._folder_problem(folder)
            if folder.problem is None:
                folder.problem = unmounted(folder, is_settled=is_settled)
            if folder.problem is None:
                try:
                    self._read_folder(folder, missing, now, is_settled=is_settled)
                except FileNotFoundError:
                    folder.problem = missing_folder(folder.path)
                except OSError as error:
                    folder.problem = unreadable(folder.path, error)
                    folder.must_read_again = error.errno in PASSING
            if folder.problem is not None:  # a folder that cannot be read keeps its jobs
                folder.unread = ()
                missing = {path for path in missing if _prefix_of(path) != folder.prefix}
        for path in missing:
            self._miss(path, now, is_settled=is_settled)
        return self._snapshot(now)

    def look(self, hints: Collection[str], now: Instant) -> Snapshot:
        """Return the content of the folders, where only the files *hints* may have changed.

        The files with an unconfirmed change are looked at as well.
        """
        if self._must_read_all(hints):
            return self.read(now)
        others = set[str]()
        for path in sorted({*hints, *self._waiting, *self._links_beside(hints)}):
            folder = self._by_prefix.get(_prefix_of(path))
            if folder is None:
                continue
            name = path[len(folder.prefix) :]
            if not is_job_file(name):
                (folder.others.add if os.path.lexists(path) else folder.others.discard)(name)
                others.add(folder.prefix)
                continue
            try:
                self._look_at(path, folder, now)
            except OSError as error:
                folder.problem, folder.must_read_again = unreadable(folder.path, error), True
        for prefix in others:
            self._by_prefix[prefix].unread = self._unread(self._by_prefix[prefix])
        return self._snapshot(now)

    def file_count(self) -> int:
        """Return how many files are known so far."""
        return len(self._known)

    # --- a comparison in portions: `begin`, any number of `compare`, `finish` ---

    def begin(self) -> bool:
        """List the folders; return False if one cannot be read, so that only `read` will do."""
        self._check_groups()
        self._uncompared = set(self._known)
        try:
            for folder in self._folders:
                if self._folder_problem(folder) is not None:
                    return False
                unmounted(folder, is_settled=True)
                self._uncompared.update(folder.prefix + name for name in self._list(folder))
        except OSError:
            return False
        return True

    def uncompared_count(self) -> int:
        """Return how many files are not compared yet."""
        return len(self._uncompared)

    def compare(self, paths: Iterable[str]) -> list[str]:
        """Return those of *paths* that are as they were; no other file counts as compared."""
        same = [path for path in paths if path in self._known and self._is_same(path)]
        self._uncompared.difference_update(same)
        return same

    def _is_same(self, path: str) -> bool:
        known, folder = self._known[path], self._by_prefix[_prefix_of(path)]
        name = path[len(folder.prefix) :]
        return self._is_as_read(known, signature_of(path), folder, is_link=name in folder.links)

    def finish(self, now: Instant) -> Snapshot:
        """Read the files that are not compared, and return the content of the folders."""
        left, self._uncompared = sorted(self._uncompared), set()
        for path in left:
            folder = self._by_prefix[_prefix_of(path)]
            try:
                self._look_at(path, folder, now, is_settled=True)
            except OSError as error:
                folder.problem, folder.must_read_again = unreadable(folder.path, error), True
        return self._snapshot(now)

    def paths(self) -> list[str]:
        """Return the paths of all files that are known or in a folder, for a `look` in portions."""
        found = set(self._known)
        for folder in self._folders:
            try:
                with os.scandir(folder.path) as entries:
                    found.update(folder.prefix + each.name for each in entries)
            except OSError:
                return [each.prefix for each in self._folders]  # reading it gives the reason
        return sorted(found)

    # --- one look ---

    def _must_read_all(self, hints: Collection[str]) -> bool:
        """Return True if the files *hints* may not be all that has changed."""
        if self._check_groups():
            return True
        for each in self._folders:
            if each.distrust != self._folder_problem(each):
                return True
            if each.problem is not None and each.distrust is None and os.path.isdir(each.path):
                return True  # it may be readable now
        return any(self._concerns_all(path) for path in hints)

    def _concerns_all(self, path: str) -> bool:
        """Return True for a folder, and for an entry that files may be reached through."""
        folder = self._by_prefix.get(_prefix_of(path))
        if folder is None:
            return False
        name = path[len(folder.prefix) :]
        if not name or name.startswith(".."):
            return True
        if is_job_file(name):
            return False
        try:
            mode = os.lstat(path).st_mode
        except OSError:
            return name in folder.others and bool(folder.links)
        return stat.S_ISLNK(mode) or (stat.S_ISDIR(mode) and name not in folder.others)

    def _links_beside(self, hints: Collection[str]) -> Iterator[str]:
        """Yield the links in the folders of *hints*, because a link may lead to one of the files."""
        for prefix in {_prefix_of(path) for path in hints}:
            if (folder := self._by_prefix.get(prefix)) is not None:
                yield from (prefix + name for name in folder.links)

    def _look_at(
        self, path: str, folder: JobFolder, now: Instant, *, is_settled: bool = False
    ) -> None:
        name = path[len(folder.prefix) :]
        is_link = os.path.islink(path)
        (folder.links.add if is_link else folder.links.discard)(name)
        if not self._visit(path, folder, now, is_link=is_link, is_settled=is_settled):
            folder.links.discard(name)
            if path in self._known:
                self._miss(path, now, is_settled=is_settled)

    def _folder_problem(self, folder: JobFolder) -> Problem | None:
        if self._permit_insecure:
            return None
        return folder_problem(folder.path, daemon_uid=os.geteuid())

    def _list(self, folder: JobFolder) -> list[str]:
        names = list_files(folder)
        folder.unread = self._unread(folder)
        return names

    def _read_folder(
        self, folder: JobFolder, missing: set[str], now: Instant, *, is_settled: bool
    ) -> None:
        names = self._list(folder)
        prefix = folder.prefix  # joining 10,000 paths would take as long as the stats
        for name in names:
            path = prefix + name
            is_link = name in folder.links
            if self._visit(path, folder, now, is_link=is_link, is_settled=is_settled):
                missing.discard(path)

    def _unread(self, folder: JobFolder) -> tuple[Problem, ...]:
        if not folder.others:
            return ()
        return unread_problems(folder.path, folder.others, folder.links, self.folders)

    def _visit(
        self, path: str, folder: JobFolder, now: Instant, *, is_link: bool, is_settled: bool
    ) -> bool:
        """Read a file if it has changed; return False if it is gone."""
        known = self._known.get(path)
        signature = signature_of(path)
        if known is not None and self._is_as_read(known, signature, folder, is_link=is_link):
            return True
        if signature is None and not os.path.islink(path):
            return False  # gone since the folder was listed
        self._put(path, self._read_file(path, folder, known, now, is_settled=is_settled))
        return True

    def _is_as_read(
        self, known: KnownFile, signature: Signature | None, folder: JobFolder, *, is_link: bool
    ) -> bool:
        """Return whether a file is as it was when it was read, judged by its status."""
        if known.signature != signature or known.is_racy:
            return False
        path = known.version.path
        return not (is_link and self._loader.leads_elsewhere(path, folder.path, known.version))

    def _read_file(
        self,
        path: str,
        folder: JobFolder,
        known: KnownFile | None,
        now: Instant,
        *,
        is_settled: bool,
    ) -> KnownFile:
        version, status = self._loader.load(path, folder.path)
        signature = as_signature(status) if status else NO_SIGNATURE
        is_racy = status is not None and now - status.st_ctime_ns // 1_000_000 < _RACY_MS
        gid = self._groups.of_file(status)
        if version.problem is None and known is not None and known.version.key == version.key:
            version = known.version  # the same content: the same object
        if known is not None and version is known.version:
            return KnownFile(version, signature, known.shape, is_racy, gid=gid)
        if known is not None and version.problem is None and not is_settled:
            is_in_place = is_same_inode(known.signature, signature)
            if may_be_unfinished(known.shape, version.data, is_in_place=is_in_place):
                is_as_before = known.unconfirmed_since is not None and known.unconfirmed == version
                since = _earlier(known.unconfirmed_since, now) if is_as_before else now
                if now - since < self._debounce_ms:
                    return KnownFile(
                        known.version, signature, known.shape, True, since, version, gid
                    )
        return KnownFile(version, signature, shape_of(version.data), is_racy, gid=gid)

    def _miss(self, path: str, now: Instant, *, is_settled: bool) -> None:
        """Note that a known file is missing; it is gone after the debounce time."""
        known = self._known[path]
        since = _earlier(known.unconfirmed_since, now)
        must_wait = not is_settled and not known.shape.is_blank
        if must_wait and now - since < self._debounce_ms:
            missing = KnownFile(known.version, NO_SIGNATURE, known.shape, is_racy=True)
            missing.unconfirmed_since = since
            self._put(path, missing)
            return
        del self._known[path]
        self._waiting.discard(path)
        self._changed.pop(path, None)
        self._gone.add(path)
        self._touched.add(path)

    def _put(self, path: str, known: KnownFile) -> None:
        before = self._known.get(path)
        self._touched.add(path)
        (self._waiting.discard if known.unconfirmed_since is None else self._waiting.add)(path)
        if before is None or before.version is not known.version:
            self._changed[path] = version = known.version
            self._gone.discard(path)
            if not self._keeps_data:
                known.version = FileVersion(path, b"", version.key, version.problem)
        self._known[path] = known  # last: a failure before loses no change

    def _check_groups(self) -> bool:
        """Ask the account databases again; return True if files must be read again for their group."""
        changed = self._groups.changed()
        for known in self._known.values() if changed else ():
            known.is_racy = known.is_racy or known.gid in changed
        return bool(changed)

    # --- the answer ---

    def _snapshot(self, now: Instant) -> Snapshot:
        waiting = {path: self._known[path] for path in sorted(self._waiting)}
        since = min((each.unconfirmed_since or now for each in waiting.values()), default=None)
        recheck = max(0, since + self._debounce_ms - now) if since is not None else None
        if any(each.must_read_again for each in self._folders):
            recheck = self._debounce_ms if recheck is None else min(self._debounce_ms, recheck)
        problems = [each.problem for each in self._folders if each.problem is not None]
        problems += (problem for each in self._folders for problem in each.unread)
        unread = frozenset(
            os.path.dirname(each.prefix) for each in self._folders if each.problem is not None
        )
        unconfirmed = {path: each.unconfirmed for path, each in waiting.items()}
        changed, gone = self._changed, frozenset(self._gone)
        found = Snapshot(
            Versions(self._known), tuple(problems), recheck, unread, unconfirmed, changed, gone
        )
        self._changed, self._gone = {}, set()  # last: a failure before loses no change
        return found


def _earlier(since: Instant | None, now: Instant) -> Instant:
    """Return the start of the debounce time; a clock that was set back does not prolong it."""
    return now if since is None else min(since, now)


def _prefix_of(path: str) -> str:
    return path[: path.rfind("/") + 1]
