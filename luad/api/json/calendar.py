"""Occurrences as a calendar (RFC 5545), which calendar programs subscribe to.

Rule: pure; lines end with CRLF and have at most 75 bytes, and no text of a job can end a line.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final, NamedTuple

from luad.core.model import SECOND

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from luad.core.model import Instant

MEDIA: Final = "text/calendar; charset=utf-8"
_MOST_BYTES: Final = 75
_ESCAPES: Final = str.maketrans({"\\": "\\\\", ";": "\\;", ",": "\\,", "\n": "\\n", "\r": None})


class Entry(NamedTuple):
    """One occurrence: its id, its fire time, its title and its text."""

    uid: str
    at: Instant
    title: str
    text: str = ""


def calendar(entries: Iterable[Entry], now: Instant) -> str:
    """Return *entries* as a calendar that was written at *now*."""
    lines = ["BEGIN:VCALENDAR", "VERSION:2.0", "PRODID:-//luad//schedule//EN"]
    for entry in entries:
        lines += _event(entry, now)
    lines.append("END:VCALENDAR")
    return "".join(f"{part}\r\n" for line in lines for part in _folded(line))


def _event(entry: Entry, now: Instant) -> Iterator[str]:
    yield "BEGIN:VEVENT"
    yield f"UID:{_text(entry.uid)}"
    yield f"DTSTAMP:{_instant(now)}"
    yield f"DTSTART:{_instant(entry.at)}"
    yield f"SUMMARY:{_text(entry.title)}"
    if entry.text:
        yield f"DESCRIPTION:{_text(entry.text)}"
    yield "TRANSP:TRANSPARENT"
    yield "END:VEVENT"


def _instant(at: Instant) -> str:
    return f"{datetime.fromtimestamp(at // SECOND, UTC):%Y%m%dT%H%M%SZ}"


def _text(text: str) -> str:
    """Return *text* with what has a meaning in a calendar escaped, and without control characters."""
    escaped = text.translate(_ESCAPES)
    return "".join(char for char in escaped if char.isprintable())


def _folded(line: str) -> Iterator[str]:
    """Yield *line* in parts of at most 75 bytes; all but the first begin with a space."""
    part, size = "", 0
    for char in line:
        width = len(char.encode("utf-8", "replace"))
        if size + width > _MOST_BYTES:
            yield part
            part, size = " ", 1
        part, size = part + char, size + width
    yield part
