"""The handlers that dynamic jobs may name.

Rule: patterns and a folder in, yes or no out; imports nothing that it judges.
"""

from __future__ import annotations

import os
import re
import sys
from fnmatch import fnmatchcase
from functools import lru_cache
from importlib.machinery import EXTENSION_SUFFIXES, PathFinder
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

from luad.config.settings.bindings import Bindings, Written, bindings_of, written_in

if TYPE_CHECKING:
    from collections.abc import Sequence

OWN_HANDLERS: Final = "handlers/*"
"""The pattern for names that the modules in the folder of handlers define themselves."""

_MAX_PARSED: Final = 1 << 18
"""The size above which modules are not read for `OWN_HANDLERS`, to keep the daemon responsive."""

_MODULE: Final = re.compile(r"[A-Za-z]\w*(?:\.[A-Za-z]\w*)*", re.ASCII)
_PUBLIC: Final = re.compile(r"[A-Za-z]\w*", re.ASCII)

DEFAULT_PATTERNS: Final = (
    OWN_HANDLERS,
    "luad.handlers.message:*",
    "luad.handlers.http:*",
    "luad.handlers.report:*",
)
"""The default patterns: no shell, and no access to files."""


class Refusal(NamedTuple):
    """The reason why a handler is not allowed. *is_missing*: the module does not have it."""

    reason: str
    is_missing: bool = False


def is_allowed(handler: str, patterns: Sequence[str], handlers_path: Path) -> bool:
    """Return whether *handler* (``module:function``, or an entry point) matches a pattern."""
    return refusal_of(handler, patterns, handlers_path) is None


def is_named(handler: str, patterns: Sequence[str]) -> bool:
    """Return whether a pattern of `fnmatch`, other than `OWN_HANDLERS`, matches *handler*."""
    return any(fnmatchcase(handler, each) for each in patterns if each != OWN_HANDLERS)


def refusal_of(handler: str, patterns: Sequence[str], handlers_path: Path) -> Refusal | None:
    """Return why *handler* matches no pattern; None if one matches.

    `OWN_HANDLERS` matches a public name that a module of *handlers_path* binds itself, by ``def``,
    ``class`` or an assignment. Names of the standard library and of installed packages do not
    match: through them a client could reach code that is not written as a handler.
    """
    if is_named(handler, patterns):
        return None
    if OWN_HANDLERS not in patterns:
        return Refusal("no pattern matches it")
    return _own_refusal(handler, handlers_path)


def _own_refusal(handler: str, handlers_path: Path) -> Refusal | None:
    module, colon, function = handler.partition(":")
    top = module.partition(".")[0]
    if not colon or top == "luad":
        return Refusal("no pattern matches it")
    if not _MODULE.fullmatch(module) or not _PUBLIC.fullmatch(function):
        return Refusal(f"`{OWN_HANDLERS}` means public names, written module:function")
    if top in sys.stdlib_module_names:
        return Refusal(f"`{top}` is a module of Python's standard library")
    if is_installed(top, handlers_path):
        return Refusal(f"`{top}` is the name of an installed package")
    path = _source_of(module, handlers_path)
    if path is None:
        return Refusal(f"{handlers_path} does not have the module `{module}`")
    try:
        info = path.stat()
        found = _read_bindings(path, info.st_mtime_ns, info.st_ctime_ns, info.st_size)
    except (OSError, SyntaxError, ValueError, RecursionError) as error:
        return Refusal(f"{path} cannot be read: {getattr(error, 'msg', None) or error}")
    if found is None:
        return Refusal(f"{path} is larger than {_MAX_PARSED >> 10} KiB, so luad does not read it")
    return _binding_refusal(module, function, found)


def _binding_refusal(module: str, function: str, found: Bindings) -> Refusal | None:
    if function in found.own:
        return None
    if function in found.imported:
        return Refusal(f"`{module}` imports `{function}`, and does not define it")
    if found.has_star:
        return Refusal(f"`{module}` does not define `{function}`; an `import *` may define it")
    return Refusal(f"`{module}` does not define `{function}`", is_missing=True)


def is_installed(top: str, handlers_path: Path) -> bool:
    """Return whether *top* is a module outside of *handlers_path* and the working directory."""
    paths = _installed_places(handlers_path, tuple(sys.path))
    return _is_found(top, paths, tuple(map(_changed_at, paths)))


def _changed_at(path: str) -> int:
    try:
        return os.stat(path).st_mtime_ns
    except OSError:
        return 0


