"""The lines of a log as a page shows them: a page of lines, and the address of those before them.

Rule: pure; JSON of the API in, values for templates out.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Sequence

    from luad.web.inside import Json
    from luad.web.times import Times

LINES: Final = 500
LEVELS: Final = ("debug", "info", "warning", "error")
PATTERN: Final = "/"
"""A search between two of these is a regular expression, which only the browser runs."""


@dataclass(frozen=True, slots=True)
class Shown:
    """The lines of a page. *before*: the first line's number, if lines are left out before it."""

    lines: Sequence[Json]
    first_error: int | None
    last: int
    before: int | None


def is_pattern(text: str) -> bool:
    """Return whether a search is a regular expression."""
    return len(text) > len(PATTERN * 2) and text.startswith(PATTERN) and text.endswith(PATTERN)


def lines_of(text: str, times: Times, limit: int = LINES) -> Shown:
    """Return the lines of an answer as newline-delimited JSON."""
    found = [json.loads(line) for line in text.splitlines() if line]
    lines = [_line(each, number, times) for number, each in enumerate(found, 1)]
    first_error = next((each["number"] for each in lines if each["level"] == "error"), None)
    last = lines[-1]["number"] if lines else 0
    has_more = len(lines) >= limit and lines[0]["number"] > 1
    return Shown(lines, first_error, last, lines[0]["number"] if has_more else None)


def _line(line: Json, number: int, times: Times) -> Json:
    level = line.get("level") or ""
    return {
        "number": line.get("line_number", number),
        "at": times.clock(line["ts"]) if line.get("ts") else "",
        "level": level if level in LEVELS else "",
        "text": line.get("message", ""),
        "more": line.get("exception") or "",
    }
