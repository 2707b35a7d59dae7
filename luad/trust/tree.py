"""Checks every module and package in a folder of code that a handler could import.

Rule: reads names and status values; opens no file, imports nothing.
"""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING, Final, NamedTuple

from luad.trust.accounts import is_private_group
from luad.trust.rule import file_problem, path_problem

if TYPE_CHECKING:
    from collections.abc import Iterator

    from luad.errors import Problem

_CODE: Final = (".py", ".so", ".pyc")
_CACHE: Final = "__pycache__"
"""luad does not use the compiled code in it for modules of the handlers' folder."""


class _Verdict(NamedTuple):
    """*key* is the basis of the verdict: device, inode, ctime, and True for a private writing group."""

    key: tuple[int, int, int, bool]
    problem: Problem | None


class CodeTree:
    """One folder of code. A file whose status has not changed keeps its verdict. Thread-safe."""

    def __init__(self, folder: str) -> None:
        self._folder = folder
        self._known: dict[str, _Verdict] = {}

    def problems(self, uid: int) -> tuple[Problem, ...]:
        """Return the problems of the modules and packages in the folder, not of the folder itself."""
        scan = _Scan(uid, self._known)
        found = tuple(scan.problems_below(self._folder))
        self._known = scan.seen
        return found


class _Scan:
    """One scan of the whole tree."""

    def __init__(self, uid: int, known: dict[str, _Verdict]) -> None:
        self._uid = uid
        self._known = known
        self._entered: set[tuple[int, int]] = set()
        self.seen: dict[str, _Verdict] = {}

    def problems_below(self, folder: str) -> Iterator[Problem]:
        """Yield the problems of all code below *folder*."""
        try:
            with os.scandir(folder) as found:
                entries = sorted(found, key=lambda each: each.name)
        except OSError:
            return  # importing from it gives the reason
        for entry in entries:
            try:
                status = entry.stat()
            except OSError:
                continue  # deleted, or a broken link
            is_folder = stat.S_ISDIR(status.st_mode)
            if not _is_code(entry.name, is_folder=is_folder):
                continue
            problem = self._judge(entry, status, is_folder=is_folder)
            if problem is not None:
                yield problem
            place = (status.st_dev, status.st_ino)
            if is_folder and place not in self._entered:
                self._entered.add(place)
                yield from self.problems_below(entry.path)

    def _judge(
        self, entry: os.DirEntry[str], status: os.stat_result, *, is_folder: bool
    ) -> Problem | None:
        uid = self._uid
        if entry.is_symlink():  # the folders on the path to its target have a status of their own
            return path_problem(entry.path, daemon_uid=uid)
        is_private = bool(status.st_mode & stat.S_IWGRP) and is_private_group(status.st_gid, uid)
        key = (status.st_dev, status.st_ino, status.st_ctime_ns, is_private)
        known = self._known.get(entry.path)
        if known is None or known.key != key:
            problem = file_problem(entry.path, status, daemon_uid=uid, is_folder=is_folder)
            known = _Verdict(key, problem)
        self.seen[entry.path] = known
        return known.problem


def _is_code(name: str, *, is_folder: bool) -> bool:
    return (name.isidentifier() and name != _CACHE) if is_folder else name.endswith(_CODE)
