"""Servers on loopback that take messages, refuse them, or never answer."""

from __future__ import annotations

import http.server
import json
import socket
import ssl
import threading
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
from aiosmtpd.controller import Controller

from luad.messenger.sender import Sender

CERTIFICATE = Path(__file__).with_name("loopback.pem")
_STATUS = {"broken": 500, "echo": 500, "gone": 410, "again": 307, "loop": 307, "away": 307}
_STATUS |= {"downgrade": 308, "wander": 302, "missing": 404}


class Service(http.server.BaseHTTPRequestHandler):
    """Does what the first word of the path says."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self._answer()

    def do_POST(self) -> None:
        self._answer()

    def _answer(self) -> None:
        server: Any = self.server
        body = self.rfile.read(int(self.headers.get("content-length", 0)))
        server.got.append((self.path, dict(self.headers), json.loads(body) if body else None))
        server.arrived.set()
        word = self.path.strip("/").split("/")[0].partition("?")[0]
        match word:
            case "never":
                server.released.wait(30)
                self.close_connection = True
                return
            case "close":
                self.close_connection = True
                return
            case "drip":
                self._drip(server)
                return
            case "half":
                self._say_half()
                return
        status = 503 if word in server.down else _STATUS.get(word, 200)
        self.send_response(status)
        for name, value in self._extras(word, server).items():
            self.send_header(name, value)
        text = self._text(word)
        self.send_header("content-length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def _drip(self, server: Any) -> None:
        """Say a byte now and then, and never enough."""
        self.wfile.write(b"HTTP/1.1 200 OK\r\n")
        for _ in range(3_000):
            try:
                self.wfile.write(b"x")
            except OSError:
                break
            if server.released.wait(0.01):
                break
        self.close_connection = True

    def _say_half(self) -> None:
        self.wfile.write(b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nhalf of it")
        self.close_connection = True

    def _extras(self, word: str, server: Any) -> dict[str, str]:
        port = server.server_address[1]
        match word:
            case "again":
                return {"location": "/ok"}
            case "loop":
                return {"location": "/loop"}
            case "away" | "wander":
                return {"location": f"http://localhost:{port}/ok"}
            case "downgrade":
                return {"location": f"http://127.0.0.1:{port}/ok"}
            case "picture":
                return {"content-type": "image/png"}
        return {}

    def _text(self, word: str) -> bytes:
        match word:
            case "huge":
                return b"x" * 200_000
            case "picture":
                return b"\x89PNG not really"
            case "echo":
                said = [f"{name}: {value}" for name, value in self.headers.items()]
                return "\n".join([self.path, *said]).encode()
        return b"{}"

    def log_message(self, *_: object) -> None:
        """Nobody reads it."""


class _Server(http.server.ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, *_: object) -> None:
        """A client that has gone is what is tested."""


def serve(*, is_secure: bool = False) -> Iterator[Any]:
    server: Any = _Server(("127.0.0.1", 0), Service)
    server.got = []
    server.down = set()
    server.released = threading.Event()
    server.arrived = threading.Event()
    if is_secure:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(CERTIFICATE)
        server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    server.port = server.server_address[1]
    server.url = f"http{'s' if is_secure else ''}://127.0.0.1:{server.port}"
    yield server
    server.released.set()
    server.shutdown()
    server.server_close()


@pytest.fixture
def service() -> Iterator[Any]:
    yield from serve()


@pytest.fixture
def other_service() -> Iterator[Any]:
    yield from serve()


@pytest.fixture
def secure_service() -> Iterator[Any]:
    yield from serve(is_secure=True)


class Letters:
    """A mail server's memory."""

    def __init__(self) -> None:
        self.got: list[Any] = []
        self.answer = "250 taken"

    async def handle_DATA(  # noqa: N802 - the name the server calls
        self, _server: Any, _session: Any, envelope: Any
    ) -> str:
        self.got.append(envelope)
        return self.answer


@pytest.fixture
def mail_server() -> Iterator[Any]:
    letters = Letters()
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    controller = Controller(letters, hostname="127.0.0.1", port=port)
    controller.start()
    yield port, letters
    controller.stop()


@pytest.fixture
async def sender() -> AsyncIterator[Sender]:
    sender = Sender(allow_private=True)
    yield sender
    await sender.close()
