"""Finds out without an import if the module of a handler exists.

Rule: no user code runs; it reads only names on the disk.
"""

from __future__ import annotations

import importlib.machinery
import os
import sys
from contextlib import suppress
from typing import TYPE_CHECKING

from luad.runner.loading import ENTRY_POINT_GROUP

if TYPE_CHECKING:
    from collections.abc import Sequence


def missing_module(handler: str, handlers_path: Sequence[str]) -> str:
    """Return the module (or entry point) of *handler* that cannot be found; empty if it exists."""
    if ":" not in handler:
        from importlib.metadata import entry_points  # noqa: PLC0415 - 37 ms, for few handlers

        return "" if entry_points(group=ENTRY_POINT_GROUP, name=handler) else handler
    roots = [os.path.abspath(path) for path in handlers_path]
    places: list[str] | None = roots + [path for path in sys.path if path]
    found = ""
    for part in handler.partition(":")[0].split("."):
        found = f"{found}.{part}" if found else part
        if "." not in found and found in sys.builtin_module_names:
            places = None
            continue
        spec = None
        with suppress(ImportError, ValueError, OSError):
            spec = importlib.machinery.PathFinder.find_spec(found, places)
        if spec is None:
            return found
        if spec.submodule_search_locations is None:
            places = []
        else:
            places = list(spec.submodule_search_locations)
    return ""
