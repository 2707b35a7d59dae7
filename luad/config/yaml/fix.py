"""Automatic corrections: a misspelt key, a missing quote.

Rule: bytes in, bytes out; opens no file, and changes only the places of the problems.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

from luad.config.yaml.text import one_line
from luad.errors import Problem

_BOM: Final = "\ufeff"


def apply_fixes(data: bytes, problems: Iterable[Problem]) -> bytes:
    """Return the file with the fix of each problem applied.

    The problems must belong to this data. Of two overlapping fixes the first is applied.
    """
    return mend(data, problems)[0]


def mend(data: bytes, problems: Iterable[Problem]) -> tuple[bytes, list[str]]:
    """Return the corrected file, and each change as ``line:column: `old` -> `new` ``."""
    text = data.decode("utf-8", errors="surrogateescape")
    has_bom = text.startswith(_BOM)
    lines = text.removeprefix(_BOM).split("\n")
    end_of_last: dict[int, int] = {}
    changes: list[str] = []
    edits = sorted((p.line, p.fix) for p in problems if p.fix is not None)
    shift: dict[int, int] = {}  # by line: the shift of its rest by earlier edits
    for number, (first, end, content) in edits:
        if first < end_of_last.get(number, 1) or not 1 <= number <= len(lines):
            continue
        moved = shift.get(number, 0)
        line = lines[number - 1]
        old = line[first - 1 + moved : end - 1 + moved]
        new = one_line(re.sub(r"\n *", ", ", content))
        changes.append(f"{number}:{first}: `{old}` -> `{new}`")
        lines[number - 1] = line[: first - 1 + moved] + content + line[end - 1 + moved :]
        shift[number] = moved + len(content) - (end - first)
        end_of_last[number] = end
    mended = "\n".join(lines)
    text = _BOM + mended if has_bom else mended
    return text.encode("utf-8", errors="surrogateescape"), changes
