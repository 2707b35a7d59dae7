"""A check for plain text: UTF-8, without hidden characters.

Rule: bytes in, values out; opens no file.
"""

from __future__ import annotations

import re
import unicodedata
from functools import cached_property
from typing import Final

from luad.config.problems import split_lines
from luad.errors import Problem

_PLAIN: Final = bytes([0x09, 0x0A, 0x0D, *range(0x20, 0x7F)])
_BOM: Final = b"\xef\xbb\xbf"

# Invisible characters; line breaks in some programs only (NEL, U+2028); and bidirectional overrides,
# which change the look of a line.
_HIDDEN: Final = re.compile(
    "[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069"
    "\ufeff\ufdd0-\ufdef\ufffe\uffff]|\r(?!\n)"
)
_OTHER_ENCODINGS: Final = (
    (b"\xff\xfe\x00\x00", "UTF-32"),
    (b"\x00\x00\xfe\xff", "UTF-32"),
    (b"\xff\xfe", "UTF-16"),
    (b"\xfe\xff", "UTF-16"),
)
_NAMES: Final = {
    "\r": "a carriage return without a line feed",
    "\x85": "NEL (U+0085)",
    "\ufeff": "a byte order mark (U+FEFF) away from its start",
}


class Source:
    """The bytes of a file, and its lines on demand."""

    def __init__(self, path: str, data: bytes) -> None:
        self.path = path
        self.data = data

    @cached_property
    def lines(self) -> list[str]:
        """The lines as an editor counts them."""
        return split_lines(self.data)

    def line(self, number: int) -> str:
        """Return line *number*, counted from 1; empty beyond the end."""
        return self.lines[number - 1] if 1 <= number <= len(self.lines) else ""


def check_text(source: Source) -> Problem | None:
    """Return the problem if the bytes are not plain UTF-8 text, else None."""
    data = source.data
    if data.isascii():
        hidden = data.translate(None, _PLAIN)
        if not hidden and (b"\r" not in data or data.count(b"\r") == data.count(b"\r\n")):
            return None
    return _check_encoding(source) or _check_characters(source)


def _check_encoding(source: Source) -> Problem | None:
    data = source.data
    for mark, name in _OTHER_ENCODINGS:
        if data.startswith(mark):
            return _problem(source, 1, 1, f"the file is {name}", "save it as UTF-8")
    if len(data) >= 4 and data[:4].count(0) >= 2:
        return _problem(source, 1, 1, "the file looks like UTF-16", "save it as UTF-8")
    try:
        data.decode("utf-8")
    except UnicodeDecodeError as error:
        line, column = _position(data[: error.start].decode("utf-8", errors="replace"))
        wrong, following = data[error.start], data[error.start + 1 : error.start + 2]
        what = "half a surrogate pair" if wrong == 0xED else f"byte 0x{wrong:02X}"
        return _problem(
            source,
            line,
            column,
            f"the file is not UTF-8: {what} at offset {error.start}",
            "save it as UTF-8"
            + (
                "; it looks like Latin-1"
                if wrong >= 0xA0 and following.isascii() and following
                else ""
            ),
        )
    return None


def _check_characters(source: Source) -> Problem | None:
    text = source.data.removeprefix(_BOM).decode("utf-8")
    found = _HIDDEN.search(text)
    if found is None:
        return None
    char = found[0]
    line, column = _position(text[: found.start()])
    return _problem(
        source,
        line,
        column,
        f"the file contains {character_name(char)}, which is invisible",
        "delete it" if char != "\r" else "save the file with line feeds, as Unix does",
    )


def character_name(char: str) -> str:
    """Return the name of a character, safe to print: ``ZERO WIDTH SPACE (U+200B)``."""
    if char in _NAMES:
        return _NAMES[char]
    name = unicodedata.name(char, "a control character" if char < "\xa0" else "a noncharacter")
    return f"{name} (U+{ord(char):04X})"


def one_line(text: str, longest: int = 280) -> str:
    """Return *text* for a message: bounded, and without control characters."""
    shown = text if len(text) <= longest else f"{text[: longest - 3]}..."
    return "".join(char if char.isprintable() else "?" for char in shown)


def _position(before: str) -> tuple[int, int]:
    """Return line and column, from 1, of the character after *before*."""
    flat = before.replace("\r\n", "\n").replace("\r", "\n")
    return flat.count("\n") + 1, len(flat) - (flat.rfind("\n") + 1) + 1


def _problem(source: Source, line: int, column: int, message: str, help_text: str) -> Problem:
    return Problem(
        source.path,
        line,
        column,
        "LU005",
        message,
        help=help_text,
        end_line=line,
        end_column=column + 1,
    )
