"""Detects changes of the files that an interpreter reads only once, at its start.

Rule: reads the folders of installed packages; imports none of them.
"""

from __future__ import annotations

import os
import site
from contextlib import suppress
from typing import Final, TypeAlias

_READ_AT_START: Final = ("sitecustomize.py", "usercustomize.py")

Marks: TypeAlias = frozenset[tuple[str, int, int]]


def site_marks() -> Marks:
    """Return path, time and size of each file that Python reads at its start, such as ``.pth`` files.

    `pip install -e` writes such files. Other packages have none, and running interpreters find them.
    """
    folders = [*site.getsitepackages()]
    if site.ENABLE_USER_SITE:
        folders.append(site.getusersitepackages())
    marks: set[tuple[str, int, int]] = set()
    for folder in folders:
        with suppress(OSError), os.scandir(folder) as entries:
            marks.update(_mark(entry) for entry in entries if _acts_at_start(entry.name))
    return frozenset(marks)


def _acts_at_start(name: str) -> bool:
    return name.endswith(".pth") or name.startswith("__editable__") or name in _READ_AT_START


def _mark(entry: os.DirEntry[str]) -> tuple[str, int, int]:
    try:
        found = entry.stat()
    except OSError:
        return entry.path, 0, 0
    return entry.path, found.st_mtime_ns, found.st_size
