"""The output of a command: data on stdout, notes on stderr, colour, glyphs and tables.

Rule: it knows terminals and text, not jobs. It imports little, because every command imports it.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import sys
import unicodedata
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, NamedTuple, TextIO

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
_NARROW: Final = "✓✗▶‖·→–—…▁▂▃▄▅▆▇█│└─"
"""Characters of luad's own that take one column each."""

LEAST_WIDTH: Final = 8
"""A column that has no room for so many characters is left out."""

_CONTROLS: Final = tuple(code for code in (*range(32), *range(127, 160)) if code != 9)
_DIRECTIONAL: Final = (
    0x061C,
    0x200E,
    0x200F,
    *range(0x2028, 0x202F),
    *range(0x2066, 0x206A),
    0xFEFF,
)
CONTROL: Final = {code: f"\\x{code:02x}" for code in _CONTROLS} | {
    code: f"\\u{code:04x}" for code in _DIRECTIONAL
}
"""Characters that control a terminal, end a line, or change the direction of text."""

_CODE: Final = "|".join(map(str, STYLES.values()))
_PAINTED: Final = re.compile(rf"(\x1b\[(?:0|(?:{_CODE})(?:;(?:{_CODE}))*)m|\n)")
"""The escape sequences of `_paint`, and the ends of lines. All others come from jobs and may hide text."""


class Cell(NamedTuple):
    """A text in a table, with a style (a key of STYLES, or empty)."""

    text: str
    style: str = ""


@dataclass(slots=True)
class Table:
    """Rows below headers.

    - *right*: the columns that are aligned right;
    - *flexible*: the columns that shrink, in this order, if the terminal is too narrow;
    - *uncut*: the columns that are left out rather than cut;
    - *keep_end*: the columns of which the end stays if they are cut;
    - *min_widths*: the width that a column needs, if that is not the usual one.
    """

    headers: Sequence[str]
    rows: list[list[Cell | str]] = field(default_factory=list)
    right: frozenset[str] = frozenset()
    flexible: tuple[str, ...] = ()
    uncut: frozenset[str] = frozenset()
    keep_end: frozenset[str] = frozenset()
    min_widths: Mapping[str, int] = field(default_factory=dict)

    def cells(self) -> list[list[Cell]]:
        """Return every row as cells without control characters."""
        return [
            [
                Cell(clean(cell))
                if isinstance(cell, str)
                else cell
                if cell.text.isprintable()
                else Cell(clean(cell.text), cell.style)
                for cell in row
            ]
            for row in self.rows
        ]


def clean(text: str) -> str:
    """Return *text* with visible control characters: the output of a job must not control the terminal."""
    return text if text.isprintable() else text.translate(CONTROL)


def clean_painted(text: str) -> str:
    """Return the coloured *text* with its other control characters visible."""
    return "".join(
        part if number % 2 else clean(part) for number, part in enumerate(_PAINTED.split(text))
    )


def is_utf8(environ: Mapping[str, str]) -> bool:
    """Return True if the locale of *environ* has UTF-8."""
    locale = environ.get("LC_ALL") or environ.get("LC_CTYPE") or environ.get("LANG") or ""
    return "utf-8" in locale.lower() or "utf8" in locale.lower()


