"""What a command writes: data on stdout, talk on stderr, colour, glyphs and tables.

Room rule: knows terminals and text, not jobs. rich is imported only for a table on a terminal.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
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
CONTROL: Final = {code: f"\\x{code:02x}" for code in (*range(32), *range(127, 160)) if code != 9}


@dataclass(frozen=True, slots=True)
class Cell:
    """A text in a table, with a style (a key of STYLES, or empty)."""

    text: str
    style: str = ""


@dataclass(slots=True)
class Table:
    """Rows below headers. *right*: columns that are aligned right; *flexible*: those that give way
    when the terminal is too narrow."""

    headers: Sequence[str]
    rows: list[list[Cell | str]] = field(default_factory=list)
    right: frozenset[str] = frozenset()
    flexible: frozenset[str] = frozenset()

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

    def paint(self, text: str, style: str) -> str:
        """Colour *text* for stdout, if it is to have colour."""
        return _paint(text, style) if self.has_colour else text

    def line(self, text: str = "", style: str = "") -> None:
        """Write one line of data."""
        print(self.paint(self.plain(text), style), flush=self.is_terminal)

    def json(self, value: Any) -> None:
        """Write the one JSON document of the command; indented for people, compact for pipes."""
        indent = 2 if self.is_terminal else None
        is_utf8_stream = (sys.stdout.encoding or "").lower().replace("-", "") == "utf8"
        print(json.dumps(value, indent=indent, ensure_ascii=not is_utf8_stream))

    def json_line(self, value: Any) -> None:
        """Write one document of a stream (NDJSON) at once."""
        print(json.dumps(value, separators=(",", ":")), flush=True)

    def say(self, text: str, style: str = "") -> None:
        """Say something about the work; nothing in quiet mode."""
        if not self.is_quiet:
            self.complain(text, style)

    def complain(self, text: str, style: str = "") -> None:
        """Say something that quiet mode does not hide."""
        text = self.plain(text)
        print(_paint(text, style) if self.has_colour_on_stderr else text, file=sys.stderr)

    def table(self, table: Table) -> None:
        """Write a table: fitted to a terminal, in full anywhere else."""
        if self.is_terminal:
            self._rich_table(table)
            return
        rows = table.cells()
        widths = [
            max([len(self.plain(header)), *(len(self.plain(row[i].text)) for row in rows)])
            for i, header in enumerate(table.headers)
        ]
        head = [Cell(header, "bold") for header in table.headers]
        for row in [head, *rows]:
            parts = []
            for cell, width, header in zip(row, widths, table.headers, strict=True):
                text = self.plain(cell.text)
                padding = " " * (width - len(text))
                painted = self.paint(text, cell.style)
                parts.append(padding + painted if header in table.right else painted + padding)
            print("  ".join(parts).rstrip())

    def _rich_table(self, table: Table) -> None:
        from rich import table as rich_table
        from rich.console import Console
        from rich.text import Text

        console = Console(
            width=self.width,
            no_color=not self.has_colour,
            highlight=False,
            force_terminal=self.has_colour or None,
        )
        grid = rich_table.Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
        for header in table.headers:
            grid.add_column(
                self.plain(header),
                justify="right" if header in table.right else "left",
                no_wrap=True,
                overflow="ellipsis" if self.is_unicode else "crop",
                min_width=None if header in table.flexible else len(header),
                ratio=None,
            )
        for row in table.cells():
            grid.add_row(*(Text(self.plain(cell.text), style=cell.style) for cell in row))
        console.print(grid)


def _paint(text: str, style: str) -> str:
    codes = ";".join(str(STYLES[word]) for word in style.split()) if text else ""
    return f"\x1b[{codes}m{text}\x1b[0m" if codes else text
