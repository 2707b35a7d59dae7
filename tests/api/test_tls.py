"""TLS: whoever drags out a handshake is bounded as everybody else, and keeps nobody out."""

from __future__ import annotations

import asyncio
import http.client
import select
import socket
import ssl
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from luad.api.server import ApiServer
from luad.api.transport.connection import MAX_CONNECTIONS, Timeouts
from luad.api.transport.tcp import ListenSpec

pytestmark = pytest.mark.socket

COUNT = 4 * MAX_CONNECTIONS
CERTIFICATE = Path(__file__).parents[1] / "messenger" / "loopback.pem"


@pytest.fixture
async def port(daemon: Any, tmp_path: Path) -> AsyncIterator[int]:
    spec = ListenSpec("127.0.0.1", 0, CERTIFICATE, CERTIFICATE)
    server = ApiServer(daemon, tmp_path / "luad.sock", spec=spec, timeouts=Timeouts(receive_s=3))
    await server.start()
    assert server.tcp_address is not None
    yield int(server.tcp_address.rpartition(":")[2])
    await server.stop()
    assert server.connection_count == 0


def trusting() -> ssl.SSLContext:
    return ssl.create_default_context(cafile=str(CERTIFICATE))


def get(port: int, path: str = "/readyz") -> tuple[int, bytes]:
    connection = http.client.HTTPSConnection("localhost", port, timeout=60, context=trusting())
    connection.request("GET", path)
    response = connection.getresponse()
    content = response.read()
    connection.close()
    return response.status, content


async def test_a_request_is_answered_over_tls(port: int) -> None:
    assert await asyncio.to_thread(get, port) == (200, b'{"ready":true}')
    status, _ = await asyncio.to_thread(get, port, "/v1/jobs")
    assert status == 401


async def test_what_comes_together_with_the_end_of_the_handshake_is_not_lost(port: int) -> None:
    """Byte by byte by hand, for a client library waits between the two."""

    def talk() -> bytes:
        incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        session = trusting().wrap_bio(incoming, outgoing, server_hostname="localhost")
        with socket.create_connection(("127.0.0.1", port), 20) as sock:
            while True:
                try:
                    session.do_handshake()
                    break
                except ssl.SSLWantReadError:
                    sock.sendall(outgoing.read())
                    incoming.write(sock.recv(65_536))
            session.write(b"GET /readyz HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n")
            sock.sendall(outgoing.read())  # the end of the handshake and the request in one piece
            answer = b""
            while piece := sock.recv(65_536):
                incoming.write(piece)
                try:
                    while part := session.read(65_536):
                        answer += part
                except ssl.SSLWantReadError:
                    continue
                except ssl.SSLZeroReturnError:
                    break
                break
        return answer

    answer = await asyncio.to_thread(talk)
    assert answer.startswith(b"HTTP/1.1 200 ")


@pytest.mark.slow
async def test_those_who_say_nothing_are_hung_up_on_and_keep_nobody_out(port: int) -> None:
    def connect() -> list[socket.socket]:
        return [socket.create_connection(("127.0.0.1", port), 20) for _ in range(COUNT)]

    silent = await asyncio.to_thread(connect)
    assert await asyncio.to_thread(get, port) == (200, b'{"ready":true}')

    def still_open() -> int:
        poll = select.poll()
        for sock in silent:
            poll.register(sock, select.POLLIN | select.POLLHUP)
        return len(silent) - len(poll.poll(0))

    assert still_open() <= MAX_CONNECTIONS
    async with asyncio.timeout(30):
        while still_open():  # noqa: ASYNC110 - what is waited for happens in the kernel
            await asyncio.sleep(0.01)
    for sock in silent:
        sock.close()


async def test_garbage_in_place_of_a_handshake_is_hung_up_on(port: int) -> None:
    def talk() -> bytes:
        with socket.create_connection(("127.0.0.1", port), 20) as sock:
            sock.sendall(b"GET /readyz HTTP/1.1\r\nhost: x\r\n\r\n")
            try:
                return sock.recv(65_536)
            except ConnectionResetError:
                return b""

    assert b"200" not in await asyncio.to_thread(talk)
    assert (await asyncio.to_thread(get, port))[0] == 200
