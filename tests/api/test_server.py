"""Starting and stopping the server."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
from pathlib import Path
from typing import Any

import pytest

from luad.api.auth.roles import VIEWERS, Admission, hosts_for
from luad.api.http.api_problems import ApiError
from luad.api.server import ApiServer
from luad.api.transport.tcp import ListenSpec, peers_of
from luad.core.events import Reply

pytestmark = pytest.mark.socket


async def test_no_signal_handler_is_touched(daemon: Any, tmp_path: Path) -> None:
    before = [signal.getsignal(each) for each in (signal.SIGINT, signal.SIGTERM)]
    server = ApiServer(daemon, tmp_path / "luad.sock")
    await server.start()
    assert [signal.getsignal(each) for each in (signal.SIGINT, signal.SIGTERM)] == before
    await server.stop()
    await server.stop()


async def test_stopping_lets_answers_finish_and_cuts_off_the_rest(
    api: Any, daemon: Any, kit: Any, caplog: pytest.LogCaptureFixture
) -> None:
    go_on, never = asyncio.Event(), asyncio.Event()

    async def wait(event: Any) -> Reply:
        await (never if event.job_name == "stuck" else go_on).wait()
        return Reply(event.request_id, None, "conflict", "no")

    await daemon.install(kit.make_job("slow"), kit.make_job("stuck"))
    daemon.answer_request = wait
    slow, stuck, idle = api.raw(), api.raw(), api.raw()
    for sock, name in ((slow, b"slow"), (stuck, b"stuck")):
        head = b"POST /v1/jobs/" + name + b"/activate HTTP/1.1\r\nhost: x\r\n"
        sock.sendall(head + b"content-length: 0\r\n\r\n")
    await kit.until(lambda: daemon.request_count == 2)
    with caplog.at_level(logging.WARNING):
        stopping = asyncio.create_task(api.server.stop(0.2))
        await kit.until(lambda: not api.path.exists())
        go_on.set()
        assert (await asyncio.to_thread(slow.recv, 65536)).startswith(b"HTTP/1.1 409 ")
        assert await asyncio.to_thread(idle.recv, 10) == b""
        await stopping
    with contextlib.suppress(ConnectionResetError):
        assert await asyncio.to_thread(stuck.recv, 10) == b""
    assert caplog.messages == []
    assert api.server.connection_count == 0


async def test_a_start_that_fails_leaves_nothing(daemon: Any, tmp_path: Path) -> None:
    before = asyncio.all_tasks()
    (tmp_path / "luad.sock").write_text("mine")
    with pytest.raises(Exception, match="a file, not a socket"):
        await ApiServer(daemon, tmp_path / "luad.sock").start()
    assert asyncio.all_tasks() == before
    assert (tmp_path / "luad.sock").read_text() == "mine"


async def test_a_server_may_start_where_another_has_stopped(
    daemon: Any, kit: Any, tmp_path: Path
) -> None:
    for _ in range(3):
        server = ApiServer(daemon, tmp_path / "luad.sock")
        daemon.followers = type(daemon.followers)()
        await server.start()
        api = kit.Api(tmp_path / "luad.sock", server, daemon)
        assert (await api.get("/readyz")).status == 200
        await server.stop()


@pytest.mark.parametrize(
    ("client", "may"),
    [
        ("10.1.2.3", True),
        ("127.0.0.1", True),
        ("::1", True),
        ("::ffff:10.1.2.3", True),
        ("fd00::7%eth0", True),
        ("10.2.0.1", False),
        ("192.0.2.9", False),
        ("::ffff:192.0.2.9", False),
        ("2001:db8::1", False),
    ],
)
async def test_without_tls_only_trusted_proxies_are_answered(
    daemon: Any, client: str, may: bool
) -> None:
    spec = ListenSpec("0.0.0.0", 1, trusted_proxies=("10.1.0.0/16", "fd00::/8"))  # noqa: S104 - what it is about
    admission = Admission(daemon, hosts_for(spec.host, ["luad.example"]), peers_of(spec))
    scope = {
        "headers": [(b"host", b"luad.example")],
        "path": "/v1/jobs",
        "method": "GET",
        "client": (client, 40_000),
    }
    with pytest.raises(ApiError) as refused:
        await admission.admit(scope, VIEWERS)
    assert refused.value.code == ("unauthenticated" if may else "forbidden")


def test_with_tls_anybody_may_ask() -> None:
    spec = ListenSpec("0.0.0.0", 1, Path("a"), Path("b"), trusted_proxies=("10.0.0.0/8",))  # noqa: S104 - as above
    assert peers_of(spec) is None
