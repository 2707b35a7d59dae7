"""Messages on their way: real servers on loopback that take them, refuse them, or never answer."""

from __future__ import annotations

import asyncio
import http.server
import json
import os
import signal
import socket
import threading
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
from aiosmtpd.controller import Controller

from luad.core.people import Channel, ChannelKind, Message
from luad.messenger.exchange import is_public
from luad.messenger.references import HIDDEN, BrokenReferenceError, Resolver
from luad.messenger.sender import Sender

SECRET = "canary-5d41402abc4b"  # noqa: S105 - looked for in what leaves


class Service(http.server.BaseHTTPRequestHandler):
    """Does what the path says."""

    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        server: Any = self.server
        body = self.rfile.read(int(self.headers["content-length"]))
        server.arrived.set()
        server.got.append((self.path, dict(self.headers), json.loads(body)))
        word = self.path.strip("/").split("/")[0]
        if word == "never":
            server.released.wait(30)
            return
        if word == "close":
            self.close_connection = True
            return
        status = {"broken": 500, "gone": 410, "again": 307, "away": 307, "downgrade": 307}.get(
            word, 200
        )
        self.send_response(status)
        port = self.server.server_address[1]
        if word == "again":
            self.send_header("location", "/ok")
        if word == "away":
            self.send_header("location", f"http://localhost:{port}/ok")
        text = (b"x" * 200_000) if word == "huge" else f"said {SECRET}".encode()
        self.send_header("content-length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def log_message(self, *_: object) -> None:
        """Nobody reads it."""


@pytest.fixture
def service() -> Iterator[Any]:
    server: Any = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Service)
    server.got = []
    server.released = threading.Event()
    server.arrived = threading.Event()
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    server.url = f"http://127.0.0.1:{server.server_address[1]}"
    yield server
    server.released.set()
    server.shutdown()
    server.server_close()


class Letters:
    """A mail server's memory."""

    def __init__(self) -> None:
        self.got: list[Any] = []

    async def handle_DATA(  # noqa: N802 - the name the server calls
        self, _server: Any, _session: Any, envelope: Any
    ) -> str:
        self.got.append(envelope)
        return "250 taken"


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


def message(number: int = 1, **fields: Any) -> Message:
    parts = ({"type": "text", "text": f"hello {number}"},)
    return Message(f"msg_{number}", "ann", 1_795_348_800_000, parts, **fields)


def webhook(url: str, **fields: Any) -> Channel:
    return Channel("hook", ChannelKind.WEBHOOK, url, **fields)


# --- webhooks ------------------------------------------------------------------------------------


async def test_a_webhook_gets_the_message_as_json(sender: Sender, service: Any) -> None:
    channel = webhook(f"{service.url}/ok", headers=(("X-Team", "ops"),))
    outcome = await sender.deliver(message(title="T", job_name="j", run_id="run_1"), channel)
    assert (outcome.error, outcome.answer) == ("", "200 OK")
    ((path, headers, body),) = service.got
    assert path == "/ok"
    assert (headers["X-Team"], headers["Luad-Message"]) == ("ops", "msg_1")
    assert body["parts"] == [{"type": "text", "text": "hello 1"}]
    assert (body["title"], body["job"], body["at"]) == ("T", "j", "2026-11-22T12:00:00Z")


@pytest.mark.parametrize(
    ("path", "says"),
    [
        ("broken", "answered 500"),
        ("gone", "answered 410"),
        ("close", "the connection failed"),
        ("away", "another host"),
        ("never", "no answer within"),
    ],
)
async def test_what_does_not_arrive_says_why(
    sender: Sender, service: Any, path: str, says: str
) -> None:
    channel = webhook(f"{service.url}/{path}", timeout_ms=700)
    outcome = await sender.deliver(message(), channel)
    assert says in outcome.error


async def test_redirects_to_the_same_place_and_huge_answers_are_fine(
    sender: Sender, service: Any
) -> None:
    for path in ("again", "huge"):
        outcome = await sender.deliver(message(), webhook(f"{service.url}/{path}"))
        assert outcome.error == "", path
    assert [path for path, _, _ in service.got] == ["/again", "/ok", "/huge"]


async def test_nobody_there_and_no_such_host(sender: Sender) -> None:
    refused = await sender.deliver(message(), webhook("http://127.0.0.1:9/x"))
    assert "the connection failed" in refused.error
    unknown = await sender.deliver(message(), webhook("http://nobody.invalid/x"))
    assert "the host cannot be found" in unknown.error


