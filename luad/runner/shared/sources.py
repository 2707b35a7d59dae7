"""Notices that a source of a loaded handler module has changed.

Rule: a mark is taken before the source is read, so a change during the import is noticed as well.
"""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, TypeAlias

from luad.runner.module_finders import is_below

if TYPE_CHECKING:
    from collections.abc import Sequence

Mark: TypeAlias = tuple[int, int, int, int, int] | None


class Sources:
    """The files below *roots* from which this process has loaded code."""

    def __init__(self, roots: Sequence[str]) -> None:
        self._roots = roots
        self._marks: dict[str, Mark] = {}
        self._module_count = 0

    def before_read(self, path: str) -> None:
        """Note the state of a source that is about to be read."""
        self._marks[path] = _mark(path)

    def changed(self) -> str:
        """Return a file that differs from the loaded code; empty if all are the same."""
        if len(sys.modules) != self._module_count:
            self._note_compiled()
        for path, mark in list(self._marks.items()):
            if _mark(path) != mark or mark is None:
                return path
        return ""

    def _note_compiled(self) -> None:
        """Note the modules without a source: extensions, and compiled code."""
        self._module_count = len(sys.modules)
        for module in list(sys.modules.values()):
            path = getattr(module, "__file__", None)
            if isinstance(path, str) and path not in self._marks and is_below(path, self._roots):
                self._marks[path] = _mark(path)


def _mark(path: str) -> Mark:
    try:
        found = os.stat(path)
    except OSError:
        return None
    return found.st_mtime_ns, found.st_ctime_ns, found.st_size, found.st_ino, found.st_dev
