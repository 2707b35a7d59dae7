"""The API behind a connection without a socket: bytes in, bytes out, at the speed of a function call.

Everything is real but the transport and the runs: application, protocol, engine, and a store on a real
file. One daemon serves all inputs of a process.
"""

from __future__ import annotations

import asyncio
import importlib.util
import socket
import sys
import tempfile
from pathlib import Path
from typing import Any, Final

import h11

from luad.api.application import build_app
from luad.api.auth.roles import Admission
from luad.api.transport.connection import (
    MAX_CONNECTIONS,
    MAX_HEADER_BYTES,
    Connection,
    ListenerSettings,
    Timeouts,
)
from luad.api.transport.connection_limits import ConnectionLimits
from luad.api.transport.uvicorn_parts import Config, ServerState
from luad.config.jobs.api_bodies import job_from_body
from luad.core.events import Log
from luad.live.restore import RestoreTask

_ALIVE: Final = b"GET /readyz HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n"
_MAX_TURNS: Final = 4_000
_JOB: Final = {"name": "tidy", "handler": "a:b", "schedule": {"type": "interval", "seconds": 60}}


class Line(asyncio.Transport):
    """A transport that keeps what is written; its socket is real, for the protocol looks at it."""

    def __init__(self) -> None:
        super().__init__()
        self.sock, self._other = socket.socketpair()
        self.data = bytearray()
        self.is_closed = False

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return self.sock if name == "socket" else default

    def write(self, data: bytes | bytearray | memoryview) -> None:
        if not self.is_closed:
            self.data += data

    def is_closing(self) -> bool:
        return self.is_closed

    def close(self) -> None:
        self.is_closed = True

    def abort(self) -> None:
        self.is_closed = True

    def pause_reading(self) -> None: ...

    def resume_reading(self) -> None: ...

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None: ...

    def end(self) -> None:
        self.sock.close()
        self._other.close()


class Wire:
    """One daemon of the API's tests, and a way to be connected to it."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self._folder = tempfile.TemporaryDirectory()
        self.loop.run_until_complete(self._start())

    async def _start(self) -> None:
        path = Path(__file__).parents[1] / "api" / "conftest.py"
        spec = importlib.util.spec_from_file_location("luad_api_tests", path)
        assert spec is not None
        assert spec.loader is not None
        kit = importlib.util.module_from_spec(spec)
        sys.modules[spec.name] = kit  # dataclasses look their module up there
        spec.loader.exec_module(kit)
        self.daemon = kit.Daemon(Path(self._folder.name))
        await self.daemon.install(job_from_body(_JOB, timezone="UTC"))
        restore = RestoreTask(self.daemon)
        restore.start()
        self.restore = restore
        self.state = ServerState()
        self.config = Config(
            build_app(self.daemon, restore, Admission(self.daemon)),
            http=Connection,
            ws="none",
            loop="none",
            lifespan="off",
            interface="asgi3",
            log_config=None,
            access_log=False,
            proxy_headers=False,
            server_header=False,
            date_header=False,
            h11_max_incomplete_event_size=MAX_HEADER_BYTES,
        )
        self.config.load()
        timeouts = Timeouts(idle_s=60, receive_s=60, stall_s=60)
        self.settings = ListenerSettings(
            self.daemon.new_request_id,
            lambda: None,
            ConnectionLimits(MAX_CONNECTIONS),
            timeouts=timeouts,
        )

    async def say(self, data: bytes) -> bytes:
        """Be a client that sends *data* and hangs up; return what was answered."""
        line = Line()
        connection = Connection(self.config, self.state, self.settings)
        connection.connection_made(line)
        for start in range(0, len(data), 65_536):
            if line.is_closed:
                break
            connection.data_received(data[start : start + 65_536])
        for turn in range(_MAX_TURNS):
            if line.is_closed or connection.is_idle:
                break
            if connection._is_stream() or connection.conn.their_state is h11.SEND_BODY:
                break  # it waits for more, and there is none
            await asyncio.sleep(0 if turn < 50 else 0.002)
        connection.connection_lost(None)
        line.end()
        return bytes(line.data)

    async def settle(self) -> None:
        """Let what was begun come to its end."""
        while tasks := [each for each in self.state.tasks if not each.done()]:
            await asyncio.wait(tasks, timeout=5)
        self.state.connections.clear()

    async def end(self) -> None:
        """Give everything back."""
        self.daemon.ring.close()
        self.daemon.followers.close()
        await self.restore.stop()
        await self.settle()
        self.daemon.store.close()
        self._folder.cleanup()


_wire: list[Wire] = []


def converse(data: bytes) -> None:
    """Send *data* over a connection of its own, and then a good request over another one."""
    if not _wire:
        _wire.append(Wire())
    wire = _wire[0]
    wire.daemon.said.clear()
    answer = wire.loop.run_until_complete(wire.say(data))
    wire.loop.run_until_complete(wire.settle())
    _check_answers(answer)
    failed: list[Log] = [each for each in wire.daemon.said if each.event == "api.failed"]
    assert not failed, failed[0].fields
    alive = wire.loop.run_until_complete(wire.say(_ALIVE))
    assert alive.startswith(b"HTTP/1.1 200 "), alive[:200]
    wire.loop.run_until_complete(wire.settle())


def close() -> None:
    """End the daemon, if there is one."""
    while _wire:
        wire = _wire.pop()
        wire.loop.run_until_complete(wire.end())
        wire.loop.close()


def _check_answers(data: bytes) -> None:
    """Whatever was asked, a client's own parser understands the first answer."""
    if not data:
        return
    assert data.startswith(b"HTTP/1.1 "), data[:100]
    client = h11.Connection(h11.CLIENT)
    client.send(h11.Request(method="GET", target="/", headers=[("host", "x")]))
    client.send(h11.EndOfMessage())
    client.receive_data(data)
    while isinstance(event := client.next_event(), h11.InformationalResponse):
        pass
    assert isinstance(event, h11.Response), event
    assert event.status_code != 500, data[:2000]
    assert all(b"\n" not in value for _, value in event.headers)