async def test_private_addresses_are_refused_unless_allowed(service: Any) -> None:
    sender = Sender()
    try:
        outcome = await sender.deliver(message(), webhook(f"{service.url}/ok"))
        assert "no public address" in outcome.error
        assert service.got == []
        allowed = webhook(f"{service.url}/ok", allow_private=True)
        assert (await sender.deliver(message(), allowed)).error == ""
    finally:
        await sender.close()


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("93.184.216.34", True),
        ("2606:2800:220:1::1", True),
        ("127.0.0.1", False),
        ("10.1.2.3", False),
        ("169.254.169.254", False),
        ("192.168.0.1", False),
        ("100.64.0.1", False),
        ("0.0.0.0", False),  # noqa: S104 - an address to refuse
        ("224.0.0.1", False),
        ("::1", False),
        ("::", False),
        ("fe80::1%eth0", False),
        ("fc00::1", False),
        ("::ffff:127.0.0.1", False),
        ("::ffff:10.0.0.1", False),
        ("64:ff9b::7f00:1", False),
        ("2002:7f00:1::", False),
    ],
)
def test_whose_an_address_is(address: str, expected: bool) -> None:
    assert is_public(address) is expected


# --- mail, through Apprise -----------------------------------------------------------------------


async def test_a_mail_arrives(sender: Sender, mail_server: Any) -> None:
    port, letters = mail_server
    url = f"mailto://127.0.0.1:{port}/?from=luad@example.com&to=ann@example.com&mode=insecure"
    channel = Channel("mail", ChannelKind.APPRISE, url)
    outcome = await sender.deliver(message(title="T"), channel)
    assert outcome.error == ""
    (letter,) = letters.got
    assert letter.rcpt_tos == ["ann@example.com"]
    assert b"Subject: T" in letter.content
    assert b"hello 1" in letter.content


async def test_an_address_that_nobody_knows_is_an_outcome(sender: Sender) -> None:
    channel = Channel("m", ChannelKind.APPRISE, "nosuchservice://x")
    outcome = await sender.deliver(message(), channel)
    assert "does not know" in outcome.error


# --- the process ---------------------------------------------------------------------------------


async def test_a_sender_that_dies_is_an_outcome_and_the_next_one_works(
    sender: Sender, service: Any
) -> None:
    hanging = asyncio.create_task(sender.deliver(message(), webhook(f"{service.url}/never")))
    await asyncio.to_thread(service.arrived.wait)
    assert sender.pid is not None
    os.kill(sender.pid, signal.SIGKILL)
    assert "has died" in (await hanging).error
    assert (await sender.deliver(message(), webhook(f"{service.url}/ok"))).error == ""


async def test_one_that_hangs_delays_no_other(sender: Sender, service: Any) -> None:
    hanging = [
        asyncio.create_task(sender.deliver(message(n), webhook(f"{service.url}/never")))
        for n in range(10)
    ]
    quick = await sender.deliver(message(), webhook(f"{service.url}/ok"))
    assert quick.error == ""
    assert not any(task.done() for task in hanging), "the quick one was first"
    for task in hanging:
        task.cancel()
    await asyncio.gather(*hanging, return_exceptions=True)


# --- secrets -------------------------------------------------------------------------------------


async def test_a_secret_never_leaves_the_sender(
    service: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOOK", f"{service.url}/broken/{SECRET}?key={SECRET}")
    sender = Sender(allow_private=True)
    try:
        outcome = await sender.deliver(message(), webhook("${HOOK}"))
    finally:
        await sender.close()
    assert service.got[0][0].endswith(SECRET)
    assert "answered 500" in outcome.error
    assert SECRET not in repr(outcome)
    assert HIDDEN in outcome.error


def test_references_are_resolved_or_named(tmp_path: Path) -> None:
    (tmp_path / "mail").write_text("mailto://u:secret@example.com\n")
    resolver = Resolver({"TOKEN": "t0ken", "CREDENTIALS_DIRECTORY": str(tmp_path)})
    assert resolver.resolve("Bearer ${TOKEN}") == "Bearer t0ken"
    assert resolver.resolve("credential:mail") == "mailto://u:secret@example.com"
    assert resolver.resolve(f"file:{tmp_path}/mail") == "mailto://u:secret@example.com"
    assert resolver.hide("it was t0ken") == f"it was {HIDDEN}"
    for broken in ("${NOPE}", "credential:nope", "credential:../mail", f"file:{tmp_path}/nope"):
        with pytest.raises(BrokenReferenceError):
            resolver.resolve(broken)
