"""Module names that handlers cannot use, because Python or luad uses them.

Rule: cheap to import, because the process of each run imports it; lists the folder of handlers,
and opens no file.
"""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

OWN_PACKAGES: Final = frozenset(
    {
        "_yaml", "alembic", "anyio", "attr", "attrs", "click", "croniter",
        "dateutil", "exceptiongroup", "greenlet", "h11", "idna", "jinja2", "jsonschema",
        "jsonschema_specifications", "luad", "mako", "markupsafe", "prometheus_client", "pytz",
        "referencing", "rpds", "six", "sniffio", "sqlalchemy", "starlette", "structlog", "tomli",
        "typing_extensions", "tzdata", "uvicorn", "watchfiles", "yaml",
    }
)  # fmt: skip
"""The top-level modules of luad and of all libraries that it needs."""

SUFFIXES: Final = (".py", ".pyc", ".so", ".pyd")


class Reserved(NamedTuple):
    """A file or folder of the handlers that luad never imports."""

    name: str
    path: str
    reason: str
    new_name: str

    @property
    def new_path(self) -> str:
        """A path that the file or folder can be renamed to."""
        head, _, tail = self.path.rpartition("/")
        return f"{head}/{self.new_name}{tail.removeprefix(self.name)}"

    @property
    def message(self) -> str:
        """The message of the problem."""
        return f"{self.path} is never imported: `{self.name}` is {self.reason}"


def is_reserved(name: str) -> bool:
    """Return whether the top-level module *name* belongs to Python or to luad."""
    return name in sys.stdlib_module_names or name in OWN_PACKAGES


def reserved_files(folder: str | os.PathLike[str]) -> tuple[Reserved, ...]:
    """Return the files and folders of *folder* that have a reserved name."""
    names = module_names(folder)
    return tuple(
        Reserved(name, path, _reason(name), _free_name(name, names))
        for name, path in sorted(names.items())
        if is_reserved(name)
    )


def reserved_file(name: str, folders: Sequence[str]) -> Reserved | None:
    """Return the file of *folders* with the reserved top-level *name*, or None."""
    if not is_reserved(name):
        return None
    found = (each for folder in folders for each in reserved_files(folder) if each.name == name)
    return next(found, None)


def module_names(folder: str | os.PathLike[str]) -> Mapping[str, str]:
    """Return the paths of the top-level modules and packages of *folder*, by name."""
    try:
        entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
    except OSError:
        return {}
    found: dict[str, str] = {}
    for entry in entries:
        stem, dot, _ = entry.name.partition(".")
        is_module = bool(dot) and entry.name.endswith(SUFFIXES)
        if stem.isidentifier() and (is_module or (not dot and entry.is_dir())):
            found.setdefault(stem, entry.path)
    found.pop("__pycache__", None)
    return found


def _reason(name: str) -> str:
    if name in sys.stdlib_module_names:
        return "a module of Python's standard library"
    if name == "luad":
        return "luad itself"
    return "a library that luad needs"


def _free_name(name: str, taken: Collection[str]) -> str:
    base = f"{name.strip('_')}_jobs"
    number = 1
    new = base
    while new in taken or is_reserved(new):
        number += 1
        new = f"{base}{number}"
    return new
