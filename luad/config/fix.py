"""Mending what can be mended mechanically: a misspelt key, a missing quote.

Room rule: bytes in, bytes out; opens no file, and changes nothing but the places named.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from luad.errors import Problem

_BOM: Final = "\ufeff"


def apply_fixes(data: bytes, problems: Iterable[Problem]) -> bytes:
    """Return the file with the fix of every problem that has one put in place.

    The problems must be of this very data. Of two fixes that overlap the first one wins.
    """
    text = data.decode("utf-8", errors="surrogateescape")
    has_bom = text.startswith(_BOM)
    lines = text.removeprefix(_BOM).split("\n")
    end_of_last: dict[int, int] = {}
    edits = sorted((p.line, p.fix) for p in problems if p.fix is not None)
    shift: dict[int, int] = {}  # how far earlier edits have moved the rest of a line
    for number, (first, end, content) in edits:
        if first < end_of_last.get(number, 1) or not 1 <= number <= len(lines):
            continue
        moved = shift.get(number, 0)
        line = lines[number - 1]
        lines[number - 1] = line[: first - 1 + moved] + content + line[end - 1 + moved :]
        shift[number] = moved + len(content) - (end - first)
        end_of_last[number] = end
    mended = "\n".join(lines)
    return (_BOM + mended if has_bom else mended).encode("utf-8", errors="surrogateescape")
