"""The state that the routes of one server share, and the lookup of jobs and runs by name.

Rule: each route looks a name up in the same way: the whole name, or the unique beginning of one.
"""

from __future__ import annotations

import asyncio
import pwd
import re
from dataclasses import dataclass, field
from itertools import islice
from pathlib import PurePath
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeVar
from urllib.parse import urlencode

from starlette.responses import Response

from luad.api import audit_subject
from luad.api.creation_rules import CreationRate
from luad.api.gone_jobs import find_gone, refusal
from luad.api.http.api_problems import (
    ApiError,
    close_to,
    comparable,
    did_you_mean,
    echo,
    from_luad_error,
)
from luad.api.http.etags import tag_of_job
from luad.api.http.idempotency import IdempotencyKeys
from luad.api.http.kept_answers import KeptAnswers
from luad.api.http.work_pool import WorkPool
from luad.api.json import views
from luad.api.json.job_summary import summarize
from luad.api.stream_places import StreamPlaces
from luad.api.transport.connection_limits import Shares
from luad.api.transport.unix_socket import Peer
from luad.core.model import Run
from luad.core.requests import Created
from luad.errors import LuadError
from luad.json_text import encode, encode_text
from luad.live.job_choice import EVERY_JOB, JobChoice
from luad.store.query_types import RunFilter

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from starlette.requests import Request

    from luad.api.auth.roles import Admission
    from luad.api.http.work_pool import Budget
    from luad.api.service import Service
    from luad.core.events import Reply
    from luad.core.model import Instant, Job
    from luad.core.requests import Request as Asked
    from luad.live.job_state import JobStateView
    from luad.live.recent_runs import LastRun
    from luad.live.restore import RestoreTask
    from luad.store.query_types import RunRow

T = TypeVar("T")

MOST_TEXTS: Final = 10_000
"""The number of jobs whose JSON stays in memory; each takes some 2 kB."""

SHOWN: Final = 5
"""The number of jobs that an error names."""

RUN_HEADER: Final = "luad-run"
"""The header in which a handler names its run."""

_JOB_ID: Final = "job_"
_LISTS_RUNS: Final = "luad history lists them"
_RUN_NAME: Final = re.compile(r"@last|@last-failed|[A-Za-z0-9_]{1,64}")


class _JobText(NamedTuple):
    """A job as JSON without its end; the first *fixed_size* characters are its definition."""

    state: JobStateView
    last: LastRun | None
    text: str
    fixed_size: int
    summary: str


