"""The server: a Unix socket, uvicorn's HTTP protocol on it, and an orderly end.

Rule: runs on the loop that is there already, and takes nothing from it: no signal handlers, no
loop of its own, no ticking. uvicorn's `Server` has all three, so only its configuration and its
protocol are used, the way `Server.startup` does it.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
import socket
from typing import TYPE_CHECKING, Final

from luad.api.application import build_app
from luad.api.auth.roles import HTTPS_PORT, Admission, Place, hosts_for
from luad.api.transport import tcp, unix_socket
from luad.api.transport.connection import (
    MAX_HEADER_BYTES,
    Connection,
    ListenerSettings,
    Timeouts,
    affordable,
)
from luad.api.transport.connection_limits import ConnectionLimits
from luad.api.transport.handshake import Handshakes
from luad.api.transport.socket_watch import SocketWatch
from luad.api.transport.uvicorn_parts import Config, ServerState
from luad.core.events import Log
from luad.live.restore import RestoreTask

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from luad.api.auth.proxy_users import ProxyUsers
    from luad.api.http.work_pool import WorkPool
    from luad.api.pages import Pages
    from luad.api.service import Service
    from luad.api.transport.certificates import Certificates
    from luad.api.transport.client_addresses import Address

LOOK_S: Final = 2.0
"""The files of the certificate are looked at that often."""

STOP_S: Final = 2.0
"""How long answers that are under way may still take at the end."""


class ApiServer:
    """Serves *service* at *path*, or on the *inherited* socket of the service manager.

    `listen` and `start` raise what `sockets.listen` does. `stop` ends every stream, lets other answers finish
    for a moment, and cuts off what is left.
    """

    def __init__(
        self,
        service: Service,
        path: Path | None,
        *,
        inherited: unix_socket.Listener | None = None,
        timeouts: Timeouts | None = None,
        spec: tcp.ListenSpec | None = None,
        pages: Pages | None = None,
        proxy_users: ProxyUsers | None = None,
    ) -> None:
        assert path is not None or inherited is not None, "nowhere to listen"
        self._service = service
        self._path = path
        self._listener = inherited
        self._timeouts = timeouts or Timeouts()
        self._restore = RestoreTask(service)
        self._state = ServerState()
        self._server: asyncio.Server | None = None
        self._spec = spec
        self._pages = pages
        self._proxy_users = proxy_users
        self._proxy_listener: unix_socket.Listener | None = None
        self._proxy_server: asyncio.Server | None = None
        self._certificates: Certificates | None = None
        self._beat: asyncio.Task[None] | None = None
        self._tcp: socket.socket | None = None
        self._tcp_server: asyncio.Server | None = None
        self._handshakes: Handshakes | None = None
        self._is_quiet = asyncio.Event()
        self._pool: WorkPool | None = None
        self.limits: tuple[ConnectionLimits, ...] = ()  # of the Unix socket, and of TCP
        self._watch = SocketWatch()
        self._unix_factory: Callable[[], asyncio.Protocol] | None = None

    @property
    def fault(self) -> str | None:
        """Say why clients do not find the Unix socket; None when they do."""
        return self._watch.fault

    async def look_after_socket(self) -> Log | None:
        """Bind the Unix socket again if its file has gone; return the log line of a change."""
        if self._listener is None or self._server is None:
            return None
        return await self._watch.look(self._listener, self._path, self._exchange_listener)

    async def _exchange_listener(self, listener: unix_socket.Listener) -> None:
        before = self._server
        self._listener = listener
        await self._serve_unix(listener)
        if before is not None:
            before.close()  # the connections that it has stay open

    @property
    def address(self) -> str:
        """Return the address of the Unix socket, for messages."""
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
            self._listener = unix_socket.listen(self._path)
        spec = self._spec
        if spec is None:
            return
        if spec.host and self._tcp is None:
            self._certificates = tcp.certificates_of(spec)
            self._tcp = tcp.listen(spec)
        if spec.proxy_socket is not None and self._proxy_listener is None:
            self._proxy_listener = unix_socket.listen(spec.proxy_socket)

    @property
    def tcp_address(self) -> str | None:
        """Where it listens on TCP; None where it does not."""
        if self._tcp is None:
            return None
        host, port = self._tcp.getsockname()[:2]
        return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"

    async def start(self) -> None:
        """Listen, and answer from now on."""
        self.listen()
        assert self._listener is not None
        try:
            await self._serve(self._listener)
        except BaseException:
            self._listener.close()
            raise

    async def _serve(self, listener: unix_socket.Listener) -> None:
        room = affordable()
        admission = await self._admission(room)
        base_path = "" if self._spec is None else self._spec.base_path
        app = build_app(self._service, self._restore, admission, self._pages, base_path)
        self._pool = app.state.context.pool
        config = Config(
            app,
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
        self.limits = (ConnectionLimits(room), ConnectionLimits(room))
        settings = self._settings_for(self.limits[0])
        self._unix_factory = lambda: Connection(config, self._state, settings)
        await self._serve_unix(listener)
        if self._tcp is not None:
            far = self._settings_for(self.limits[1], admission.shares.of_connections)
            self._tcp_server = await asyncio.get_running_loop().create_server(
                self._protocol_factory(lambda: Connection(config, self._state, far), far),
                sock=self._tcp,
                backlog=tcp.BACKLOG,
            )
        if self._proxy_listener is not None:
            proxied = self._settings_for(ConnectionLimits(room), is_for_proxy=True)
            self._proxy_server = await asyncio.get_running_loop().create_server(
                lambda: Connection(config, self._state, proxied),
                sock=self._proxy_listener.sock,
                backlog=tcp.BACKLOG,
            )
        if self._spec is not None:
            self._beat = asyncio.create_task(self._look_after_tcp(admission), name="api-tcp")
        self._restore.start()

    async def _look_after_tcp(self, admission: Admission) -> None:
        """Log refusals, and load changed certificates, at an interval."""
        certificates = self._certificates
        while True:
            if certificates is not None:
                news = await asyncio.to_thread(certificates.look)
                if news is not None:
                    self._service.log(news)
                admission.certificate_until = certificates.pair.until if certificates.pair else None
            admission.denials.log_rest()
            await asyncio.sleep(LOOK_S)

    async def _serve_unix(self, listener: unix_socket.Listener) -> None:
        assert self._unix_factory is not None
        self._server = await asyncio.get_running_loop().create_server(
            self._unix_factory,
            sock=listener.sock,
            # asyncio calls accept(2) that often in one go, and out of descriptors says each time that
            # it failed. One at a time is what the schedule beside it likes best anyway.
            backlog=1,
        )
        listener.sock.listen(unix_socket.BACKLOG)

    def _settings_for(
        self,
        limits: ConnectionLimits,
        share_of: Callable[[Address | None], int] | None = None,
        *,
        is_for_proxy: bool = False,
    ) -> ListenerSettings:
        """Return the settings that the connections of one listener share."""
        return ListenerSettings(
            self._service.new_request_id,
            self._notice_end,
            limits,
            share_of or (lambda _: limits.room),
            self._timeouts,
            is_for_proxy,
        )

    def _protocol_factory(
        self, build: Callable[[], Connection], settings: ListenerSettings
    ) -> Callable[[], asyncio.Protocol]:
        """Return a factory of protocols for connections over TCP."""
        if self._certificates is None:
            return build
        timeout_s = settings.timeouts.receive_s
        self._handshakes = Handshakes(
            self._certificates,
            build,
            room=settings.limits.room,
            share_of=settings.share_of,
            timeout_s=timeout_s,
        )
        return self._handshakes.begin

    async def _admission(self, room: int) -> Admission:
        spec = self._spec
        if spec is None:
            message = (
                "`web: {}` in luad.yaml, or luad serve --web, serves the dashboard on loopback"
            )
            self._service.log(Log("web.off", {"message": message}))
            return Admission(self._service)
        hosts = hosts_for(spec.host or "localhost", spec.allowed_hosts)
        proxies = tcp.networks(spec.trusted_proxies)
        place = None
        if self._pages is not None:
            place = await self._place(spec)
            hosts |= {place.name}
            fields = {"url": place.url, "message": "luad web prints a link that signs a browser in"}
            self._service.log(Log("web.ready", fields))
        return Admission(
            self._service,
            hosts,
            tcp.peers_of(spec),
            proxies,
            room,
            place=place,
            proxy_users=self._proxy_users,
        )

    async def _place(self, spec: tcp.ListenSpec) -> Place:
        """Return where browsers find the pages.

        On plain loopback they have a host name of their own: a cookie counts for every port of a host.
        """
        name = spec.allowed_hosts[0] if spec.allowed_hosts else spec.host or "localhost"
        if self._tcp is None or (spec.trusted_proxies and spec.certificate is None):
            return Place("https", name, HTTPS_PORT, spec.base_path)
        port: int = self._tcp.getsockname()[1]
        if spec.certificate is not None:
            return Place("https", name, port, spec.base_path)
        own = await self._service.store.web.host(secrets.token_hex(16))
        return Place("http", f"luad-{own}.localhost", port, spec.base_path)

    async def stop(self, timeout_s: float = STOP_S) -> None:
        """Stop all answers within little more than *timeout_s*. A second call does nothing."""
        if self._listener is not None:
            self._listener.withdraw()  # first, so that no client connects and waits
        if self._proxy_listener is not None:
            self._proxy_listener.withdraw()
        if self._server is not None:
            self._server.close()
        elif self._listener is not None:
            self._listener.close()
        self._stop_tcp()
        self._service.ring.close()
        self._service.followers.close()
        await self._restore.stop()
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
        if self._pool is not None:
            self._pool.close()

    def _stop_tcp(self) -> None:
        if self._beat is not None:
            self._beat.cancel()
        if self._tcp_server is not None:
            self._tcp_server.close()
        elif self._tcp is not None:
            self._tcp.close()
        if self._proxy_server is not None:
            self._proxy_server.close()
        elif self._proxy_listener is not None:
            self._proxy_listener.close()
        if self._handshakes is not None:
            self._handshakes.close()

    async def _wait_for_quiet(self, timeout_s: float) -> None:
        try:
            async with asyncio.timeout(timeout_s):
                await self._is_quiet.wait()
        except TimeoutError:
            return

    def _notice_end(self) -> None:
        if not self._state.connections:
            self._is_quiet.set()
