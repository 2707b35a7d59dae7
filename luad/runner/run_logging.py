"""Configures `logging` in the process of a run, as soon as the run imports it.

The process that is forked has not imported `logging`: its hooks run at each fork, and its pages would be
copied. A finder on `sys.meta_path` notices the first import.

Rule: a handler finds `logging` as if it had been configured from the start.
"""

from __future__ import annotations

import sys
from importlib.machinery import PathFinder
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from importlib.machinery import ModuleSpec
    from types import ModuleType

    from luad.runner.capture import Line

_NAME: Final = "logging"
USUAL_LEVEL: Final = "info"


class RunLogging:
    """Passes the log records of a process to *send*; None drops them."""

    def __init__(self) -> None:
        self.send: Callable[[Line], None] | None = None
        self._level = USUAL_LEVEL

    def install(self) -> None:
        """Configure `logging` now if it is imported, else at its import."""
        if _NAME in sys.modules:
            self._configure()
        else:
            sys.meta_path.insert(0, self)

    def set_level(self, level: str) -> None:
        """Keep records from *level* on."""
        if level != self._level:
            self._level = level
            if (logging := sys.modules.get(_NAME)) is not None:
                logging.getLogger().setLevel(level.upper())

    def find_spec(
        self, fullname: str, _path: Sequence[str] | None = None, _target: Any = None
    ) -> ModuleSpec | None:
        """Return the spec of `logging`, which configures it after its code has run; else None."""
        if fullname != _NAME:
            return None
        sys.meta_path.remove(self)
        spec = PathFinder.find_spec(fullname)
        if spec is None or spec.loader is None:
            return None
        loader, load = spec.loader, spec.loader.exec_module

        def load_and_configure(module: ModuleType) -> None:
            vars(loader).pop("exec_module", None)
            load(module)
            self._configure()

        vars(loader)["exec_module"] = load_and_configure
        return spec

    def _configure(self) -> None:
        import logging  # noqa: PLC0415 - this is the point

        from luad.runner.basic_config import route_basic_config  # noqa: PLC0415
        from luad.runner.log_records import RecordHandler  # noqa: PLC0415

        records = RecordHandler(self._pass_on)
        logging.basicConfig(level=self._level.upper(), handlers=[records], force=True)
        records.setFormatter(None)  # a record is a line with fields, not a text
        route_basic_config(records)

    def _pass_on(self, line: Line) -> None:
        if self.send is not None:
            self.send(line)