def wants_colour(choice: str, environ: Mapping[str, str], stream: TextIO) -> bool:
    """Return True if *stream* gets colour: by the option, NO_COLOR, FORCE_COLOR, or as a terminal."""
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
        """The columns of the terminal."""
        return shutil.get_terminal_size().columns

    def plain(self, text: str) -> str:
        """Return *text* in the characters that the locale can show."""
        return text if self.is_unicode else text.translate(UNICODE_TO_ASCII)

    def wrapped(self, text: str, indent: int, lead: int = 0) -> list[str]:
        """Return *text* as lines that fit the terminal after *lead* columns; elsewhere as one line.

        Lines after the first begin with *indent* blanks. Words stay whole, so that paths can be copied.
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
        """Return *text* in colour if stdout has colour."""
        return _paint(text, style) if self.has_colour else text

    def line(self, text: str = "", style: str = "") -> None:
        """Write one line of data."""
        if self.is_terminal:  # a pipe gets the unchanged bytes
            text = clean_painted(text)
        print(self.paint(self.plain(text), style), flush=self.is_terminal)

    def json(self, value: object) -> None:
        """Write the JSON document of the command; indented on a terminal, compact in a pipe."""
        indent = 2 if self.is_terminal else None
        is_utf8_stream = (sys.stdout.encoding or "").lower().replace("-", "") == "utf8"
        text = json.dumps(value, indent=indent, ensure_ascii=not is_utf8_stream)
        if self.is_terminal and clean_painted(text) != text:
            text = json.dumps(value, indent=indent)
        print(text)

    def json_line(self, value: object) -> None:
        """Write one document of a stream (NDJSON), and flush."""
        print(json.dumps(value, separators=(",", ":")), flush=True)

    def info(self, text: str, style: str = "") -> None:
        """Write a note to stderr, unless the user asked for quiet."""
        if not self.is_quiet:
            self.warn(text, style)

    def warn(self, text: str, style: str = "") -> None:
        """Write a line to stderr, in quiet mode as well."""
        text = self.plain(clean_painted(text) if sys.stderr.isatty() else text)
        print(_paint(text, style) if self.has_colour_on_stderr else text, file=sys.stderr)

    def table(self, table: Table) -> None:
        """Write a table; it fits the terminal, and is complete in a pipe."""
        head = [Cell(header, "bold") for header in table.headers]
        rows = [head, *table.cells()]
        if not self.is_unicode:
            rows = [[Cell(self.plain(cell.text), cell.style) for cell in row] for row in rows]
        columns = [[columns_of(cell.text) for cell in column] for column in zip(*rows, strict=True)]
        widths = list(map(max, columns))
        if self.is_terminal:
            self._narrow(rows, widths, table)
        shown = [
            self._padded(
                [row[place] for row in rows],
                columns[place],
                width,
                is_right=table.headers[place] in table.right,
                keep_end=table.headers[place] in table.keep_end,
                alike=self._alike(rows, place, width)
                if width < max(columns[place])
                else frozenset(),
            )
            for place, width in enumerate(widths)
            if width
        ]
        print("\n".join(["  ".join(parts).rstrip() for parts in zip(*shown, strict=True)]))

    def _padded(
        self,
        cells: Sequence[Cell],
        sizes: Sequence[int],
        width: int,
        *,
        is_right: bool,
        keep_end: bool,
        alike: frozenset[str],
    ) -> list[str]:
        """Return the texts of a column, cut and padded to *width* columns of the terminal.

        Those that are *alike* lose their middle, all others their end.
        """
        texts = []
        for cell, size in zip(cells, sizes, strict=True):
            text, room = cell.text, width - size
            if room < 0:
                text = self._fit(text, width, keep_end=keep_end, is_inner=text in alike)
                room = width - columns_of(text)
            padding = " " * room
            if self.has_colour:
                text = _paint(text, cell.style)
            texts.append(padding + text if is_right else text + padding)
        return texts

    def _narrow(self, rows: Sequence[Sequence[Cell]], widths: list[int], table: Table) -> None:
        """Fit *widths* to the terminal. The last flexible column is cut only while its texts differ."""
        if not table.flexible:
            return
        key = list(table.headers).index(table.flexible[-1])
        whole = widths[key]
        least = min(whole, 2 * LEAST_WIDTH)
        while least < whole and self._is_ambiguous(rows, key, least, is_inner=True):
            least += 1
        _narrow(widths, table, self.width, least)
        if self._is_ambiguous(rows, key, widths[key], is_inner=True):
            widths[key] = whole  # the terminal wraps the row, and no text is lost

    def _alike(self, rows: Sequence[Sequence[Cell]], place: int, width: int) -> frozenset[str]:
        """Return the texts of a column that would be equal to another one after the cut of their ends."""
        found: dict[str, list[str]] = {}
        for text in {row[place].text for row in rows}:
            found.setdefault(self._fit(text, width, keep_end=False), []).append(text)
        return frozenset(text for texts in found.values() if len(texts) > 1 for text in texts)

    def _is_ambiguous(
        self, rows: Sequence[Sequence[Cell]], place: int, width: int, *, is_inner: bool = False
    ) -> bool:
        """Return True if different texts of a column would be equal after the cut."""
        texts = {row[place].text for row in rows}
        shown = {self._fit(text, width, keep_end=False, is_inner=is_inner) for text in texts}
        return len(shown) < len(texts)

    def _fit(self, text: str, width: int, *, keep_end: bool, is_inner: bool = False) -> str:
        """Return *text* cut to *width* columns, with a mark; *is_inner* cuts its middle."""
        if columns_of(text) <= width:
            return text
        mark = self.plain("…")[:1]
        if keep_end:
            return text[-width:] if width else ""
        if is_inner and width > LEAST_WIDTH // 2:
            tail = text[-(width // 2) :]
            while columns_of(tail) > width // 2:
                tail = tail[1:]
            return self._fit(text, width - columns_of(tail), keep_end=False) + tail
        while text and columns_of(text) > width - 1:
            text = text[:-1]
        return text + mark if width else ""


def columns_of(text: str) -> int:
    """Return the terminal columns of *text*: wide characters take two, combining accents none."""
    if text.isascii() or not text.strip(_NARROW):
        return len(text)
    return sum(
        0 if unicodedata.combining(char) else 2 if unicodedata.east_asian_width(char) in "WF" else 1
        for char in text
    )


def _narrow(widths: list[int], table: Table, available: int, least_of_key: int) -> None:
    """Shrink the flexible columns, in their order, until the row fits the terminal.

    A column of width 0 is left out. The last flexible column names the row; it keeps twice the least width
    while others can shrink.
    """
    places = [list(table.headers).index(name) for name in table.flexible]
    least = list(widths)
    for place in places:
        if table.headers[place] not in table.uncut:
            usual = LEAST_WIDTH if place != places[-1] else least_of_key
            wanted = table.min_widths.get(table.headers[place], usual)
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
    """Return the width of a row with the gaps between its visible columns."""
    return sum(widths) + 2 * (sum(map(bool, widths)) - 1)


def _paint(text: str, style: str) -> str:
    codes = ";".join(str(STYLES[word]) for word in style.split()) if text else ""
    return f"\x1b[{codes}m{text}\x1b[0m" if codes else text
