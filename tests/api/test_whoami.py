"""The route that says who asks."""

from __future__ import annotations

import getpass
import os
from typing import Any

import pytest


async def test_a_client_of_the_socket_is_an_admin(api: Any) -> None:
    answer = (await api.get("/v1/whoami")).json
    assert answer == {
        "name": getpass.getuser(),
        "role": "admin",
        "via": "unix",
        "uid": os.getuid(),
        "token": None,
        "expires_at": None,
        "server_time": "2026-11-22T12:00:00Z",
    }
    assert (await api.get("/v1/status")).json["server_time"] == "2026-11-22T12:00:00Z"


@pytest.mark.parametrize("role", ["viewer", "operator", "admin"])
async def test_a_client_over_tcp_has_the_role_and_the_end_of_its_token(far: Any, role: str) -> None:
    await far.make_token("ann", role, expires_at=far.daemon.clock.wall + 3_600_000)
    status, answer = await far.get("/v1/whoami", "ann")
    assert (status, answer["name"], answer["token"]) == (200, "token ann", "ann")
    assert (answer["role"], answer["via"], answer["uid"]) == (role, "tcp", None)
    assert answer["expires_at"] == "2026-11-22T13:00:00Z"


async def test_a_client_without_a_token_learns_nothing(far: Any) -> None:
    assert (await far.get("/v1/whoami"))[0] == 401
