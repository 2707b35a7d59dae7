"""Tests that pages of the documentation name."""

from __future__ import annotations

import ast
from functools import cache
from pathlib import Path

PROJECT = Path(__file__).parents[2]


def exists(name: str) -> bool:
    """Whether pytest would find it: file::function, and [case] behind it where it has cases."""
    file, _, rest = name.partition("::")
    test, bracket, _ = rest.partition("[")
    path = PROJECT / file
    if not file.startswith("tests/") or not path.name.startswith("test_") or not path.is_file():
        return False
    known = _tests(path)
    return known.get(test, False) if bracket else test in known


@cache
def _tests(path: Path) -> dict[str, bool]:
    """The tests of a module, and whether each has cases."""
    found = {}
    for node in ast.parse(path.read_text()).body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            marks = [ast.unparse(mark) for mark in node.decorator_list]
            found[node.name] = any(mark.startswith("pytest.mark.parametrize") for mark in marks)
        if isinstance(node, ast.Assign) and ast.unparse(node.value).endswith(".TestCase"):
            found[f"{ast.unparse(node.targets[0])}::runTest"] = False  # a machine of hypothesis
    return {name: has_cases for name, has_cases in found.items() if name.lower().startswith("test")}
