"""Which handlers a job that is made at run time may name.

Room rule: patterns and a folder in, yes or no out; imports nothing of what it judges.
"""

from __future__ import annotations

import re
from fnmatch import fnmatchcase
from functools import lru_cache
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

OWN_HANDLERS: Final = "handlers/*"
"""The pattern for whatever stands in the folder of handlers."""

_MAX_SOURCE: Final = 1 << 20

DEFAULT_PATTERNS: Final = (
    OWN_HANDLERS,
    "luad.handlers.message:*",
    "luad.handlers.http:*",
    "luad.handlers.report:*",
)
"""What is allowed where the settings say nothing: never a shell, never the disk."""


def is_allowed(handler: str, patterns: Sequence[str], handlers_path: Path) -> bool:
    """Say whether *handler* (``module:function``, or the name of an entry point) matches a pattern.

    Patterns are those of `fnmatch`. `OWN_HANDLERS` is matched by a handler whose module is found in
    *handlers_path*, where it is looked for first when it runs; a module of luad's own never is.
    """
    if any(fnmatchcase(handler, each) for each in patterns if each != OWN_HANDLERS):
        return True
    return OWN_HANDLERS in patterns and _is_own(handler, handlers_path)


def _is_own(handler: str, handlers_path: Path) -> bool:
    module, colon, _ = handler.partition(":")
    top = module.partition(".")[0]
    if not colon or not top.isidentifier() or top == "luad":
        return False
    return (handlers_path / f"{top}.py").is_file() or (handlers_path / top).is_dir()


# --- what is not there at all ------------------------------------------------------------------


class _Source(NamedTuple):
    words: frozenset[str]
    functions: tuple[str, ...]


_WORD: Final = re.compile(r"\w+")
_FUNCTION: Final = re.compile(r"^(?:async\s+)?def\s+(\w+)", re.MULTILINE)
_MADE_ELSEWHERE: Final = re.compile(r"import\s*\(?\s*\*|\b__getattr__\b|\bglobals\b|\bexec\b")
"""A module that has one of these may have functions whose names do not stand in it."""


def missing_function(handler: str, handlers_path: Path) -> tuple[str, ...] | None:
    """Return the functions that there are, when *handler*'s is certainly not in its module; else None.

    Nothing is imported for it: a name that does not even stand in the text of a module of
    *handlers_path* is no function of it. Whatever else may be wrong, the first run tells.
    """
    module, _, function = handler.partition(":")
    stem = handlers_path.joinpath(*module.split("."))
    for path in (stem.with_name(f"{stem.name}.py"), stem / "__init__.py"):
        try:
            info = path.stat()
            source = _read_source(path, info.st_mtime_ns, info.st_size)
        except (OSError, ValueError):
            continue
        if source is None or function.partition(".")[0] in source.words:
            return None
        return source.functions
    return None


def own_modules(handlers_path: Path) -> list[str]:
    """Return the names of the modules in *handlers_path*."""
    try:
        found = sorted(handlers_path.iterdir())
    except OSError:
        return []
    return [each.stem for each in found if each.suffix in {".py", ""} and each.stem.isidentifier()]


@lru_cache(maxsize=256)
def _read_source(path: Path, _mtime_ns: int, size: int) -> _Source | None:
    if size > _MAX_SOURCE:
        return None
    text = path.read_text(encoding="utf-8", errors="replace")
    if _MADE_ELSEWHERE.search(text):
        return None
    functions = tuple(each for each in _FUNCTION.findall(text) if not each.startswith("_"))
    return _Source(frozenset(_WORD.findall(text)), functions)
