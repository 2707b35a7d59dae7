"""A traceback in two parts: the frames of the user's own code, and those of libraries.

Rule: pure; text in, values out.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

_FRAME: Final = re.compile(r'^  File "(?P<path>[^"]+)", line (?P<line>\d+), in (?P<name>.+)$')
_LIBRARIES: Final = (
    "/site-packages/",
    "/dist-packages/",
    "/lib/python",
    "/luad/runner/",
    "<frozen",
)


@dataclass(frozen=True, slots=True)
class Frame:
    """A frame: *place* is ``path:line in function``, *source* its line of code."""

    place: str
    source: str
    is_own: bool


@dataclass(frozen=True, slots=True)
class Frames:
    """The frames of a traceback, the innermost first."""

    own: tuple[Frame, ...]
    libraries: tuple[Frame, ...]


def parts_of(text: str) -> Frames:
    """Return the frames of a traceback, own ones apart from those of libraries."""
    found: list[Frame] = []
    lines = text.splitlines()
    for number, line in enumerate(lines):
        match = _FRAME.match(line)
        if match is None:
            continue
        after = lines[number + 1] if number + 1 < len(lines) else ""
        source = after.strip() if after.startswith("    ") else ""
        path = match["path"]
        is_own = not any(part in path for part in _LIBRARIES)
        found.append(Frame(f"{_short(path)}:{match['line']} in {match['name']}", source, is_own))
    found.reverse()
    return Frames(
        tuple(each for each in found if each.is_own),
        tuple(each for each in found if not each.is_own),
    )


def _short(path: str) -> str:
    """Return the last three parts of a path: the rest is the same for all."""
    return "/".join(path.rsplit("/", 3)[-3:]).lstrip("/")
