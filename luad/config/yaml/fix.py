"""Mending what can be mended mechanically: a misspelt key, a missing quote.

Room rule: bytes in, bytes out; opens no file, and changes nothing but the places named.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

from luad.config.yaml.text import one_line
from luad.errors import Problem

_BOM: Final = "\ufeff"


def apply_fixes(data: bytes, problems: Iterable[Problem]) -> bytes:
    """Return the file with the fix of every problem that has one put in place.

    The problems must be of this very data. Of two fixes that overlap the first one wins.
    """
    return mend(data, problems)[0]


def mend(data: bytes, problems: Iterable[Problem]) -> tuple[bytes, list[str]]:
    """Return the mended file, and each change as ``line:column: `old` -> `new` ``."""
    text = data.decode("utf-8", errors="surrogateescape")
    has_bom = text.startswith(_BOM)
    lines = text.removeprefix(_BOM).split("\n")
    end_of_last: dict[int, int] = {}
    told: list[str] = []
    edits = sorted((p.line, p.fix) for p in problems if p.fix is not None)
    shift: dict[int, int] = {}  # how far earlier edits have moved the rest of a line
    for number, (first, end, content) in edits:
        if first < end_of_last.get(number, 1) or not 1 <= number <= len(lines):
            continue
        moved = shift.get(number, 0)
        line = lines[number - 1]
        old = line[first - 1 + moved : end - 1 + moved]
        new = one_line(re.sub(r"\n *", ", ", content))
        told.append(f"{number}:{first}: `{old}` -> `{new}`")
        lines[number - 1] = line[: first - 1 + moved] + content + line[end - 1 + moved :]
        shift[number] = moved + len(content) - (end - first)
        end_of_last[number] = end
    mended = "\n".join(lines)
    text = _BOM + mended if has_bom else mended
    return text.encode("utf-8", errors="surrogateescape"), told
