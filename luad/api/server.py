"""The server: a Unix socket, uvicorn's HTTP protocol on it, and an orderly end.

Room rule: runs on the loop that is there already, and takes nothing from it: no signal handlers, no
loop of its own, no ticking. uvicorn's `Server` has all three, so only its configuration and its
protocol are used, the way `Server.startup` does it.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Final

from uvicorn.config import Config
from uvicorn.server import ServerState

from luad.api import sockets
from luad.api.app import build_app
from luad.api.connection import (
    MAX_HEADER_BYTES,
    Connection,
    House,
    Patience,
    affordable,
)
from luad.api.recall import Recall

if TYPE_CHECKING:
    from pathlib import Path

    from luad.api.service import Service

STOP_S: Final = 2.0
"""How long answers that are under way may still take at the end."""


class ApiServer:
    """Serves *service* at *path*, or on the socket that was *inherited* from the service manager.

    `listen` and `start` raise what `sockets.listen` does. `stop` ends every stream, lets other answers finish
    for a moment, and cuts off what is left.
    """

    def __init__(
        self,
        service: Service,
        path: Path | None,
        *,
        inherited: sockets.Listener | None = None,
        patience: Patience | None = None,
    ) -> None:
        assert path is not None or inherited is not None, "nowhere to listen"
        self._service = service
        self._path = path
        self._listener = inherited
        self._patience = patience or Patience()
        self._recall = Recall(service)
        self._state = ServerState()
        self._server: asyncio.Server | None = None
        self._is_quiet = asyncio.Event()

    @property
    def address(self) -> str:
        """Where it listens, as shown to people."""
        listener = self._listener
        return str(listener.sock.getsockname() if listener else self._path)

    @property
    def connection_count(self) -> int:
        """How many connections are open."""
        return len(self._state.connections)

    def listen(self) -> None:
        """Take the place where requests come in; they wait there until `start`. Twice is fine."""
        if self._listener is None:
            assert self._path is not None
            self._listener = sockets.listen(self._path)

    async def start(self) -> None:
        """Listen, and answer from now on."""
        self.listen()
        assert self._listener is not None
        try:
            await self._serve(self._listener)
        except BaseException:
            self._listener.close()
            raise

    async def _serve(self, listener: sockets.Listener) -> None:
        config = Config(
            build_app(self._service, self._recall),
            http=Connection,
            ws="none",
            loop="none",
            lifespan="off",
            interface="asgi3",
            log_config=None,
            log_level=logging.ERROR,  # what the guard of the app has not caught already
            access_log=False,
            proxy_headers=False,
            server_header=False,
            date_header=False,
            h11_max_incomplete_event_size=MAX_HEADER_BYTES,
        )
        config.load()
        house = House(self._service.new_request_id, self._notice_end, self._patience, affordable())
        self._server = await asyncio.get_running_loop().create_server(
            lambda: Connection(config, self._state, house),
            sock=listener.sock,
            # asyncio calls accept(2) that often in one go, and out of descriptors says each time that
            # it failed. One at a time is what the schedule beside it likes best anyway.
            backlog=1,
        )
        listener.sock.listen(sockets.BACKLOG)
        self._recall.start()

    async def stop(self, timeout_s: float = STOP_S) -> None:
        """Answer nobody any more. Takes at most *timeout_s* and a moment; twice is fine."""
        if self._listener is not None:
            self._listener.withdraw()  # first of all: nobody shall find it and wait
        if self._server is not None:
            self._server.close()
        elif self._listener is not None:
            self._listener.close()
        self._service.hub.close()
        await self._recall.stop()
        for connection in tuple(self._state.connections):
            connection.shutdown()
        if self._state.connections:
            self._is_quiet.clear()
            await self._wait_for_quiet(timeout_s)
        for connection in tuple(self._state.connections):
            connection.transport.abort()
        tasks = tuple(self._state.tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _wait_for_quiet(self, timeout_s: float) -> None:
        try:
            async with asyncio.timeout(timeout_s):
                await self._is_quiet.wait()
        except TimeoutError:
            return

    def _notice_end(self) -> None:
        if not self._state.connections:
            self._is_quiet.set()
