"""The lines of a log as `luad logs` and `luad run` show them.

Rule: prints the lines it gets; asks the daemon for nothing.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Final

from luad.cli.terminal.output import clean
from luad.cli.terminal.times import parse_rfc3339, to_datetime

if TYPE_CHECKING:
    from datetime import tzinfo

    from luad.cli.terminal.output import Output
    from luad.json_text import JsonObject

LEVEL_STYLES: Final = {"warning": "yellow", "error": "red", "critical": "red", "debug": "dim"}


class LinePrinter:
    """Writes lines of a log, with a heading for each run."""

    def __init__(
        self, out: Output, zone: tzinfo | None, *, has_prefix: bool, is_raw: bool = False
    ) -> None:
        self._out = out
        self._zone = zone
        self._has_prefix = has_prefix
        self._is_raw = is_raw
        self._run: str | None = None

    def write(self, line: JsonObject) -> None:
        """Write one line of a log in the daemon's JSON."""
        out = self._out
        if out.is_json:
            out.json_line(line)
            return
        message = str(line.get("message", ""))
        if self._is_raw:
            print(message, flush=True)
            return
        if out.is_terminal:
            message = clean(message)
        if self._has_prefix:
            self._rule(line)
            message = self._prefix(line) + message
        style = LEVEL_STYLES.get(str(line.get("level")).lower(), "")
        out.line(message, style)
        for more in str(line.get("exception") or "").splitlines():
            out.line(f"    {clean(more) if out.is_terminal else more}", style)
        sys.stdout.flush()  # a reader at the other end of a pipe needs the line at once

    def _rule(self, line: JsonObject) -> None:
        """Print the heading of a new run; on stderr, because it is not a line of the log."""
        run = line.get("run_id")
        if run != self._run and run is not None:
            self._run = run
            self._out.info(f"── {line.get('job') or ''} {run}", "dim")

    def _prefix(self, line: JsonObject) -> str:
        at = parse_rfc3339(line.get("ts"))
        moment = "" if at is None else f"{to_datetime(at, self._zone):%H:%M:%S.%f}"[:-3]
        level = str(line.get("level") or "info").upper()
        source = line.get("logger") or line.get("stream")
        names = " ".join(str(name) for name in (line.get("job"), source) if name)
        return f"{moment} {level:<7} {names}  "
