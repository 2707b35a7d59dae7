"""Checks by root of files that belong to another user, as in containers of CI.

A daemon of root would refuse such files. `luad check` reads them, because their text runs nothing, and
warns of the owner. It does not import handlers of another user (`handler_check`).

Rule: it reads folders of job files and of users files by the rules of the daemon, except for the owner.
"""

from __future__ import annotations

import os
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from luad.clock import wall_ms
from luad.errors import Severity
from luad.trust import path_problem
from luad.watcher import FileVersion, SnapshotReader

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from luad.config.settings.daemon_settings import Settings
    from luad.errors import Problem
    from luad.watcher import Snapshot

_OWNER: Final = frozenset({"LU031", "LU033", "LU042"})


def is_of_another_user(problem: Problem) -> bool:
    """Return True if this process is root, and the problem is only the owner of a file."""
    return os.geteuid() == 0 and problem.code in _OWNER


def as_advice(problem: Problem) -> Problem:
    """Return the problem as a warning."""
    return replace(problem, severity=Severity.WARNING)


def read_folders(
    folders: Sequence[Path], chosen: Settings
) -> tuple[dict[str, FileVersion], tuple[Problem, ...]]:
    """Return the files of *folders* as the daemon reads them, and the problems of the folders.

    Root also gets the files and folders of another user, each with a warning.
    """
    strict = _read(folders, chosen, permit_insecure=chosen.permit_insecure)
    files, problems = dict(strict.files), [*strict.problems]
    of_files = [each.problem for each in files.values() if each.problem is not None]
    if not any(map(is_of_another_user, (*problems, *of_files))):
        return files, tuple(problems)
    problems = [as_advice(each) if is_of_another_user(each) else each for each in problems]
    warned = {each.path for each in problems}
    for path, version in _read(folders, chosen, permit_insecure=True).files.items():
        known = files.get(path)
        problem = known.problem if known else path_problem(path, daemon_uid=os.geteuid())
        if problem is None or is_of_another_user(problem):
            files[path] = version
        elif known is None:
            files[path] = replace(version, data=b"", problem=problem)
        # The warning for a folder covers the files in it.
        if problem is not None and is_of_another_user(problem) and not warned & _above(path):
            problems.append(as_advice(replace(problem, path=path)))
    return files, tuple(problems)


def _above(path: str) -> set[str]:
    whole = os.path.realpath(path)
    found = set()
    while whole != "/":
        whole = os.path.dirname(whole)  # noqa: PTH120 - strings, as above
        found.add(whole)
    return found


def _read(folders: Sequence[Path], chosen: Settings, *, permit_insecure: bool) -> Snapshot:
    reader = SnapshotReader(
        folders, max_bytes=chosen.max_file_size, permit_insecure=permit_insecure
    )
    return reader.read(wall_ms(), is_settled=True)
