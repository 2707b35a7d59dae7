"""Import finders for the handlers' folders, and their precedence.

Rule: runs in the handler's process; decides by names and folders, and loads nothing.
"""

from __future__ import annotations

import importlib.machinery
import os
import sys
from importlib.machinery import ModuleSpec
from typing import TYPE_CHECKING, Any

from luad.config.jobs.reserved_names import is_reserved

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import ModuleType


def is_below(path: str, roots: Sequence[str]) -> bool:
    """Return True if *path* is one of *roots*, or inside one."""
    return any(path == root or path.startswith(root + os.sep) for root in roots)


class HandlersFinder(importlib.machinery.FileFinder):
    """Finds modules in one of the handlers' folders, except those with a reserved name."""

    def find_spec(self, fullname: str, target: Any = None) -> ModuleSpec | None:
        """Return the spec of a module in the folder; None if there is none, or its name is reserved."""
        if "." not in fullname and is_reserved(fullname):
            return None
        return super().find_spec(fullname, target)


class HandlersFirst:
    """Searches the handlers' folders before all other finders, such as those of editable installs."""

    def __init__(self, roots: list[str]) -> None:
        self._roots = roots

    def find_spec(
        self, fullname: str, path: Sequence[str] | None = None, target: Any = None
    ) -> ModuleSpec | None:
        """Return the spec of a top-level module; None passes the search to the other finders."""
        if path is not None or "." in fullname or is_reserved(fullname):
            return None
        spec = importlib.machinery.PathFinder.find_spec(fullname, self._roots, target)
        if spec is None or spec.loader is not None:
            return spec
        # A folder without `__init__.py` shares its name with other such folders, and has precedence
        # over an installed package.
        others = [each for each in sys.path if not is_below(each, self._roots)]
        other = importlib.machinery.PathFinder.find_spec(fullname, others)
        if other is None or other.loader is None:
            return None
        own = ModuleSpec(fullname, _FolderLoader(), is_package=True)  # type: ignore[arg-type] # a base class costs 20 ms
        own.submodule_search_locations = list(spec.submodule_search_locations or ())
        return own


class _FolderLoader:
    """Makes the package of a folder that has no `__init__.py`."""

    def create_module(self, spec: ModuleSpec) -> None:
        """Return None, so that Python makes the module."""

    def exec_module(self, module: ModuleType) -> None:
        """Do nothing, because the folder has no code."""
