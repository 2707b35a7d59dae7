"""A daemon without loop, files and processes: the real engine, store, board and hub behind the real
server on a real socket. Runs begin and end when a test says so.
"""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import json
import socket
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
from support.answers import check_answer
from support.loop_steps import LoopSteps, counted_steps

from luad.api.auth.token_cache import new_secret
from luad.api.server import ApiServer
from luad.api.service import DynamicRules, Health, Problems, ReloadResult
from luad.api.transport.connection import Timeouts
from luad.api.transport.tcp import ListenSpec
from luad.core.engine import Engine
from luad.core.events import (
    AttemptEnded,
    AttemptStarted,
    ConfigLoaded,
    Event,
    Log,
    ReleaseOutput,
    Reply,
    StartAttempt,
    StopAttempt,
    Ticked,
)
from luad.core.messaging import Channel, Message
from luad.core.model import (
    Cron,
    Ending,
    EndKind,
    Interval,
    Job,
    Now,
    Origin,
    ProcessIdentity,
    Wanted,
)
from luad.core.requests import Request
from luad.core.state import Bounds
from luad.daemon.delivery import MessageDelivery
from luad.daemon.handler_look import HandlerLook
from luad.daemon.service import EngineService
from luad.daemon.user_directory import UserDirectory
from luad.errors import Problem
from luad.live.event_ring import EventRing
from luad.live.job_choice import EVERY_JOB
from luad.live.job_state import JobStateView
from luad.live.log_followers import LogFollowers
from luad.live.recent_runs import RecentRuns
from luad.messenger.sender import Outcome
from luad.store import Store
from luad.store.api_access import Token

NOON = 1_795_348_800_000  # 2026-11-22T12:00:00Z
QUEUES = frozenset({"default"})
DEEDS = (StartAttempt, StopAttempt, ReleaseOutput, Reply, Log)


class HandClock:
    """Stands still until it is moved."""

    def __init__(self) -> None:
        self.wall = NOON

    def now(self) -> Now:
        return Now(self.wall, self.wall)


class Nowhere:
    """Carries no message anywhere."""

    async def deliver(self, message: Message, channel: Channel) -> Outcome:
        return Outcome(error=f"{channel.name} leads nowhere for {message.user}")


class Daemon(EngineService):
    """Implements `luad.api.service.Service`; the test moves its clock and hands in its events."""

    def __init__(self, folder: Path) -> None:
        self.clock = HandClock()
        self.store = Store.open(folder / "state", clock=self.clock)
        self.recent_runs = RecentRuns(self.dynamic_handler)
        self.followers = LogFollowers()
        self.engine = Engine(Bounds(4, queues=QUEUES), self.clock.now())
        self.wanted: dict[str, Wanted] = {}
        self.started: list[StartAttempt] = []
        self.said: list[Log] = []
        self.troubles: tuple[Problem, ...] = ()
        self.is_well = Health()
        self.reloaded: list[bool] = []
        self.answer_request: Callable[[Request], Any] | None = None
        self.request_count = 0
        self.ring = EventRing("boot")
        self.users = UserDirectory(self.store, self.clock)
        self.delivery = MessageDelivery(self.store, self.users, Nowhere(), self.clock, self.log)
        self.dynamic = DynamicRules(("*",), folder, queues=QUEUES)
        self.handlers = HandlerLook((folder / "handlers",))

    # --- the service ---

    def new_request_id(self) -> str:
        self.request_count += 1
        return f"req_{self.request_count:026d}"

    async def request(self, event: Request) -> Reply:
        if self.answer_request is not None:
            return await self.answer_request(event)
        return next(each for each in await self.turn(event) if isinstance(each, Reply))

    def jobs(self) -> list[JobStateView]:
        """Return all jobs in order of names."""
        places = self.installed.search(EVERY_JOB, "", len(self.engine.entries) + 1).places
        return [state for state in map(self.installed.at, places) if state is not None]

    async def delete_stored_job(self, name_or_id: str) -> bool:
        del name_or_id  # all is in force here
        return False

    async def reload(self, *, check_only: bool) -> ReloadResult:
        self.reloaded.append(check_only)
        return ReloadResult(("new",), (("tidy", ("schedule",)),), ("old",), 3, self.troubles, ())

    def problems(self) -> Problems:
        return Problems.of(self.troubles)

    def status(self) -> dict[str, Any]:
        return {
            "version": "0.1.0",
            "pid": 1,
            "event_loop_lag_ms": 2,
            "event_loop_lag": {
                "buckets": [{"le_ms": 1, "count": 3}, {"le_ms": 5, "count": 4}],
                "count": 5,
                "sum_ms": 12.5,
            },
            "store": {"size_bytes": self.store.size_bytes()},
        }

    def health(self) -> Health:
        return self.is_well

    def lag_ms(self) -> float:
        return 2.0

    def log(self, line: Log) -> None:
        self.said.append(line)

    # --- what happens ---

    async def turn(self, *events: Event) -> list[Any]:
        effects = self.engine.handle(events, self.clock.now())
        records = [each for each in effects if not isinstance(each, DEEDS)]
        refused = await self.store.apply(records)
        for run_id in self.recent_runs.observe(records, refused):
            self.followers.end_run(run_id)
        self.ring.observe(records, refused)
        self.started += [each for each in effects if isinstance(each, StartAttempt)]
        return effects

    async def install(self, *jobs: Job, origin: Origin | None = None, stale: bool = False) -> None:
        for job in jobs:
            place = origin or Origin(f"jobs.d/{job.name}.yaml", 1)
            self.wanted[job.name] = Wanted(job, place, stale)
        await self.turn(ConfigLoaded(dict(self.wanted)))

    async def pass_time(self, ms: int) -> None:
        self.clock.wall += ms
        await self.turn(Ticked())

    async def begin(self) -> str:
        """Let the run that was asked for last have a process; return its id."""
        run = self.started[-1].run
        identity = ProcessIdentity(4242, 1, "boot")
        await self.turn(AttemptStarted(run.id, run.attempt, self.clock.wall, identity))
        return run.id

    async def end(self, kind: EndKind = EndKind.RETURNED, **more: Any) -> str:
        run = self.started[-1].run
        await self.turn(AttemptEnded(run.id, run.attempt, Ending(kind, self.clock.wall, **more)))
        return run.id

    async def print(self, run_id: str, job: str, *messages: str, stored: bool = True) -> None:
        """The run says something: first those who follow hear it, then it is stored."""
        lines = [line(message, self.clock.wall) for message in messages]
        self.followers.publish(run_id, job, lines)
        if stored:
            await self.store.append_logs(run_id, lines)


