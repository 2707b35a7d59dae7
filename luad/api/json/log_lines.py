"""The lines of a log that a request selects, as NDJSON, as text, or as server-sent events.

Rule: knows lines and the words of a request; reads no store and waits for nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from luad.api.http.parameters import MAX_SKIPPED
from luad.api.http.request_input import Query, wrong_parameter
from luad.clock import wall_ms
from luad.json_text import encode_text, to_bytes
from luad.live.log_followers import Lost, RunLine
from luad.wire import format_instant, parse_instant

if TYPE_CHECKING:
    from collections.abc import Iterable

    from starlette.requests import Request

    from luad.live.log_followers import Line

MEDIA: Final = {
    "ndjson": "application/x-ndjson",
    "text": "text/plain",
    "sse": "text/event-stream",
}
_LEVELS: Final = {"debug": 10, "info": 20, "warning": 30, "error": 40, "critical": 50}
_LAST_ID: Final = "last-event-id"


class LineFilter:
    """Selects the lines of a request, and renders them.

    *skipped*: so many of the wanted lines of a run the client has already, None where it did not say.
    As events lines are numbered by their place among the wanted ones, so that a client that comes
    back with `Last-Event-ID` goes on where it was.
    """

    def __init__(self, request: Request, query: Query, *, is_one_run: bool) -> None:
        self.is_far = bool(request.scope["state"].get("is_tcp"))
        level = query.text("level")
        if level is not None and level.lower() not in _LEVELS:
            raise wrong_parameter("level", f"one of {', '.join(_LEVELS)}")
        self.level = level.lower() if level else None
        self.since = query.instant("since")
        self.tail = query.number("tail", -1)
        self.format = _format_of(request, query)
        self.is_following = query.flag("follow", default=self.is_event_stream)
        self.skipped = self._skipped(request, query) if is_one_run else None
        self._is_one_run = is_one_run
        self._least = _LEVELS[self.level or "debug"]
        self._place = 0

    @property
    def is_event_stream(self) -> bool:
        """Return whether the lines are sent as server-sent events."""
        return self.format == "sse"

    @property
    def must_count(self) -> bool:
        """Return whether lines are counted, for event ids and offsets."""
        return self._is_one_run and (self.is_event_stream or self.skipped is not None)

    def shows(self, line: Line) -> bool:
        """Return whether *line* passes the filter."""
        if _LEVELS.get(str(line.get("level", "info")).lower(), 20) < self._least:
            return False
        return self.since is None or _instant_of(line) >= self.since

    def last(self, lines: list[RunLine]) -> list[RunLine]:
        """Return those of *lines*, the first ones that there are, that are to be sent."""
        shown = [each for each in lines if self.shows(each.line)]
        if self.skipped is not None:
            self._place = self.skipped
            return shown[self.skipped :]
        cut = max(0, len(shown) - self.tail) if self.tail >= 0 else 0
        self._place = cut
        return shown[cut:]

    def render(self, items: Iterable[RunLine | Lost]) -> bytes:
        """Return the wanted ones of *items* as bytes."""
        wanted = [item for item in items if isinstance(item, Lost) or self.shows(item.line)]
        if self.is_event_stream:
            return to_bytes("".join(map(self._as_event, wanted)))
        show = _as_text if self.format == "text" else _as_json
        return to_bytes("\n".join(map(show, wanted)) + "\n") if wanted else b""

    def end(self) -> bytes:
        """Return the event that ends a stream, because the run has ended."""
        # A browser's EventSource asks again whenever a stream ends, unless it is told this.
        return b"event: end\ndata: {}\n\n" if self.is_event_stream else b""

    def _as_event(self, item: RunLine | Lost) -> str:
        if not self._is_one_run:
            return f"data: {_as_json(item)}\n\n"
        if isinstance(item, RunLine):
            self._place += 1
        elif self.level is None and self.since is None:  # a filter hides how many of them match
            self._place += item.count
        return f"id: {self._place}\ndata: {_as_json(item)}\n\n"

    def _skipped(self, request: Request, query: Query) -> int | None:
        offset = query.number("offset", -1)
        if offset >= 0 and self.tail >= 0:
            raise wrong_parameter(
                "tail", "`offset` says already from where", "write one of the two"
            )
        text = request.headers.get(_LAST_ID, "") if self.is_event_stream else ""
        if text.isascii() and text.isdigit() and int(text[:13]) <= MAX_SKIPPED:
            return int(text[:13])
        return offset if offset >= 0 else None


def line_view(line: Line, run_id: str, job: str) -> dict[str, object]:
    """Return a line as the API shows it: the keys that every line has first, then the handler's."""
    head = {
        "ts": _shown_ts(line),
        "level": line.get("level", "info"),
        "logger": line.get("logger", ""),
        "message": line.get("message", ""),
        "job": job,
        "run_id": run_id,
        "attempt": line.get("attempt", 1),
        "stream": line.get("stream", "log"),
    }
    return head | {key: value for key, value in line.items() if key not in head}


def _as_json(item: RunLine | Lost) -> str:
    if isinstance(item, RunLine):
        return encode_text(line_view(item.line, item.run_id, item.job))
    line = {
        "ts": wall_ms(),
        "level": "warning",
        "logger": "luad",
        "message": _gap_words(item),
        "stream": "system",
        "lost_lines": item.count,
    }
    return encode_text(line_view(line, item.run_id, item.job))


def _as_text(item: RunLine | Lost) -> str:
    return str(item.line.get("message", "")) if isinstance(item, RunLine) else _gap_words(item)


def _gap_words(lost: Lost) -> str:
    return f"{lost.count} lines are left out here: this reader was too slow"


def _shown_ts(line: Line) -> object:
    ts = line.get("ts")
    return format_instant(ts) if isinstance(ts, int) else ts


def _instant_of(line: Line) -> int:
    ts = line.get("ts")
    if isinstance(ts, int):
        return ts
    try:
        return parse_instant(str(ts))
    except ValueError:
        return 0


def _format_of(request: Request, query: Query) -> str:
    chosen = query.text("format")
    if chosen is None:
        accept = request.headers.get("accept", "")
        named = [name for name, media in MEDIA.items() if media in accept]
        return named[0] if named else "ndjson"
    if chosen not in MEDIA:
        raise wrong_parameter("format", f"one of {', '.join(MEDIA)}")
    return chosen
