"""How the name of a handler is written, and advice for a name that is written in another way.

Rule: pure; it looks at the text, not at the files.
"""

from __future__ import annotations

import re
from typing import Final

from luad.core.model import JSON

_HANDLER: Final = re.compile(r"[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*:[A-Za-z_]\w*", re.ASCII)
_ENTRY_POINT: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*", re.ASCII)
_FILE: Final = re.compile(r"([\w./-]+?)(?:\.py)?(?::(\w+))?", re.ASCII)
_CALL: Final = re.compile(r"([\w.]+:\w+)\(.*\)", re.ASCII)
_IMPORT: Final = re.compile(r"from ([\w.]+) import (\w+)", re.ASCII)
_SCRIPT: Final = re.compile(
    r"[\w./~-]+\.(?:sh|bash|zsh|fish|js|mjs|ts|rb|pl|php|R|jl|exe|bat|ps1)", re.ASCII
)
_COMMAND_HELP: Final = (
    "to run a command, write  handler: luad.handlers.shell:run  and  metadata: {command: ...}"
)


def is_handler(value: JSON) -> bool:
    """Return whether *value* is written as `package.module:function`, or an entry point."""
    if not isinstance(value, str) or value.endswith(".py") or "/" in value:
        return False
    return (_HANDLER if ":" in value else _ENTRY_POINT).fullmatch(value) is not None


def help_for_handler(value: str) -> str:
    """Return what to write instead of *value*, which is not the name of a handler.

    ``FUNCTION`` stands for a name that the text does not tell.
    """
    text = value[:256].strip()
    if not text.isascii():
        return "write the names of modules and functions with the letters A-Z"
    if call := _CALL.fullmatch(text):
        return f"luad calls the function: write  handler: {call[1]}"
    if moved := _IMPORT.fullmatch(text):
        return f"write  handler: {moved[1]}:{moved[2]}"
    if _is_command(text):
        return _COMMAND_HELP
    is_file = text.endswith(".py") or "/" in text or ".py:" in text
    if is_file and (found := _FILE.fullmatch(text)):
        module = found[1].strip("./").replace("/", ".").replace("-", "_")
        module = module.removeprefix("handlers.")  # the search starts in that folder
        return f"write  handler: {module}:{found[2] or 'FUNCTION'}"
    return "write package.module:function, or the name of an entry point"


def _is_command(text: str) -> bool:
    """Return whether *text* is a program, a script in another language, or a line for a shell."""
    first, _, rest = text.partition(" ")
    if _SCRIPT.fullmatch(first) or (first.startswith(("/", "~")) and ".py" not in first):
        return True
    return bool(rest) and ":" not in first and not first.endswith(".py")
