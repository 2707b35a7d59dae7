"""Routes of log lines: what a run said, and what all of them say.

Rule: a stream is stored lines first, then live ones, none of them twice; it ends with its run.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Final, TypeVar
from urllib.parse import urlencode

from luad.api.context import context_of
from luad.api.http.parameters import MAX_TAIL
from luad.api.http.request_input import wrong_parameter
from luad.api.http.streams import StreamResponse
from luad.api.json import views
from luad.api.json.log_lines import MEDIA, LineFilter
from luad.api.routes.endpoint import query_of
from luad.api.routes.follow_response import FollowResponse
from luad.live.log_followers import QUEUE_LINES, TAIL_LINES, Lost, RunLine, overlap
from luad.store.log_chunks import LogSearch
from luad.store.query_types import RunFilter

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Sequence

    from starlette.requests import Request
    from starlette.responses import Response

    from luad.api.context import Context
    from luad.api.http.request_input import Query
    from luad.core.model import JSON, Run
    from luad.live.log_followers import Subscription
    from luad.store.query_types import LogLine

T = TypeVar("T")

_PAGING: Final = ("before", "limit", "q")
_NOT_PAGING: Final = ("follow", "offset", "tail", "since")
_DEFAULT_TAIL: Final = 100
_SILENCE_S: Final = 15.0
"""After so long without a line an empty one is sent: the client sees that luad is there, and luad
that the client is."""

_PORTION: Final = 100


async def run_log(request: Request) -> Response:
    """`GET /runs/{run}/log`: the lines of one run; with `follow` until it has ended."""
    context = context_of(request)
    query = query_of(request)
    line_filter = LineFilter(request, query, is_one_run=True)
    row = await context.find_run(request.path_params["run"])
    if any(map(query.has, _PAGING)):
        return await _page(request, context, query, row.run, line_filter)
    if line_filter.is_following:
        pieces = _follow_run(context, row.run.id, row.run.job_name, line_filter)
        return FollowResponse(context, pieces, MEDIA[line_filter.format])
    lines = await _lines_of_run(context, row.run.id, row.run.job_name, line_filter)
    return StreamResponse(_portions(lines, line_filter), MEDIA[line_filter.format])


async def _page(
    request: Request, context: Context, query: Query, run: Run, line_filter: LineFilter
) -> Response:
    """Answer with the lines before the line `before`, and a link to those before them."""
    if others := [name for name in _NOT_PAGING if query.has(name)]:
        raise wrong_parameter(others[0], "this is not for pages of lines", "leave it out")
    if line_filter.is_event_stream:
        raise wrong_parameter("format", "a page of lines is not a stream", "ndjson, or text")
    before = query.number("before", 0) or None
    wanted = LogSearch(before, line_filter.level, query.text("q"))
    limit = query.number("limit", _DEFAULT_TAIL)
    page = await context.service.store.history.log_page(run.id, wanted, limit)
    lines = [RunLine(run.id, run.job_name, _numbered(each)) for each in page.lines]
    headers = {"luad-is-complete": "true" if page.is_complete else "false"}
    if page.before is not None:
        params = urlencode({**request.query_params, "before": page.before})
        headers["link"] = f'<{request.url.path}?{params}>; rel="prev"'
    return StreamResponse(_portions(lines, line_filter), MEDIA[line_filter.format], headers)


def _numbered(line: LogLine) -> dict[str, JSON]:
    return {**line.line, "line_number": line.seq}


async def all_logs(request: Request) -> Response:
    """`GET /logs`: the latest lines of all runs, or of one job's; with `follow` without end."""
    context = context_of(request)
    query = query_of(request)
    line_filter = LineFilter(request, query, is_one_run=False)
    name = query.text("job")
    whose = RunFilter() if name is None else await context.history_of(name)
    if line_filter.is_following:
        pieces = _follow_all(context, whose, line_filter)
        return FollowResponse(context, pieces, MEDIA[line_filter.format])
    if line_filter.tail < 0 and line_filter.since is None:
        line_filter.tail = _DEFAULT_TAIL
    found = await _lines_of_all(context, whose, line_filter)
    lines = await _beside(context, line_filter, lambda: line_filter.last(found))
    return StreamResponse(_portions(lines, line_filter), MEDIA[line_filter.format])


# --- what is stored ----------------------------------------------------------------------------


async def _lines_of_run(
    context: Context, run_id: str, job: str, line_filter: LineFilter
) -> list[RunLine]:
    stored = await _stored(context, run_id, job, line_filter)
    live = context.service.followers.tail(run_id)
    return await _beside(
        context, line_filter, lambda: line_filter.last(stored + _unseen(stored, live))
    )


