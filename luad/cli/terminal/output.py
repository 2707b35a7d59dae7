"""What a command writes: data on stdout, talk on stderr, colour, glyphs and tables.

Room rule: knows terminals and text, not jobs; imports little, because every command waits for it.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import sys
import unicodedata
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, TextIO

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

STYLES: Final = {"red": 31, "green": 32, "yellow": 33, "blue": 34, "cyan": 36, "bold": 1, "dim": 2}

UNICODE_TO_ASCII: Final = str.maketrans(
    {
        "✓": "+", "✗": "x", "▶": ">", "‖": "=", "·": ".", "→": "->", "–": "-", "—": "-", "…": "...",
        "▁": "_", "▂": ",", "▃": "-", "▄": "~", "▅": "=", "▆": "+", "▇": "*", "█": "#",
        "│": "|", "└": "`", "─": "-",
    }
)  # fmt: skip
LEAST_WIDTH: Final = 8
"""A column that would have to be narrower than this is left out instead."""

_CONTROLS: Final = tuple(code for code in (*range(32), *range(127, 160)) if code != 9)
_TURNING: Final = (0x061C, 0x200E, 0x200F, *range(0x2028, 0x202F), *range(0x2066, 0x206A), 0xFEFF)
CONTROL: Final = {code: f"\\x{code:02x}" for code in _CONTROLS} | {
    code: f"\\u{code:04x}" for code in _TURNING
}
"""What steers a terminal, ends a line, or shows text in another order than it is written."""

_CODE: Final = "|".join(map(str, STYLES.values()))
_OWN: Final = re.compile(rf"(\x1b\[(?:0|(?:{_CODE})(?:;(?:{_CODE}))*)m|\n)")
"""What `_paint` adds, and the ends of lines; all else of that kind came from outside, and may hide text."""


@dataclass(frozen=True, slots=True)
class Cell:
    """A text in a table, with a style (a key of STYLES, or empty)."""

    text: str
    style: str = ""


@dataclass(slots=True)
class Table:
    """Rows below headers.

    *right*: columns that are aligned right; *flexible*: those that give way, in this order, when the
    terminal is too narrow, the last of them only when nothing else is left; *whole*: those that are of
    no use when they are cut, and are left out instead; *late*: those whose end matters more than their
    beginning; *least*: the columns that a text needs to be understood, where that is more than usual.
    """

    headers: Sequence[str]
    rows: list[list[Cell | str]] = field(default_factory=list)
    right: frozenset[str] = frozenset()
    flexible: tuple[str, ...] = ()
    whole: frozenset[str] = frozenset()
    late: frozenset[str] = frozenset()
    least: Mapping[str, int] = field(default_factory=dict)

    def cells(self) -> list[list[Cell]]:
        """Return every row as cells, fit for one line of a terminal each."""
        return [
            [
                Cell(clean(cell.text), cell.style) if isinstance(cell, Cell) else Cell(clean(cell))
                for cell in row
            ]
            for row in self.rows
        ]


def clean(text: str) -> str:
    """Make control characters visible: what a job wrote must not steer the terminal."""
    return text if text.isprintable() else text.translate(CONTROL)


def tamed(text: str) -> str:
    """Return *text*, which may be painted, without anything else that steers a terminal."""
    return "".join(
        part if number % 2 else clean(part) for number, part in enumerate(_OWN.split(text))
    )


def is_utf8(environ: Mapping[str, str]) -> bool:
    """Whether the locale of *environ* can show more than ASCII."""
    locale = environ.get("LC_ALL") or environ.get("LC_CTYPE") or environ.get("LANG") or ""
    return "utf-8" in locale.lower() or "utf8" in locale.lower()


def wants_colour(choice: str, environ: Mapping[str, str], stream: TextIO) -> bool:
    """Decide on colour: the option, then NO_COLOR, then FORCE_COLOR, then: is it a terminal."""
    if choice != "auto":
        return choice == "always"
    if environ.get("NO_COLOR"):
        return False
    if forced := environ.get("FORCE_COLOR"):
        return forced != "0"
    return stream.isatty() and environ.get("TERM") != "dumb"


class Output:
    """The two streams of one command."""

    def __init__(
        self, *, is_json: bool = False, is_quiet: bool = False, color: str = "auto"
    ) -> None:
        self.is_json = is_json
        self.is_quiet = is_quiet
        self.is_terminal = sys.stdout.isatty()
        self.has_colour = wants_colour(color, os.environ, sys.stdout)
        self.has_colour_on_stderr = wants_colour(color, os.environ, sys.stderr)
        self.is_unicode = is_utf8(os.environ)

    @property
    def width(self) -> int:
        """Columns of the terminal."""
        return shutil.get_terminal_size().columns

    def plain(self, text: str) -> str:
        """Return *text* in the characters that the locale can show."""
        return text if self.is_unicode else text.translate(UNICODE_TO_ASCII)

    def wrapped(self, text: str, indent: int, lead: int = 0) -> list[str]:
        """Return *text* as lines that fit the terminal beside *lead* columns; elsewhere as one line.

        Lines after the first begin with *indent* blanks. A word is never divided: paths stay whole.
        """
        if not self.is_terminal or columns_of(text) <= self.width - lead:
            return [text]
        import textwrap

        width = max(2 * LEAST_WIDTH, self.width - lead)
        return textwrap.wrap(
            text,
            width,
            subsequent_indent=" " * indent,
            break_long_words=False,
            break_on_hyphens=False,
        ) or [text]

    def paint(self, text: str, style: str) -> str:
        """Colour *text* for stdout, if it is to have colour."""
        return _paint(text, style) if self.has_colour else text

    def line(self, text: str = "", style: str = "") -> None:
        """Write one line of data."""
        if self.is_terminal:  # a pipe gets what was said, to the byte
            text = tamed(text)
        print(self.paint(self.plain(text), style), flush=self.is_terminal)

    def json(self, value: Any) -> None:
        """Write the one JSON document of the command; indented for people, compact for pipes."""
        indent = 2 if self.is_terminal else None
        is_utf8_stream = (sys.stdout.encoding or "").lower().replace("-", "") == "utf8"
        text = json.dumps(value, indent=indent, ensure_ascii=not is_utf8_stream)
        if self.is_terminal and tamed(text) != text:
            text = json.dumps(value, indent=indent)
        print(text)

    def json_line(self, value: Any) -> None:
        """Write one document of a stream (NDJSON) at once."""
        print(json.dumps(value, separators=(",", ":")), flush=True)

    def say(self, text: str, style: str = "") -> None:
        """Say something about the work; nothing in quiet mode."""
        if not self.is_quiet:
            self.complain(text, style)

    def complain(self, text: str, style: str = "") -> None:
        """Say something that quiet mode does not hide."""
        text = self.plain(tamed(text) if sys.stderr.isatty() else text)
        print(_paint(text, style) if self.has_colour_on_stderr else text, file=sys.stderr)

    def table(self, table: Table) -> None:
        """Write a table: fitted to a terminal, in full anywhere else."""
        head = [Cell(header, "bold") for header in table.headers]
        rows = [
            [Cell(self.plain(cell.text), cell.style) for cell in row]
            for row in [head, *table.cells()]
        ]
        widths = [max(columns_of(row[i].text) for row in rows) for i in range(len(head))]
        if self.is_terminal:
            self._narrow(rows, widths, table)
        alike = {i for i, width in enumerate(widths) if self._is_ambiguous(rows, i, width)}
        for row in rows:
            parts = []
            for i, (cell, width, header) in enumerate(zip(row, widths, table.headers, strict=True)):
                if not width:
                    continue
                text = self._fit(
                    cell.text, width, is_late=header in table.late, is_inner=i in alike
                )
                padding = " " * (width - columns_of(text))
                painted = self.paint(text, cell.style)
                parts.append(padding + painted if header in table.right else painted + padding)
            print("  ".join(parts).rstrip())

    def _narrow(self, rows: Sequence[Sequence[Cell]], widths: list[int], table: Table) -> None:
        """Fit *widths* to the terminal. What rows are about is cut only as long as they differ."""
        if not table.flexible:
            return
        key = list(table.headers).index(table.flexible[-1])
        whole = widths[key]
        least = min(whole, 2 * LEAST_WIDTH)
        while least < whole and self._is_ambiguous(rows, key, least, is_inner=True):
            least += 1
        _narrow(widths, table, self.width, least)
        if self._is_ambiguous(rows, key, widths[key], is_inner=True):
            widths[key] = whole  # the terminal breaks the row, and nothing of it is lost

    def _is_ambiguous(
        self, rows: Sequence[Sequence[Cell]], place: int, width: int, *, is_inner: bool = False
    ) -> bool:
        """Whether different texts of a column would look alike once they were cut."""
        texts = {row[place].text for row in rows}
        shown = {self._fit(text, width, is_late=False, is_inner=is_inner) for text in texts}
        return len(shown) < len(texts)

    def _fit(self, text: str, width: int, *, is_late: bool, is_inner: bool = False) -> str:
        """Cut *text* to *width* columns, with a sign that it was cut; *is_inner*: in its middle."""
        if columns_of(text) <= width:
            return text
        mark = self.plain("…")[:1]
        if is_late:
            return text[-width:] if width else ""
        if is_inner and width > LEAST_WIDTH // 2:
            tail = text[-(width // 2) :]
            while columns_of(tail) > width // 2:
                tail = tail[1:]
            return self._fit(text, width - columns_of(tail), is_late=False) + tail
        while text and columns_of(text) > width - 1:
            text = text[:-1]
        return text + mark if width else ""


def columns_of(text: str) -> int:
    """Count the columns that *text* takes on a terminal: wide characters take two, accents none."""
    if text.isascii():
        return len(text)
    return sum(
        0 if unicodedata.combining(char) else 2 if unicodedata.east_asian_width(char) in "WF" else 1
        for char in text
    )


def _narrow(widths: list[int], table: Table, available: int, least_of_key: int) -> None:
    """Take from the flexible columns, in their order, what the terminal lacks.

    A column of width 0 is left out. What a row is about stands in the last flexible column, which
    keeps twice the least width as long as there are others.
    """
    places = [list(table.headers).index(name) for name in table.flexible]
    least = list(widths)
    for place in places:
        if table.headers[place] not in table.whole:
            usual = LEAST_WIDTH if place != places[-1] else least_of_key
            wanted = table.least.get(table.headers[place], usual)
            least[place] = min(widths[place], wanted)
    for place in places[:-1]:
        if _total(least) <= available:
            break
        widths[place] = least[place] = 0
    excess = _total(widths) - available
    for place in places:
        given = max(0, min(excess, widths[place] - least[place]))
        widths[place] -= given
        excess -= given
    if places and excess > 0:
        widths[places[-1]] = max(0, widths[places[-1]] - excess)


def _total(widths: Sequence[int]) -> int:
    """Count the columns of a row, with the gaps between what is not left out."""
    return sum(widths) + 2 * (sum(map(bool, widths)) - 1)


def _paint(text: str, style: str) -> str:
    codes = ";".join(str(STYLES[word]) for word in style.split()) if text else ""
    return f"\x1b[{codes}m{text}\x1b[0m" if codes else text
