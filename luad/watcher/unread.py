"""Warns of files in a job folder that look like job files, and that luad does not read.

Rule: reads names alone. It ignores names that programs use for other files: hidden files, `_*`, `*~`,
backups, a README, temporary files.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

from luad.errors import Problem, Severity

_LIKE_A_JOB: Final = re.compile(r"[^._#~].*?\.(?:ya?ml(?:\.txt)?|json)", re.IGNORECASE)
_JOB: Final = re.compile(r"[^._#~][^\n]*\.ya?ml")
_DEEPEST: Final = 4
_MOST_ENTRIES: Final = 1_000  # of one subfolder, with all below it
_MOST_SHOWN: Final = 20


def unread_problems(
    folder: Path, names: Iterable[str], links: Iterable[str], read: Iterable[Path]
) -> tuple[Problem, ...]:
    """Return a warning for each of *names* in *folder* that looks like a job file.

    *names* are the entries that luad does not read, *links* the links that it reads; *read* are all
    folders that it reads.
    """
    known = {os.path.realpath(each) for each in read}
    linked = {os.path.realpath(folder / each) for each in links}
    found: list[Problem] = []
    for name in sorted(names):
        if name.startswith((".", "_", "#")) or name.endswith(("~", "#")):
            continue
        path = folder / name
        if _LIKE_A_JOB.fullmatch(name) and path.is_file():
            found.append(_file(path))
        elif path.is_dir() and os.path.realpath(path) not in known:
            found.extend(_subfolder(path, folder, linked))
        if len(found) == _MOST_SHOWN:
            break
    return tuple(found)


def _file(path: Path) -> Problem:
    stem = re.sub(r"\.(ya?ml(\.txt)?|json)$", "", path.name, flags=re.IGNORECASE)
    message = f"{path} is not read: its name does not end in .yaml or .yml, in lower case"
    return _warning(path, message, f"run: mv {path} {path.with_name(stem)}.yaml")


def _subfolder(path: Path, folder: Path, linked: set[str]) -> Iterator[Problem]:
    count = sum(os.path.realpath(each) not in linked for each in _jobs_below(path))
    if count:
        files = "1 file" if count == 1 else f"{count} files"
        message = f"{path} is a folder in {folder}: {files} in it are not read"
        if count == 1:
            message = f"{path} is a folder in {folder}: the file in it is not read"
        hint = f"move them into {folder}, or name {path} beside it in luad.yaml"
        yield _warning(path, message, hint)


def _jobs_below(top: Path) -> Iterator[str]:
    """Yield the job files below *top*, within limits of depth and number of entries."""
    left = _MOST_ENTRIES
    waiting = [(top, 1)]
    while waiting and left > 0:
        place, depth = waiting.pop()
        try:
            with os.scandir(place) as entries:
                for entry in entries:
                    left -= 1
                    if left <= 0:
                        return
                    if entry.is_dir(follow_symlinks=False):
                        if depth < _DEEPEST and not entry.name.startswith((".", "_")):
                            waiting.append((Path(entry.path), depth + 1))
                    elif _JOB.fullmatch(entry.name):
                        yield entry.path
        except OSError:
            continue  # a folder that cannot be read has no warning


def _warning(path: Path, message: str, hint: str) -> Problem:
    return Problem(str(path), 0, 0, "LU511", message, hint, Severity.WARNING)