def line(message: str, ts: int = NOON, **more: Any) -> dict[str, Any]:
    known = {"ts": ts, "level": "info", "logger": "", "stream": "stdout", "attempt": 1}
    return known | {"message": message} | more


def make_job(name: str = "tidy", **more: Any) -> Job:
    known: dict[str, Any] = {
        "handler": "house:tidy",
        "schedule": Cron("*/15 * * * *"),
        "revision": "9f2c1ab",
        "definition": {"name": name},
    }
    return Job(name, **(known | more))


def every(seconds: int) -> Interval:
    return Interval(seconds * 1000)


@dataclass
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class UnixConnection(http.client.HTTPConnection):
    def __init__(self, path: Path) -> None:
        super().__init__("localhost", timeout=60)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(str(self._path))


@dataclass
class Api:
    """Speaks HTTP with the server from a thread, so that the loop of the test is free to answer."""

    path: Path
    server: ApiServer
    daemon: Daemon
    open: list[http.client.HTTPConnection] = field(default_factory=list)

    def connect(self) -> UnixConnection:
        connection = UnixConnection(self.path)
        self.open.append(connection)
        return connection

    def raw(self) -> socket.socket:
        connection = self.connect()
        connection.connect()
        return connection.sock

    def _ask(self, method: str, path: str, body: Any, headers: dict[str, str]) -> Answer:
        connection = self.connect()
        if body is not None and not isinstance(body, bytes):
            body = json.dumps(body).encode()
            headers = {"Content-Type": "application/json", **headers}
        connection.request(method, path, body, headers)
        response = connection.getresponse()
        data = response.read()
        connection.close()
        found = {key.lower(): value for key, value in response.getheaders()}
        check_answer(method, path, response.status, data)
        return Answer(response.status, found, data)

    async def ask(self, method: str, path: str, body: Any = None, **headers: str) -> Answer:
        headers = {key.replace("_", "-"): value for key, value in headers.items()}
        return await asyncio.to_thread(self._ask, method, path, body, headers)

    async def get(self, path: str, **headers: str) -> Answer:
        return await self.ask("GET", path, **headers)

    async def post(self, path: str, body: Any = None, **headers: str) -> Answer:
        return await self.ask("POST", path, {} if body is None else body, **headers)

    async def stream(self, path: str, headers: Mapping[str, str] | None = None) -> Stream:
        connection = self.connect()

        def begin() -> http.client.HTTPResponse:
            connection.request("GET", path, headers=dict(headers or {}))
            return connection.getresponse()

        return Stream(connection, await asyncio.to_thread(begin))

    async def exchange(self, data: bytes) -> bytes:
        """Send *data* as it is and return everything that comes back until the server hangs up."""
        sock = self.raw()

        def talk() -> bytes:
            answer = b""
            with contextlib.suppress(BrokenPipeError):  # the server did not want all of it,
                sock.sendall(data)
            with contextlib.suppress(ConnectionResetError):  # and has hung up
                while part := sock.recv(65536):
                    answer += part
            return answer

        return await asyncio.to_thread(talk)


