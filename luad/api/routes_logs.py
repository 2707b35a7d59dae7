"""Routes of log lines: what a run said, and what all of them say.

Room rule: a stream is stored lines first, then live ones, none of them twice; it ends with its run.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from starlette.routing import Route

from luad.api import views
from luad.api.context import MAX_STREAMS, context_of
from luad.api.encoding import encode_text, to_bytes
from luad.api.hub import QUEUE_LINES, TAIL_LINES, Lost, RunLine, overlap
from luad.api.params import Query, wrong_parameter
from luad.api.problems import ApiError
from luad.api.streams import StreamResponse
from luad.clock import wall_ms
from luad.store.shapes import RunFilter
from luad.wire import format_instant, parse_instant

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Iterable, Sequence

    from starlette.requests import Request
    from starlette.responses import Response

    from luad.api.context import Context
    from luad.api.hub import Line, Subscription

_PARAMETERS: Final = ("follow", "tail", "level", "since", "format")
_LEVELS: Final = {"debug": 10, "info": 20, "warning": 30, "error": 40, "critical": 50}
_MAX_TAIL: Final = 10_000
_DEFAULT_TAIL: Final = 100
_SILENCE_S: Final = 15.0
"""After so long without a line an empty one is sent: the client sees that luad is there, and luad
that the client is."""

_FORMATS: Final = {"ndjson": "application/x-ndjson", "text": "text/plain"}
_PORTION: Final = 500


class _Sieve:
    """Which lines are wanted, and how they look."""

    def __init__(self, request: Request, query: Query) -> None:
        level = query.text("level")
        if level is not None and level.lower() not in _LEVELS:
            raise wrong_parameter("level", f"one of {', '.join(_LEVELS)}")
        self.level = level.lower() if level else None
        self.since = query.instant("since")
        self.tail = query.number("tail", -1, 0, _MAX_TAIL)
        self.is_following = query.flag("follow")
        self.format = _format_of(request, query)
        self._least = _LEVELS[self.level or "debug"]

    def shows(self, line: Line) -> bool:
        """Whether *line* is wanted."""
        if _LEVELS.get(str(line.get("level", "info")).lower(), 20) < self._least:
            return False
        return self.since is None or _instant_of(line) >= self.since

    def render(self, items: Iterable[RunLine | Lost]) -> bytes:
        """Return the wanted ones of *items* as bytes."""
        show = _as_text if self.format == "text" else _as_json
        texts = [show(item) for item in items if isinstance(item, Lost) or self.shows(item.line)]
        return to_bytes("\n".join(texts) + "\n") if texts else b""


async def run_log(request: Request) -> Response:
    """`GET /runs/{run}/log`: the lines of one run; with `follow` until it has ended."""
    context = context_of(request)
    sieve = _Sieve(request, Query(request, _PARAMETERS))
    row = await context.find_run(request.path_params["run"])
    if sieve.is_following:
        pieces = _follow_run(context, row.run.id, row.run.job_name, sieve)
        return _stream(request, context, pieces, sieve)
    lines = await _lines_of_run(context, row.run.id, row.run.job_name, sieve)
    return StreamResponse(_portions(lines, sieve), _FORMATS[sieve.format])


async def all_logs(request: Request) -> Response:
    """`GET /logs`: the latest lines of all runs, or of one job's; with `follow` without end."""
    context = context_of(request)
    query = Query(request, ("job", *_PARAMETERS))
    sieve = _Sieve(request, query)
    name = query.text("job")
    job = None if name is None else await context.name_of_job(name)
    if sieve.is_following:
        return _stream(request, context, _follow_all(context, job, sieve), sieve)
    if sieve.tail < 0 and sieve.since is None:
        sieve.tail = _DEFAULT_TAIL
    lines = _last(await _lines_of_all(context, job, sieve), sieve)
    return StreamResponse(_portions(lines, sieve), _FORMATS[sieve.format])


# --- what is stored ----------------------------------------------------------------------------


async def _lines_of_run(context: Context, run_id: str, job: str, sieve: _Sieve) -> list[RunLine]:
    stored = await _stored(context, run_id, job, sieve)
    live = context.service.hub.tail(run_id)
    return _last(stored + _unseen(stored, live), sieve)


async def _stored(context: Context, run_id: str, job: str, sieve: _Sieve) -> list[RunLine]:
    # Not by level, and not too few: what is live must find its place in what is stored.
    is_whole = sieve.tail < 0 or sieve.level is not None or sieve.since is not None
    tail = None if is_whole else max(sieve.tail, TAIL_LINES)
    lines = await context.service.store.read_logs(run_id, tail=tail)
    return [RunLine(run_id, job, each.line) for each in lines]


