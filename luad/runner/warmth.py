"""Finds the packages that a run has imported, which a template can import before later runs.

Rule: looks at the process of the run after its handler has returned. In doubt it reports none: a run must
not notice whether a template was used.
"""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Any, Final

from luad.runner.module_finders import is_below

if TYPE_CHECKING:
    from collections.abc import Sequence

_STANDARD: Final = os.path.dirname(os.__file__)
_INSTALLED: Final = ("site-packages", "dist-packages")
_FEW: Final = 3
"""Fewer new modules of the standard library, without an installed package, are not worth a template."""

MOST_MODULES: Final = 3_000
_NONE: Final[dict[str, list[str]]] = {"modules": [], "files": []}

_at_start: frozenset[str] = frozenset()


def remember_modules() -> None:
    """Record the modules that every run finds imported; the spawner calls this before its first fork."""
    global _at_start  # noqa: PLW0603 - children inherit it through fork
    _at_start = frozenset(sys.modules)


class Lesson:
    """The state of the process before the handler is imported; `learn` compares with it."""

    def __init__(self) -> None:
        self._environ = dict(os.environ)
        self._path = sys.path[:]
        self._cwd = os.getcwd()

    def learn(self, handler: str, roots: Sequence[str]) -> dict[str, list[str]]:
        """Return the modules to import beforehand, and the files of those that are installed.

        A handler that changes its environment, its folder or the import path may depend on the order, so
        its packages are imported in each run.
        """
        if dict(os.environ) != self._environ or sys.path != self._path or os.getcwd() != self._cwd:
            return _NONE
        own = handler.partition(":")[0].partition(".")[0]
        modules: list[str] = []
        files: list[str] = []
        for name, module in list(sys.modules.items()):
            if name in _at_start or _is_excluded(name, own):
                continue
            spec = getattr(module, "__spec__", None)
            if getattr(spec, "name", None) != name:
                continue  # another name of a module, or one that no file has
            places = _places(spec)
            if any(is_below(place, roots) for place in places):
                continue
            modules.append(name)
            files += [place for place in places if not _is_standard(place)]
        is_worth_it = files or len(modules) >= _FEW
        if not is_worth_it or len(modules) > MOST_MODULES:
            return _NONE
        return {"modules": modules, "files": files}


def _is_excluded(name: str, own: str) -> bool:
    top = name.partition(".")[0]
    # Modules of the runner come with those that need them.
    return top in {own, "__main__"} or name.startswith(("luad.handlers", "luad.runner"))


def _places(spec: Any) -> list[str]:
    """Return the file of a module, or the folders of a package that has none."""
    origin = getattr(spec, "origin", None)
    if isinstance(origin, str) and os.path.isabs(origin):
        return [os.path.abspath(origin)]
    folders = getattr(spec, "submodule_search_locations", None) or ()
    return [os.path.abspath(each) for each in folders]


def _is_standard(place: str) -> bool:
    return is_below(place, [_STANDARD]) and not any(each in place for each in _INSTALLED)
