"""Suggests a handler for a name that cannot be found.

Rule: reads the files of the handlers' folders; imports none of them.
"""

from __future__ import annotations

import ast
from pathlib import Path
from typing import TYPE_CHECKING, Final

from luad.suggestions import close_to

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_MOST_FILES: Final = 2_000
_MOST_BYTES: Final = 1 << 20
_MOST_NAMED: Final = 8


def nearest_handler(handler: str, roots: Sequence[str]) -> str:
    """Return a sentence that suggests a handler below *roots*; empty if none is similar."""
    module, colon, _ = handler.partition(":")
    known = _modules_below(roots)
    if not colon:
        return _with_colon(module, known)
    near = _near(module, known)
    return f"did you mean `{near}`?" if near else ""


def _near(module: str, known: Mapping[str, Path]) -> str:
    """Return the known module most similar to *module*, never *module* itself; empty for none."""
    others = [name for name in known if name != module]
    # `handlers.reports` and `reports.py` are easily confused.
    last = module.rpartition(".")[2]
    same_end = [name for name in others if name.rpartition(".")[2] == last]
    return (same_end or close_to(module, others) or [""])[0]


def _with_colon(name: str, known: Mapping[str, Path]) -> str:
    """Return a suggestion for a name without a colon: `reports:daily` for `reports.daily`."""
    if name in known:
        functions = _functions_of(known[name])
        if len(functions) == 1:
            return f"write  handler: {name}:{functions[0]}"
        listed = ", ".join(f"`{name}:{each}`" for each in functions[:_MOST_NAMED])
        return f"`{name}` is a module; write  handler: {name}:FUNCTION" + (
            f"; it has {listed}" if listed else ""
        )
    module, dot, function = name.rpartition(".")
    if dot and module in known:
        near = close_to(function, _functions_of(known[module]))
        return f"write  handler: {module}:{near[0] if near else function}"
    if dot and (near_module := _near(module, known)):
        return f"did you mean `{near_module}:{function}`?"
    if near_module := _near(name, known):
        functions = _functions_of(known[near_module])
        meant = functions[0] if len(functions) == 1 else "FUNCTION"
        return f"did you mean `{near_module}:{meant}`?"
    return ""


def _functions_of(path: Path) -> list[str]:
    """Return the public functions that a file defines; empty if it cannot be read."""
    try:
        with path.open("rb") as stream:
            tree = ast.parse(stream.read(_MOST_BYTES))
    except (OSError, SyntaxError, ValueError, RecursionError, MemoryError):
        return []
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef)
    return [
        each.name for each in tree.body if isinstance(each, kinds) and not each.name.startswith("_")
    ]


def _modules_below(roots: Sequence[str]) -> dict[str, Path]:
    found: dict[str, Path] = {}
    for root in roots:
        for path in Path(root).rglob("*.py"):
            parts = path.relative_to(root).with_suffix("").parts
            parts = parts[:-1] if parts[-1] == "__init__" else parts
            if parts and all(part.isidentifier() for part in parts):
                found.setdefault(".".join(parts), path)
            if len(found) >= _MOST_FILES:
                return found
    return found