@dataclass
class Stream:
    connection: http.client.HTTPConnection
    response: http.client.HTTPResponse

    async def line(self) -> Any:
        """Return the next line; None at the end."""
        text = await asyncio.to_thread(self.response.readline)
        return json.loads(text) if text else None

    async def event(self) -> dict[str, str]:
        """Return the next server-sent event; an empty one at the end."""
        found: dict[str, str] = {}
        while text := (await asyncio.to_thread(self.response.readline)).decode().rstrip("\n"):
            name, _, value = text.partition(": ")
            found[name] = value
        return found

    async def rest(self) -> list[Any]:
        found = []
        while (each := await self.line()) is not None:
            found.append(each)
        return found


async def until(condition: Callable[[], bool]) -> None:
    """Give the loop turns until *condition* holds."""
    async with asyncio.timeout(10):
        while not condition():  # noqa: ASYNC110 - what is waited for happens in the kernel
            await asyncio.sleep(0)


@pytest.fixture
async def daemon(tmp_path: Path) -> AsyncIterator[Daemon]:
    daemon = Daemon(tmp_path)
    yield daemon
    daemon.store.close()


@pytest.fixture
async def api(daemon: Daemon, tmp_path: Path) -> AsyncIterator[Api]:
    server = ApiServer(daemon, tmp_path / "luad.sock")
    await server.start()
    api = Api(tmp_path / "luad.sock", server, daemon)
    yield api
    for connection in api.open:
        connection.close()
    await server.stop()


SLOW = Timeouts(idle_s=60, receive_s=60, stall_s=60, grace_s=60)


class Far:
    """A server with both doors, and clients of the far one."""

    def __init__(self, api: Api, port: int, daemon: Daemon) -> None:
        self.api = api
        self.port = port
        self.daemon = daemon
        self.secrets: dict[str, str] = {}

    async def make_token(self, name: str, role: str = "viewer", **more: Any) -> str:
        secret, digest = new_secret()
        now = self.daemon.clock.now().wall
        await self.daemon.store.access.add_token(Token(name, role, digest, now, **more))
        self.secrets[name] = secret
        return secret

    def raw(self, data: bytes = b"") -> socket.socket:
        sock = socket.create_connection(("127.0.0.1", self.port), 20)
        sock.sendall(data)
        return sock

    def head(self, path: str, name: str = "", **headers: str) -> bytes:
        if name:
            headers["Authorization"] = f"Bearer {self.secrets.get(name, name)}"
        lines = [f"{key.replace('_', '-')}: {value}\r\n" for key, value in headers.items()]
        return f"GET {path} HTTP/1.1\r\nhost: localhost\r\n{''.join(lines)}\r\n".encode()

    def _ask(self, method: str, path: str, name: str, body: Any, headers: dict[str, str]) -> Any:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        if name:
            headers["Authorization"] = f"Bearer {self.secrets.get(name, name)}"
        data = None if body is None else json.dumps(body).encode()
        if data is not None:
            headers["Content-Type"] = "application/json"
        connection.request(method, path, data, headers)
        response = connection.getresponse()
        content = response.read()
        connection.close()
        check_answer(method, path, response.status, content)
        is_json = "json" in (response.getheader("content-type") or "")
        return response.status, json.loads(content) if is_json else content

    async def ask(
        self, method: str, path: str, name: str = "", body: Any = None, **headers: str
    ) -> Any:
        named = {key.replace("_", "-"): value for key, value in headers.items()}
        return await asyncio.to_thread(self._ask, method, path, name, body, named)

    async def get(self, path: str, name: str = "", **headers: str) -> Any:
        return await self.ask("GET", path, name, **headers)


async def serve(daemon: Daemon, folder: Path, *proxies: str) -> AsyncIterator[Far]:
    spec = ListenSpec("127.0.0.1", 0, trusted_proxies=proxies)
    server = ApiServer(daemon, folder / "luad.sock", spec=spec, timeouts=SLOW)
    await server.start()
    api = Api(folder / "luad.sock", server, daemon)
    assert server.tcp_address is not None
    yield Far(api, int(server.tcp_address.rpartition(":")[2]), daemon)
    for connection in api.open:
        connection.close()
    await server.stop()


@pytest.fixture
async def far(daemon: Daemon, tmp_path: Path) -> AsyncIterator[Far]:
    async for each in serve(daemon, tmp_path):
        yield each


@pytest.fixture
async def behind(daemon: Daemon, tmp_path: Path) -> AsyncIterator[Far]:
    async for each in serve(daemon, tmp_path, "127.0.0.1"):
        yield each


@pytest.fixture
def kit() -> Iterator[Any]:
    """The makers of values for tests."""

    class Kit:
        NOON = NOON
        make_job = staticmethod(make_job)
        every = staticmethod(every)
        line = staticmethod(line)
        replace = staticmethod(replace)
        until = staticmethod(until)
        Api = Api
        Daemon = Daemon

    return Kit


@pytest.fixture
def steps(monkeypatch: pytest.MonkeyPatch) -> Iterator[LoopSteps]:
    """The steps on the loop while a test asks."""
    with counted_steps(monkeypatch) as found:
        yield found
