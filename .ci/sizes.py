"""Counts linter exceptions, `Any`, long functions and long files of ``luad/``, and refuses more than the limits.

``python .ci/sizes.py`` prints one line for each place above a bound, and the counts.
"""

from __future__ import annotations

import ast
import re
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
FUNCTION_LINES = 50
FILE_LINES = 400
LIMITS = {
    "noqa per 1,000 lines": 3.0,
    "Any per 1,000 lines": 10.0,
    "long functions": 0,
    "long files": 0,
}
NOQA = re.compile(r"#\s*noqa")


def main() -> int:
    """Print the places and the counts; return the exit status."""
    lines = noqa = uses = 0
    functions, files = [], []
    for path in sorted((ROOT / "luad").rglob("*.py")):
        text, name = path.read_text(), path.relative_to(ROOT)
        length = text.count("\n")
        lines += length
        noqa += len(NOQA.findall(text))
        if length > FILE_LINES:
            files.append(f"{name}: the file has {length} lines (at most {FILE_LINES})")
        for node in ast.walk(ast.parse(text)):
            uses += isinstance(node, ast.Name) and node.id == "Any"
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                length = (node.end_lineno or node.lineno) - node.lineno + 1
                if length > FUNCTION_LINES:
                    place = f"{name}:{node.lineno}: `{node.name}`"
                    functions.append(f"{place} has {length} lines (at most {FUNCTION_LINES})")
    print(*functions, *files, sep="\n")
    counts = {
        "noqa per 1,000 lines": 1_000 * noqa / lines,
        "Any per 1,000 lines": 1_000 * uses / lines,
        "long functions": len(functions),
        "long files": len(files),
    }
    for what, count in counts.items():
        print(f"{what}: {count:.3g} (limit {LIMITS[what]:g})")
    above = [what for what, count in counts.items() if count > LIMITS[what]]
    if above:
        print(f"above the limit: {', '.join(above)}; bring it down, do not raise the limit")
    return int(bool(above))


if __name__ == "__main__":
    sys.exit(main())