@dataclass
class Context:
    """The shared state of the routes of one server."""

    service: Service
    restore: RestoreTask
    admission: Admission
    pool: WorkPool = field(default_factory=WorkPool)
    far_readings: Shares = field(default_factory=lambda: Shares(1, 1))
    kept: KeptAnswers[object] = field(default_factory=KeptAnswers)
    searches: Mapping[bool, asyncio.Lock] = field(
        default_factory=lambda: {False: asyncio.Lock(), True: asyncio.Lock()}
    )
    """Held by the search for jobs, over the socket and over TCP: only one portion of each is in a turn."""
    message_count: int = 0
    creations: CreationRate = field(default_factory=CreationRate)
    keys: IdempotencyKeys = field(init=False)
    streams: StreamPlaces = field(init=False)
    _job_texts: dict[str, _JobText] = field(default_factory=dict)
    _user_names: dict[int, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.keys = IdempotencyKeys(self.service, self.author)
        self.streams = StreamPlaces(self.admission.shares.of_connections)

    def job_text(
        self, state: JobStateView, now: Instant | None = None, strip: str | None = None
    ) -> str:
        """Return `views.job_view` of *state* as JSON text, from memory where it has not changed.

        With *now* the summary says how long it is until the next run. *strip*: its recent runs, as JSON objects
        joined by commas; None for those in memory.
        """
        last = self.service.recent_runs.last(state.job_id)
        known = self._job_texts.get(state.job_id)
        if known is None or known.last is not last or known.state != state:
            if known is None:
                self._make_room()
            known = self._job_texts[state.job_id] = _write_job(state, last, known)
        summary = known.summary if now is None else encode_text(summarize(state, now))
        strip = self.service.recent_runs.strip(state.job_id) if strip is None else strip
        return f'{known.text},"summary":{summary},"recent_runs":[{strip}]}}'

    def job_tag(self, state: JobStateView) -> str:
        """Return the entity tag of a job."""
        return tag_of_job(state.version, f"{self.job_text(state)} {state.running}")

    def _make_room(self) -> None:
        """Drop the oldest half of the texts, once there are very many."""
        if len(self._job_texts) >= MOST_TEXTS:
            self._job_texts = dict(islice(self._job_texts.items(), MOST_TEXTS // 2, None))

    async def author(self, request: Request) -> str:
        """Return the system user at the other end of the socket, or the token over TCP."""
        peer = peer_of(request)
        if peer.uid < 0:
            return str(request.scope["state"].get("actor", ""))
        if peer.uid not in self._user_names:
            # a directory service may be asked, and may be slow
            self._user_names[peer.uid] = await asyncio.to_thread(_user_name, peer.uid)
        return self._user_names[peer.uid]

    def creating_run(self, request: Request) -> Run | None:
        """Return the open run that a handler names in its request; None without one."""
        run_id = request.headers.get(RUN_HEADER)
        return None if run_id is None else self.service.open_run(run_id)

    async def compute(
        self, request: Request, work: Callable[[Budget], T], near_ms: int | None = None
    ) -> T:
        """Do *work* in a thread and return its result; raises `ApiError` (overloaded).

        *near_ms*: the budget of a client at the Unix socket, if it is longer than usual.
        """
        is_far = bool(request.scope["state"].get("is_tcp"))
        return await self.pool.run(work, is_far=is_far, budget_ms=None if is_far else near_ms)

    async def breathe(self) -> None:
        """Let the loop do other work."""
        await asyncio.sleep(0)

    def find_job(self, name: str) -> JobStateView:
        """Return the job that *name* names; raises `ApiError` (not_found, ambiguous)."""
        state = self.service.job(name)
        if state is not None:
            return _noted(state)
        installed = self.service.installed
        if name.lower().startswith(_JOB_ID):
            found, count = installed.begun_id(_JOB_ID + name[len(_JOB_ID) :].upper(), SHOWN)
        else:
            found, count = installed.begun_name(name, SHOWN)
        if count == 1 and name:
            only = self.service.job(found[0])
            assert only is not None, "it was among the names"
            return _noted(only)
        if found and name:
            raise _ambiguous(name, found, count)
        raise self._no_job(name)

    def find_whole_job(self, name: str) -> JobStateView:
        """Return the job of that name or id, written out; raises `ApiError` (not_found).

        For changes: when `remind-1` has run and left, `remind-10` must not be taken for it.
        """
        state = self.service.job(name)
        if state is not None:
            return _noted(state)
        begun = self.service.installed.begun_name(name, 3)[0] if name else []
        if not begun:
            raise self._no_job(name)
        hint = f"write the whole name: {did_you_mean(begun)}"
        raise ApiError("not_found", f"no job named {echo(name)}", hint=hint, suggestions=begun)

    async def look_up(self, name: str, *, whole: bool = False) -> JobStateView:
        """Return the job that *name* names, or has named; raises `ApiError` (not_found, ambiguous).

        A job that is gone is found as long as its history lasts, unless another one has its name now.
        *whole*: the beginning of a name or an id does not suffice.
        """
        state = self.service.job(name) or await find_gone(self.service, name)
        if state is not None:
            return _noted(state)
        return self.find_whole_job(name) if whole else self.find_job(name)

    async def need_job(self, request: Request, *, whole: bool = False) -> JobStateView:
        """Return the job of a request that operates it, as `look_up` does.

        Raises `ApiError`: not_found also for a job that is gone, and as the remote rule of the route does.
        """
        state = await self.look_up(request.path_params["job"], whole=whole)
        if state.gone_at is not None:
            raise refusal(state)
        check = request.scope["state"].get("check_job")
        if check is not None:
            check(self.service.dynamic, state.job, request.scope["state"].get("body") or {})
        return state

    async def history_of(self, name: str, *, is_one: bool = False) -> RunFilter:
        """Return the filter for the runs of the job that *name* names: of all jobs of that name, or of
        the one with that id. *is_one*: of one job in any case."""
        try:
            state = await self.look_up(name)
        except ApiError:
            # The history may be there although the definition cannot be read any more.
            for wanted in (RunFilter(job=name), RunFilter(job_id=name)):
                rows, _ = await self.service.store.runs(wanted, limit=1)
                if rows:
                    return RunFilter(job_id=rows[0].run.job_id) if is_one else wanted
            raise
        if is_one:
            return RunFilter(job_id=state.job_id)
        job_id = state.job_id if _is_id(name, state.job_id) else None
        return RunFilter(job=state.job.name, job_id=job_id)

    def _no_job(self, name: str) -> ApiError:
        installed = self.service.installed
        names = close_to(name, comparable(name, installed.names_near(name)))
        count = installed.count(EVERY_JOB)
        others = installed.count(JobChoice(is_dynamic=True))
        command = "luad list --all" if others else "luad list"
        shows = f"`{command}` shows all {count}" if count else "no job is installed"
        broken = self._broken_file_of(name)
        if broken:
            shows = f"{broken} has an error, and its job is not installed: luad check shows it"
        hint = f"{did_you_mean(names)}  ({shows})" if names else shows
        return ApiError("not_found", f"no job named {echo(name)}", hint=hint, suggestions=names)

    def _broken_file_of(self, name: str) -> str:
        """Return the job file with errors that is called like the job *name*, or has it; empty without one."""
        for path in self.service.problems().broken_files:
            if PurePath(path).stem == name:
                return path
        return ""

    async def find_run(self, name: str) -> RunRow:
        """Return the run that *name* names; raises `ApiError` (not_found, ambiguous)."""
        if not _RUN_NAME.fullmatch(name) or self.service.job(name) is not None:
            is_job = self.service.job(name) is not None
            hint = f"that is a job; luad history {name} lists its runs" if is_job else _LISTS_RUNS
            raise ApiError("not_found", f"no run is called {echo(name)}", hint=hint)
        try:
            row = await self.service.store.run(name)
        except LuadError as error:
            raise from_luad_error(error) from error
        audit_subject.note_run(row.run.id, row.run.job_id, row.run.job_name)
        return row

    def run_view(self, row: RunRow) -> dict[str, Any]:
        """Return a row of the history as the API shows it."""
        return views.run_view(
            row.run,
            self.job_of(row.run),
            first=row.first_scheduled_for,
            count=row.count,
            is_capped=row.is_count_capped,
        )

    def job_of(self, run: Run) -> Job | None:
        """The job of a run, if it is still installed."""
        state = self.service.job(run.job_id)
        return None if state is None else state.job

    async def ask(self, event: Asked) -> Reply:
        """Hand a request to the engine and return its answer; raises `ApiError` for a refusal."""
        reply = await self.service.request(event)
        if reply.error is not None:
            raise ApiError(reply.error, reply.message, hint=reply.hint)
        _note_outcome(reply.value)
        return reply


def _noted(state: JobStateView) -> JobStateView:
    audit_subject.note_job(state.job_id, state.job.name)
    return state


def _note_outcome(value: Any) -> None:
    """Note the run that a request has started, and the jobs that it has made."""
    for each in value if isinstance(value, tuple) else (value,):
        if isinstance(each, Run):
            audit_subject.note_run(each.id, each.job_id, each.job_name)
        elif isinstance(each, Created) and each.job_id:
            audit_subject.note_job(each.job_id, each.job_name)


def _write_job(state: JobStateView, last: LastRun | None, known: _JobText | None) -> _JobText:
    if known is not None and known.state.job is state.job:
        fixed = known.text[: known.fixed_size]
    else:
        fixed = encode_text(views.fixed_part(state))[:-1]
    changing = encode_text(views.changing_part(state, last))
    summary = encode_text(summarize(state))
    return _JobText(state, last, f"{fixed},{changing[1:-1]}", len(fixed), summary)


def context_of(request: Request) -> Context:
    """The context of the server that got *request*."""
    context: Context = request.app.state.context
    return context


def peer_of(request: Request) -> Peer:
    """Return the process at the other end of the Unix socket."""
    peer: Peer = request.scope["state"].get("peer", Peer())
    return peer


def json_response(
    value: Any, status: int = 200, headers: Mapping[str, str] | None = None
) -> Response:
    """Answer with *value* as JSON."""
    return Response(encode(value), status, headers, media_type="application/json")


def link_header(request: Request, cursor: str | None) -> dict[str, str] | None:
    """The Link header to the next page."""
    if cursor is None:
        return None
    query = {**request.query_params, "cursor": cursor}
    return {"link": f'<{request.url.path}?{urlencode(query)}>; rel="next"'}


def _is_id(name: str, job_id: str) -> bool:
    return name.lower().startswith(_JOB_ID) and job_id.lower().startswith(name.lower())


def _ambiguous(name: str, found: Sequence[str], count: int) -> ApiError:
    return ApiError(
        "ambiguous",
        f"{echo(name)} is the beginning of {count} jobs",
        hint="write more of it: " + ", ".join(found) + (", …" if count > len(found) else ""),
        suggestions=tuple(found),
    )


def _user_name(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:  # a user id without a name, in a container
        return f"uid {uid}"
