"""Which handlers a job that is made at run time may name.

Room rule: patterns and a folder in, yes or no out; imports nothing of what it judges.
"""

from __future__ import annotations

from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

OWN_HANDLERS: Final = "handlers/*"
"""The pattern for whatever stands in the folder of handlers."""

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
