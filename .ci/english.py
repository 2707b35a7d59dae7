"""Counts the patterns that the rules of plain English forbid, and refuses more than the limits below.

``python .ci/english.py`` prints the counts; with ``-v``, and where a count is above its limit, one line for
each place as well. Then the exit status is 1. What counts: docstrings and text literals of ``luad/``.
"""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[1]
RIDDLE = re.compile(r"\b(somebody|nobody|whoever|whom|what is|told|stands)\b", re.IGNORECASE)
OPENING = re.compile(r"(What|Who|Whether|Return what|Yield what)\b")
IS_NO = re.compile(r"\bis no\b(?! longer)")
LIMITS = {"docstrings": 0.02, "messages": 0}
"""The largest part of docstrings, and the largest number of messages, that may match.

The goals are 0.02 and 0; lower a limit whenever its count falls.
"""


def main() -> int:
    """Print the places and the counts; return the exit status."""
    total, docstrings, messages = 0, [], []
    for path in sorted((ROOT / "luad").rglob("*.py")):
        tree = ast.parse(path.read_text())
        found = dict(_docstrings(tree))
        total += len(found)
        name = path.relative_to(ROOT)
        docstrings += [(name, *each) for each in found.items() if _is_riddle(each[1])]
        messages += [(name, *each) for each in _texts(tree, found) if IS_NO.search(each[1])]
    part = len(docstrings) / total
    is_refused = part > LIMITS["docstrings"] or len(messages) > LIMITS["messages"]
    if is_refused or "-v" in sys.argv:
        for path, line, text in docstrings + messages:
            print(f"{path}:{line}: {text.splitlines()[0][:100]}")
    print(f"docstrings: {len(docstrings)} of {total} ({part:.1%}); messages: {len(messages)}")
    if is_refused:
        print(f"above the limit ({LIMITS}): rewrite the new ones; .ci/english.py has the patterns")
    return int(is_refused)


def _docstrings(tree: ast.Module) -> Iterator[tuple[int, str]]:
    for node in ast.walk(tree):
        body = getattr(node, "body", None)
        if not isinstance(body, list):
            continue
        for each in body:
            value = each.value if isinstance(each, ast.Expr) else None
            if isinstance(value, ast.Constant) and isinstance(value.value, str):
                yield each.lineno, value.value


def _is_riddle(text: str) -> bool:
    return bool(RIDDLE.search(text) or OPENING.match(text))


def _texts(tree: ast.Module, docstrings: dict[int, str]) -> Iterator[tuple[int, str]]:
    for node in ast.walk(tree):
        is_text = isinstance(node, ast.Constant) and isinstance(node.value, str)
        if is_text and node.lineno not in docstrings:
            yield node.lineno, node.value


if __name__ == "__main__":
    sys.exit(main())