async def _lines_of_all(context: Context, job: str | None, sieve: _Sieve) -> list[RunLine]:
    tail = _MAX_TAIL if sieve.since is not None else max(sieve.tail, QUEUE_LINES)
    found = await context.service.store.read_runs_logs(RunFilter(job=job), tail=tail)
    names: dict[str, str] = {}
    for each in found:
        if job is None and each.run_id not in names:
            names[each.run_id] = (await context.service.store.run(each.run_id)).run.job_name
    return [RunLine(each.run_id, job or names[each.run_id], each.line) for each in found]


def _last(lines: list[RunLine], sieve: _Sieve) -> list[RunLine]:
    shown = [each for each in lines if sieve.shows(each.line)]
    return shown[len(shown) - sieve.tail :] if 0 <= sieve.tail < len(shown) else shown


def _unseen(stored: Sequence[RunLine], live: Sequence[RunLine]) -> list[RunLine]:
    """The live lines that are not stored yet."""
    known = overlap([each.line for each in stored], [each.line for each in live])
    return list(live[known:])


# --- what is live ------------------------------------------------------------------------------


async def _follow_run(
    context: Context, run_id: str, job: str, sieve: _Sieve
) -> AsyncGenerator[bytes, None]:
    hub = context.service.hub
    with hub.subscribe(run_id, has_tails=True) as subscription:
        # Asked after subscribing: a run that is open now ends under our eyes.
        row = await context.service.store.run(run_id)
        if views.is_over(row.run.state):
            async for piece in _portions(await _lines_of_run(context, run_id, job, sieve), sieve):
                yield piece
            return
        stored = await _stored(context, run_id, job, sieve)
        for piece in _begin(stored, subscription, sieve):
            yield piece
        async for piece in _live(subscription, sieve.render):
            yield piece


async def _follow_all(
    context: Context, job: str | None, sieve: _Sieve
) -> AsyncGenerator[bytes, None]:
    hub = context.service.hub
    is_looking_back = sieve.tail > 0 or sieve.since is not None
    with hub.subscribe(None, job, has_tails=is_looking_back) as subscription:
        stored = await _lines_of_all(context, job, sieve) if is_looking_back else []
        for piece in _begin(stored, subscription, sieve):
            yield piece
        async for piece in _live(subscription, sieve.render):
            yield piece


def _begin(stored: list[RunLine], subscription: Subscription, sieve: _Sieve) -> Iterable[bytes]:
    """The stored lines, and after them what has come meanwhile and is not among them."""
    taken = subscription.take()
    live = [each for each in taken if isinstance(each, RunLine)]
    gaps = [each for each in taken if isinstance(each, Lost)]
    fresh: list[RunLine] = []
    for run_id in dict.fromkeys(each.run_id for each in live):
        known = [each for each in stored if each.run_id == run_id]
        fresh += _unseen(known, [each for each in live if each.run_id == run_id])
    shown: list[RunLine | Lost] = [*_last(stored + fresh, sieve), *gaps]
    for start in range(0, len(shown), _PORTION):
        yield sieve.render(shown[start : start + _PORTION])


async def _live(
    subscription: Subscription, render: Callable[[Iterable[RunLine | Lost]], bytes]
) -> AsyncGenerator[bytes, None]:
    while True:
        is_news = await subscription.wait(_SILENCE_S)
        is_over = subscription.is_over
        piece = render(subscription.take()) if is_news else b"\n"
        if piece:
            yield piece
        if is_over:
            return


async def _portions(lines: Sequence[RunLine], sieve: _Sieve) -> AsyncGenerator[bytes, None]:
    for start in range(0, len(lines), _PORTION):
        yield sieve.render(lines[start : start + _PORTION])


def _stream(
    request: Request, context: Context, pieces: AsyncGenerator[bytes, None], sieve: _Sieve
) -> Response:
    if context.stream_count >= MAX_STREAMS:
        raise ApiError(
            "overloaded",
            f"{MAX_STREAMS} streams are open already",
            hint="end one of them: luad logs -f somewhere?",
        )
    request.scope["state"]["is_stream"] = True
    return StreamResponse(_counted(context, pieces), _FORMATS[sieve.format])


async def _counted(
    context: Context, pieces: AsyncGenerator[bytes, None]
) -> AsyncGenerator[bytes, None]:
    context.stream_count += 1
    try:
        async for piece in pieces:
            yield piece
    finally:
        context.stream_count -= 1
        await pieces.aclose()


# --- how lines look ----------------------------------------------------------------------------


def line_view(line: Line, run_id: str, job: str) -> dict[str, Any]:
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


def _shown_ts(line: Line) -> Any:
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
        return "text" if "text/plain" in accept and "ndjson" not in accept else "ndjson"
    if chosen not in _FORMATS:
        raise wrong_parameter("format", f"one of {', '.join(_FORMATS)}")
    return chosen


ROUTES: Final = (
    Route("/runs/{run}/log", run_log),
    Route("/logs", all_logs),
)