async def _beside(context: Context, line_filter: LineFilter, work: Callable[[], T]) -> T:
    """Do *work* with many lines in a thread beside the loop."""
    return await context.pool.run(lambda _: work(), is_far=line_filter.is_far)


async def _stored(
    context: Context, run_id: str, job: str, line_filter: LineFilter
) -> list[RunLine]:
    # Not by level, and not too few: what is live must find its place in what is stored.
    is_sifted = line_filter.level is not None or line_filter.since is not None
    is_whole = line_filter.tail < 0 or is_sifted or line_filter.must_count
    tail = None if is_whole else max(line_filter.tail, TAIL_LINES)
    lines = await context.service.store.read_logs(run_id, tail=tail)
    return await _beside(
        context, line_filter, lambda: [RunLine(run_id, job, each.line) for each in lines]
    )


async def _lines_of_all(
    context: Context, whose: RunFilter, line_filter: LineFilter
) -> list[RunLine]:
    job = whose.job
    tail = MAX_TAIL if line_filter.since is not None else max(line_filter.tail, QUEUE_LINES)
    found = await context.service.store.read_runs_logs(whose, tail=tail)
    names: dict[str, str] = {}
    for each in found:
        if job is None and each.run_id not in names:
            names[each.run_id] = (await context.service.store.run(each.run_id)).run.job_name
    return [RunLine(each.run_id, job or names[each.run_id], each.line) for each in found]


def _unseen(stored: Sequence[RunLine], live: Sequence[RunLine]) -> list[RunLine]:
    """The live lines that are not stored yet."""
    known = overlap([each.line for each in stored], [each.line for each in live])
    return list(live[known:])


# --- what is live ------------------------------------------------------------------------------


async def _follow_run(
    context: Context, run_id: str, job: str, line_filter: LineFilter
) -> AsyncGenerator[bytes, None]:
    followers = context.service.followers
    with followers.subscribe(run_id, has_tails=True) as subscription:
        # Asked after subscribing: a run that is open now ends under our eyes.
        row = await context.service.store.run(run_id)
        if views.is_over(row.run.state):
            async for piece in _portions(
                await _lines_of_run(context, run_id, job, line_filter), line_filter
            ):
                yield piece
            yield line_filter.end()
            return
        stored = await _stored(context, run_id, job, line_filter)
        shown = await _beside(
            context, line_filter, partial(_beginning, stored, subscription.take(), line_filter)
        )
        async for piece in _portions(shown, line_filter):
            yield piece
        async for piece in _live(subscription, line_filter):
            yield piece
        if not followers.is_closed:  # else it is luad that ends
            yield line_filter.end()


async def _follow_all(
    context: Context, whose: RunFilter, line_filter: LineFilter
) -> AsyncGenerator[bytes, None]:
    followers, job = context.service.followers, whose.job
    is_looking_back = line_filter.tail > 0 or line_filter.since is not None
    with followers.subscribe(None, job, has_tails=is_looking_back) as subscription:
        stored = await _lines_of_all(context, whose, line_filter) if is_looking_back else []
        shown = await _beside(
            context, line_filter, partial(_beginning, stored, subscription.take(), line_filter)
        )
        async for piece in _portions(shown, line_filter):
            yield piece
        async for piece in _live(subscription, line_filter):
            yield piece


def _beginning(
    stored: list[RunLine], taken: list[RunLine | Lost], line_filter: LineFilter
) -> list[RunLine | Lost]:
    """Return the stored lines, and after them what has come meanwhile and is not among them."""
    live: dict[str, list[RunLine]] = {}
    for each in taken:
        if isinstance(each, RunLine):
            live.setdefault(each.run_id, []).append(each)
    known: dict[str, list[RunLine]] = {run_id: [] for run_id in live}
    for line in stored:
        if line.run_id in known:
            known[line.run_id].append(line)
    fresh = [line for run_id, lines in live.items() for line in _unseen(known[run_id], lines)]
    return [*line_filter.last(stored + fresh), *(each for each in taken if isinstance(each, Lost))]


async def _live(subscription: Subscription, line_filter: LineFilter) -> AsyncGenerator[bytes, None]:
    while True:
        is_news = await subscription.wait(_SILENCE_S)
        is_over = subscription.is_over
        if not is_news:
            yield b"\n"
        async for piece in _portions(subscription.take(), line_filter):
            yield piece
        if is_over:
            return


async def _portions(
    lines: Sequence[RunLine | Lost], line_filter: LineFilter
) -> AsyncGenerator[bytes, None]:
    for start in range(0, len(lines), _PORTION):
        if piece := line_filter.render(lines[start : start + _PORTION]):
            yield piece
