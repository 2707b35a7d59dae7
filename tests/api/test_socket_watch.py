"""The file of the socket is removed while the API listens on it."""

# ruff: noqa: ASYNC240 - nobody else waits for the loop of a test

from __future__ import annotations

import socket
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from luad.api.server import ApiServer
from luad.api.transport import socket_folder, unix_socket

pytestmark = pytest.mark.socket

Made = tuple[ApiServer, Any]


@pytest.fixture
async def served(daemon: Any, kit: Any, tmp_path: Path) -> AsyncIterator[Made]:
    server = ApiServer(daemon, tmp_path / "luad.sock")
    await server.start()
    yield server, kit.Api(tmp_path / "luad.sock", server, daemon)
    await server.stop()


async def test_a_socket_that_was_removed_is_bound_again(served: Made, tmp_path: Path) -> None:
    server, api = served
    path = tmp_path / "luad.sock"
    assert await server.look_after_socket() is None
    for _ in range(2):
        path.unlink()
        news = await server.look_after_socket()
        assert news is not None
        assert (news.event, news.fields) == ("api.socket_restored", {"socket": str(path)})
        assert (await api.get("/readyz")).status == 200
        assert server.fault is None
    await server.stop()
    assert not path.exists()


async def test_a_socket_whose_link_or_shelter_was_removed_is_bound_again(
    served: Made, tmp_path: Path
) -> None:
    server, api = served
    tmp_path.chmod(0o777)
    for lost in ("luad.sock", ".luad-socket/luad.sock", "luad.sock"):
        (tmp_path / lost).unlink()
        news = await server.look_after_socket()
        assert news is not None
        assert news.event == "api.socket_restored"
        assert (tmp_path / "luad.sock").is_symlink()
        assert (await api.get("/readyz")).status == 200


async def test_another_program_that_answers_is_left_alone_and_told_once(
    served: Made, tmp_path: Path
) -> None:
    server, api = served
    path = tmp_path / "luad.sock"
    path.unlink()
    with socket.socket(socket.AF_UNIX) as other:
        other.bind(str(path))
        other.listen()
        news = await server.look_after_socket()
        assert news is not None
        assert (news.level, news.event) == ("error", "api.socket_lost")
        assert server.fault is not None
        assert "another program answers" in server.fault
        assert await server.look_after_socket() is None, "it is told once"
    news = await server.look_after_socket()
    assert news is not None
    assert news.event == "api.socket_restored"
    assert server.fault is None
    assert (await api.get("/readyz")).status == 200


async def test_a_socket_of_systemd_is_not_bound_again_but_told(daemon: Any, tmp_path: Path) -> None:
    path = tmp_path / "given.sock"
    sock = socket.socket(socket.AF_UNIX)
    sock.bind(str(path))
    sock.listen()
    sock.setblocking(False)
    given = unix_socket.Listener(sock, identity=socket_folder.identity(path), passed=path)
    server = ApiServer(daemon, None, inherited=given)
    await server.start()
    assert await server.look_after_socket() is None
    path.unlink()
    news = await server.look_after_socket()
    assert news is not None
    assert (news.level, news.event) == ("error", "api.socket_lost")
    assert server.fault is not None
    assert "systemctl restart luad.socket" in server.fault
    assert not path.exists()
    await server.stop()