@lru_cache(maxsize=1024)
def _is_found(top: str, paths: tuple[str, ...], _changed_at: tuple[int, ...]) -> bool:
    try:
        spec = PathFinder.find_spec(top, list(paths))
    except (ImportError, ValueError):
        return True
    if spec is None:
        return False
    if spec.origin is not None:
        return True
    # A folder without __init__.py is a package only where packages are installed.
    places = spec.submodule_search_locations or ()
    return any(Path(each).parent.name.endswith("-packages") for each in places)


@lru_cache(maxsize=16)
def _installed_places(handlers_path: Path, paths: tuple[str, ...]) -> tuple[str, ...]:
    left_out = {os.path.realpath(handlers_path), os.path.realpath(".")}
    return tuple(each for each in paths if each and os.path.realpath(each) not in left_out)


def _source_of(module: str, handlers_path: Path) -> Path | None:
    """Return the file that an import of *module* from *handlers_path* would run, or None."""
    stem = os.path.join(handlers_path, *module.split("."))
    package = f"{stem}/__init__.py"
    if os.path.isfile(package):
        return Path(package)
    if any(os.path.exists(stem + suffix) for suffix in EXTENSION_SUFFIXES):
        return None
    plain = f"{stem}.py"
    return Path(plain) if os.path.isfile(plain) else None


@lru_cache(maxsize=1024)
def _read_bindings(path: Path, _mtime_ns: int, _ctime_ns: int, size: int) -> Bindings | None:
    return bindings_of(path.read_bytes()) if size <= _MAX_PARSED else None


# --- missing functions ------------------------------------------------------------------


_MAX_SEARCHED: Final = 1 << 16
"""The size above which no function counts as missing: Python parses so much in some 40 ms, without a pause."""

_DEFINED: Final = re.compile(rb"^[ \t]*(?:async[ \t]+)?(?:def|class)[ \t]+(\w+)", re.MULTILINE)
_MADE_ELSEWHERE: Final = re.compile(
    rb"import\s*\(?\s*\*|\b(?:__getattr__|__dict__|setattr|modules|globals|vars|locals|exec)\b"
)
"""Code that may define functions whose names are not in the text."""


def missing_function(handler: str, handlers_path: Path) -> tuple[str, ...] | None:
    """Return the functions of the module if *handler*'s is certainly missing; else None.

    Nothing is imported: a name that a module of *handlers_path* binds nowhere in its text is not
    one of its functions. The first run reports other mistakes.
    """
    module, colon, function = handler.partition(":")
    name = function.partition(".")[0]
    if not colon or not _MODULE.fullmatch(module):
        return None
    if module.partition(".")[0] in sys.stdlib_module_names:
        return None
    path = _source_of(module, handlers_path)
    if path is None:
        return None
    try:
        info = path.stat()
        status = (path, info.st_mtime_ns, info.st_ctime_ns, info.st_size)
        # A search is a hundred times quicker than the parser, and finds nearly all handlers.
        if name.encode() in _defined_in(*status):
            return None
        source = _read_source(*status)
    except (OSError, SyntaxError, ValueError, RecursionError, MemoryError):
        return None
    if source is None or name in source.names or _is_submodule(path, name):
        return None
    return source.functions


def _is_submodule(path: Path, name: str) -> bool:
    """Return whether *name* is a module of the package whose `__init__.py` is *path*."""
    if path.name != "__init__.py":
        return False
    return any(path.with_name(each).exists() for each in (name, f"{name}.py"))


def own_modules(handlers_path: Path) -> list[str]:
    """Return the names of the modules in *handlers_path*."""
    try:
        found = sorted(handlers_path.iterdir())
    except OSError:
        return []
    return [each.stem for each in found if each.suffix in {".py", ""} and each.stem.isidentifier()]


@lru_cache(maxsize=4096)
def _defined_in(path: Path, _mtime_ns: int, _ctime_ns: int, size: int) -> frozenset[bytes]:
    return frozenset(_DEFINED.findall(path.read_bytes()) if size <= _MAX_SEARCHED else ())


@lru_cache(maxsize=256)
def _read_source(path: Path, _mtime_ns: int, _ctime_ns: int, size: int) -> Written | None:
    if size > _MAX_SEARCHED or _MADE_ELSEWHERE.search(data := path.read_bytes()):
        return None
    found = written_in(data)
    return found._replace(functions=tuple(each for each in found.functions if each[0] != "_"))
