"""A small HTTP server on a real Unix socket, and ways to call luad.

The server answers with recorded answers of the daemon's API; it is a peer, and stands for nothing
of luad itself.
"""

from __future__ import annotations

import json
import os
import re
import socketserver
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from luad.cli import main


@dataclass
class Asked:
    """One request, as it came."""

    method: str
    path: str
    query: dict[str, str]
    body: Any
    headers: dict[str, str]


Answer = Any  # a JSON value, (status, value), a list of lines, or a function of the request


@dataclass
class Peer:
    """Answers requests below /v1 with what `answers` has for `METHOD path`, and notes them."""

    socket: Path
    answers: dict[str, Answer] = field(default_factory=dict)
    asked: list[Asked] = field(default_factory=list)

    def answer(self, request: Asked) -> tuple[int, Any]:
        self.asked.append(request)
        found = self.answers.get(f"{request.method} {request.path}")
        if callable(found):
            found = found(request)
        if found is None:
            return 404, problem("not_found", f"no job named `{request.path.split('/')[-1]}`")
        if isinstance(found, tuple):
            return found
        return (202 if request.method == "POST" else 200), found


def problem(code: str, detail: str, **more: Any) -> dict[str, Any]:
    return {"type": f"/problems/{code}", "title": code, "code": code, "detail": detail, **more}


class Lines(list[Any]):
    """A body that is sent as NDJSON, chunk by chunk; `break_off` ends it in the middle."""

    break_off = False


def _handler(peer: Peer) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            self.respond()

        def do_POST(self) -> None:
            self.respond()

        def do_PATCH(self) -> None:
            self.respond()

        def do_PUT(self) -> None:
            self.respond()

        def do_DELETE(self) -> None:
            self.respond()

        def respond(self) -> None:
            length = int(self.headers.get("Content-Length") or 0)
            body = json.loads(self.rfile.read(length)) if length else None
            parts = urlsplit(self.path)
            assert parts.path.startswith("/v1/")
            query = {key: values[0] for key, values in parse_qs(parts.query).items()}
            asked = Asked(
                self.command, parts.path.removeprefix("/v1"), query, body, dict(self.headers)
            )
            status, value = peer.answer(asked)
            self.send_response(status)
            if isinstance(value, Lines):
                self.send_lines(value)
                return
            data = value if isinstance(value, bytes) else json.dumps(value).encode()
            kind = "application/json" if status < 400 else "application/problem+json"
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def send_lines(self, lines: Lines) -> None:
            self.send_header("Content-Type", "application/x-ndjson")
            self.send_header("Transfer-Encoding", "chunked")
            self.end_headers()
            for line in lines:
                data = json.dumps(line).encode() + b"\n"
                self.wfile.write(b"%x\r\n%s\r\n" % (len(data), data))
            if lines.break_off:
                self.close_connection = True
            else:
                self.wfile.write(b"0\r\n\r\n")

        def log_message(self, *_: object) -> None:
            pass

        def address_string(self) -> str:
            return "a client"

    return Handler


class _Server(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    daemon_threads = False


@pytest.fixture
def peer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Peer]:
    """A peer that luad finds by $LUAD_SOCKET."""
    path = tmp_path / "peer.sock"
    peer = Peer(path)
    with _Server(str(path), _handler(peer)) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        monkeypatch.setenv("LUAD_SOCKET", str(path))
        try:
            yield peer
        finally:
            server.shutdown()
            thread.join()


@dataclass
class Result:
    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)

    @property
    def problem(self) -> Any:
        return json.loads(self.err)

    @property
    def lines(self) -> list[str]:
        return self.out.splitlines()


@pytest.fixture(autouse=True)
def _plain_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Nothing of the machine decides: no daemon, no settings, no colour, UTF-8, London."""
    for name in [name for name in os.environ if name.startswith(("LUAD_", "LC_"))]:
        monkeypatch.delenv(name)
    for name in ("NO_COLOR", "FORCE_COLOR", "XDG_RUNTIME_DIR", "RUNTIME_DIRECTORY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("LUAD_SOCKET", str(tmp_path / "nobody.sock"))
    monkeypatch.setenv("LANG", "en_GB.UTF-8")
    monkeypatch.chdir(tmp_path)


def without_place(text: str) -> str:
    """Return what a command said, without the line that names its daemon (see test_whose.py)."""
    return re.sub(r"^on the daemon at .*\n", "", text, flags=re.MULTILINE)


@pytest.fixture
def luad(capfd: pytest.CaptureFixture[str]) -> Callable[..., Result]:
    """Call the command line in this process."""

    def call(*args: object) -> Result:
        capfd.readouterr()
        code = main([str(arg) for arg in args])
        captured = capfd.readouterr()
        return Result(int(code), captured.out, without_place(captured.err))

    return call


@pytest.fixture
def lines() -> Callable[..., Lines]:
    """Make the body of a stream."""

    def make(items: list[Any], *, break_off: bool = False) -> Lines:
        body = Lines(items)
        body.break_off = break_off
        return body

    return make
