"""Hostile bytes on a connection: garbage, giants, snails and hordes."""

from __future__ import annotations

import asyncio
import json
import logging
import re
import socket
from base64 import urlsafe_b64encode
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from luad.api.server import ApiServer
from luad.api.transport.connection import HARD_MAX_CONNECTIONS, MAX_CONNECTIONS, Timeouts
from luad.core.events import Reply

pytestmark = pytest.mark.socket

HURRY = Timeouts(idle_s=0.15, receive_s=0.1, stall_s=0.2, grace_s=0)


@pytest.fixture
async def hasty(daemon: Any, kit: Any, tmp_path: Path) -> AsyncIterator[Any]:
    server = ApiServer(daemon, tmp_path / "luad.sock", timeouts=HURRY)
    await server.start()
    api = kit.Api(tmp_path / "luad.sock", server, daemon)
    yield api
    for connection in api.open:
        connection.close()
    await server.stop()


def status_of(answer: bytes) -> int:
    return int(answer.split(b" ", 2)[1])


GET = b"GET /readyz HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n"

# --- garbage -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (b"\r\n\r\n\x00\x01\x02\r\n\r\n", 400),
        (b"hello\r\n\r\n", 400),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\n" * 9, 400),  # somebody speaks TLS
        (b"GET /readyz HTTP/1.1\r\n\r\n", 400),  # no host
        (b"GET /readyz HTTP/1.1\r\nhost: x\r\nbad header\r\n\r\n", 400),
        (b"GET /readyz HTTP/1.1\r\nhost: x\r\ncontent-length: -1\r\n\r\n", 400),
        (b"POST /v1/config/reload HTTP/1.1\r\nhost: x\r\ncontent-length: 9z\r\n\r\n", 400),
        (b"GET /v1/jobs/\xff HTTP/1.1\r\nhost: x\r\n\r\n", 400),
        (b"GET /" + b"a" * 20_000 + b" HTTP/1.1\r\nhost: x\r\n\r\n", 431),
        (b"GET /" + b"a" * 300_000 + b" HTTP/1.1\r\nhost: x\r\n\r\n", 431),
        (b"GET / HTTP/1.1\r\nhost: x\r\n" + b"x-filler: " + b"y" * 20_000, 431),
        (
            b"GET /readyz HTTP/1.1\r\nhost: x\r\nconnection: close\r\norigin: https://evil\r\n\r\n",
            403,
        ),
    ],
)
async def test_what_cannot_be_understood_gets_a_problem_document(
    api: Any, data: bytes, status: int
) -> None:
    answer = await api.exchange(data)
    assert status_of(answer) == status
    assert b"application/problem+json" in answer
    assert (await api.get("/readyz")).status == 200


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "/v1",
        "/v1/",
        "/v1/jobs/",
        "/v1/jobs/..%2f..%2fetc%2fpasswd",
        "/v1/jobs/%2e%2e/x",
        "/../../etc/passwd",
        "/v1/jobs/%ff%fe",
        "/v1/jobs/%00",
        "/v1/runs/%E2%80%AE",
        "//v1/jobs",
        "/v1/jobs/a/b/c",
        "/V1/JOBS",
        "/v1/jobs/%1b%5b31mred",
        "/v1/jobs/" + "x" * 5000,
    ],
)
async def test_paths_that_lead_nowhere(api: Any, path: str) -> None:
    request = f"GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n"
    answer = await api.exchange(request.encode())
    head, _, body = answer.partition(b"\r\n\r\n")
    assert status_of(answer) == 404
    assert b"application/problem+json" in head
    assert b"\x1b" not in body
    assert len(body) < 2000


async def test_a_wrong_method_names_the_right_one(api: Any) -> None:
    answer = await api.ask("DELETE", "/v1/jobs")
    assert (answer.status, answer.json["code"]) == (405, "method_not_allowed")
    assert set(answer.headers["allow"].split(", ")) == {"GET", "HEAD"}
    answer = await api.get("/v1/config/reload")
    assert (answer.status, answer.headers["allow"]) == (405, "POST")


async def test_a_path_that_is_nearly_right(api: Any) -> None:
    assert "`/v1/jobs`" in (await api.get("/v1/jbos")).json["hint"]
    assert "/v1/" in (await api.get("/jobs")).json["hint"]


@pytest.mark.parametrize(
    "place", [[10**30, "a"], [10**400, "a"], [True, "a"], ["a", 1], [None], {}, [1.5, "a"]]
)
@pytest.mark.parametrize("path", ["/v1/jobs", "/v1/runs", "/v1/audit", "/v1/users/ann/messages"])
async def test_a_forged_cursor_is_refused(api: Any, path: str, place: Any) -> None:
    assert (await api.post("/v1/users", {"id": "ann"})).status == 201
    cursor = urlsafe_b64encode(json.dumps(place).encode()).decode().rstrip("=")
    answer = await api.get(f"{path}?cursor={cursor}")
    # The order of jobs may be by a word or by a number; that of rows is by an instant and an id.
    assert answer.status in ({200, 422} if path == "/v1/jobs" else {422})


async def test_head_has_the_headers_only(api: Any, daemon: Any, kit: Any) -> None:
    await daemon.install(kit.make_job())
    answer = await api.ask("HEAD", "/v1/jobs")
    assert (answer.status, answer.body) == (200, b"")
    assert int(answer.headers["content-length"]) > 100
    answer = await api.ask("HEAD", "/v1/logs?follow=1")
    assert (answer.status, answer.body) == (200, b"")


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(
        st.one_of(
            st.binary(max_size=40),
            st.sampled_from([b"GET ", b"/v1/jobs", b" HTTP/1.1\r\n", b"host: x\r\n", b"\r\n"]),
            st.sampled_from(
                [b"POST /v1/config/reload", b"transfer-encoding: chunked\r\n", b"5\r\n"]
            ),
            st.sampled_from(
                [b"content-length: 3\r\n", b"expect: 100-continue\r\n", b"\x00", b"\n"]
            ),
        ),
        max_size=12,
    )
)
@pytest.mark.slow
async def test_no_bytes_hurt(hasty: Any, pieces: list[bytes]) -> None:
    sock = hasty.raw()

    def talk() -> None:
        sock.sendall(b"".join(pieces))
        sock.shutdown(socket.SHUT_WR)
        while sock.recv(65536):
            pass

    await asyncio.to_thread(talk)
    hasty.open.clear()
    sock.close()
    assert (await hasty.get("/readyz")).status == 200
    failures = [each for each in hasty.daemon.said if each.event == "api.failed"]
    assert failures == []


# --- giants ------------------------------------------------------------------------------------


async def test_a_body_that_is_too_large_is_refused_with_a_reason(
    api: Any, daemon: Any, kit: Any
) -> None:
    await daemon.install(kit.make_job())
    body = b'{"reason": "' + b"x" * 1_000_000 + b'"}'
    path = "/v1/jobs/tidy/deactivate"
    answer = await api.ask("POST", path, body, Content_Type="application/json")
    assert (answer.status, answer.json["code"]) == (413, "too_large")
    assert daemon.job("tidy").pause is None


@pytest.mark.slow
async def test_an_endless_body_is_cut_off(api: Any) -> None:
    sock = api.raw()
    head = b"POST /v1/config/reload HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n"
    chunk = b"10000\r\n" + b"x" * 65536 + b"\r\n"

    def flood() -> tuple[int, bytes]:
        sent = 0
        try:
            sock.sendall(head)
            for _ in range(1000):
                sock.sendall(chunk)
                sent += len(chunk)
        except OSError:
            pass
        return sent, sock.recv(65536)

    sent, answer = await asyncio.to_thread(flood)
    assert sent < 20_000_000
    assert status_of(answer) == 413
    assert (await api.get("/readyz")).status == 200


async def test_a_get_with_a_body_is_refused(api: Any) -> None:
    # In one piece: the server hangs up after the head, and a client that still writes would notice.
    answer = await api.exchange(
        b"GET /v1/jobs HTTP/1.1\r\nhost: luad\r\ncontent-length: 2\r\n\r\n{}"
    )
    assert answer.startswith(b"HTTP/1.1 400 ")
    assert b'"bad_request"' in answer


# --- snails ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "data",
    [
        b"GET /rea",
        b"GET /readyz HTTP/1.1\r\nhost: x\r\n",
        b"POST /v1/config/reload HTTP/1.1\r\nhost: x\r\ncontent-length: 10\r\n\r\n{",
        b"POST /v1/none HTTP/1.1\r\nhost: x\r\ncontent-length: 10\r\n\r\n{",
    ],
)
async def test_a_request_that_does_not_come_to_its_end(hasty: Any, data: bytes) -> None:
    answer = await hasty.exchange(data)
    assert status_of(answer) in {404, 408}
    assert hasty.daemon.reloaded == []


async def test_a_byte_now_and_then_grants_no_more_time(hasty: Any) -> None:
    sock = hasty.raw()

    def trickle() -> bytes:
        sock.settimeout(0.02)
        for byte in GET.replace(b"host", b"x-" + b"y" * 2000):
            try:
                sock.sendall(bytes([byte]))
                return sock.recv(65536)
            except TimeoutError:
                continue
            except OSError:
                break
        return sock.recv(65536)

    assert status_of(await asyncio.to_thread(trickle)) == 408


async def test_an_idle_connection_is_closed(hasty: Any) -> None:
    assert await hasty.exchange(b"") == b""
    assert (await hasty.exchange(GET.replace(b"close", b"keep-alive"))).count(b"HTTP/1.1") == 1
    assert hasty.server.connection_count == 0


async def test_an_answer_that_nobody_reads_is_given_up(hasty: Any, kit: Any) -> None:
    jobs = [kit.make_job(f"job-{number:03}", description="x" * 4000) for number in range(300)]
    await hasty.daemon.install(*jobs)
    sock = hasty.raw()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    sock.sendall(b"GET /v1/jobs HTTP/1.1\r\nhost: x\r\n\r\n")
    await kit.until(lambda: hasty.server.connection_count == 1)
    await kit.until(lambda: not hasty.server.connection_count)


async def test_a_stream_may_be_silent_longer_than_a_request_may_take(hasty: Any, kit: Any) -> None:
    stream = await hasty.stream("/v1/logs?follow=1")
    await hasty.exchange(b"")  # an idle connection has come and timed out meanwhile
    await hasty.exchange(b"")
    hasty.daemon.followers.publish("run_1", "tidy", [kit.line("still here")])
    assert (await stream.line())["message"] == "still here"


async def test_who_does_not_keep_up_with_events_is_told_so_and_not_hung_up_on(
    hasty: Any, kit: Any
) -> None:
    sock = hasty.raw()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    sock.sendall(b"GET /v1/events HTTP/1.1\r\nhost: x\r\n\r\n")
    ring = hasty.daemon.ring
    await kit.until(lambda: bool(ring._readers))
    (reader,) = ring._readers
    while not reader.missed:
        ring.publish("job.changed", {"id": "x" * 2_000})
        await asyncio.sleep(0)
    await hasty.exchange(b"")  # an idle connection has come and timed out meanwhile,
    await hasty.exchange(b"")  # twice: nobody waits that long for an ordinary answer to be read
    ring.publish("job.changed", {"id": "the last"})
    found = b""
    while b"the last" not in found:
        piece = await asyncio.to_thread(sock.recv, 65_536)
        assert piece, "hung up on"
        found += piece
    before, gap, after = found.partition(b"event: resync\n")
    assert gap
    *numbers, _ = [
        int(each) for each in re.findall(rb"id: boot-(\d+)", before)
    ]  # the last is its own
    assert numbers == list(range(1, len(numbers) + 1)), (
        "nothing behind the gap came before its word"
    )
    assert b"the last" in after


# --- hordes ------------------------------------------------------------------------------------


async def test_idle_connections_make_room_for_who_asks(hasty: Any) -> None:
    horde = [hasty.raw() for _ in range(3 * MAX_CONNECTIONS)]
    assert (await hasty.get("/readyz")).status == 200
    assert hasty.server.connection_count <= MAX_CONNECTIONS
    for sock in horde:
        sock.close()


async def test_more_than_can_be_answered_are_told_so(api: Any, daemon: Any, kit: Any) -> None:
    go_on = asyncio.Event()

    async def wait(event: Any) -> Reply:
        await go_on.wait()
        return Reply(event.request_id, None, "conflict", "no")

    await daemon.install(kit.make_job())
    daemon.answer_request = wait
    request = b"POST /v1/jobs/tidy/activate HTTP/1.1\r\nhost: x\r\ncontent-length: 0\r\n\r\n"
    busy = [api.raw() for _ in range(MAX_CONNECTIONS)]
    for sock in busy:
        sock.sendall(request)
    await kit.until(lambda: daemon.request_count >= MAX_CONNECTIONS)
    answer = await api.get("/readyz")
    assert (answer.status, answer.json["code"]) == (503, "overloaded")
    assert answer.headers["connection"] == "close"
    more = [api.raw() for _ in range(HARD_MAX_CONNECTIONS)]
    for sock in more:
        sock.sendall(request)
    await kit.until(lambda: daemon.request_count >= HARD_MAX_CONNECTIONS)
    assert api.server.connection_count <= HARD_MAX_CONNECTIONS
    go_on.set()
    assert status_of(await asyncio.to_thread(busy[0].recv, 65536)) == 409
    for sock in (*busy, *more):
        sock.close()


# --- and some who do mean well -----------------------------------------------------------------


async def test_requests_in_one_go_are_answered_in_order(api: Any) -> None:
    keep = GET.replace(b"connection: close\r\n", b"")
    bad = b"GET /nowhere HTTP/1.1\r\nhost: x\r\n\r\n"
    answer = await api.exchange(keep + bad + keep + GET)
    statuses = [int(part[:3]) for part in answer.split(b"HTTP/1.1 ")[1:]]
    assert statuses == [200, 404, 200, 200]


async def test_garbage_behind_a_good_request_does_not_spoil_its_answer(api: Any) -> None:
    answer = await api.exchange(GET.replace(b"connection: close\r\n", b"") + b"garbage\r\n\r\n")
    assert re.findall(rb"HTTP/1.1 (\d\d\d) ", answer) == [b"200", b"400"]


async def test_a_client_that_has_nothing_more_to_say_still_gets_its_answer(api: Any) -> None:
    sock = api.raw()

    def talk() -> bytes:
        sock.sendall(GET.replace(b"close", b"keep-alive"))
        sock.shutdown(socket.SHUT_WR)
        return sock.recv(65536)

    assert status_of(await asyncio.to_thread(talk)) == 200


async def test_expect_continue(api: Any) -> None:
    head = b"POST /v1/config/reload HTTP/1.1\r\nhost: x\r\nconnection: close\r\n"
    head += b"content-type: application/json\r\ncontent-length: 2\r\nexpect: 100-continue\r\n\r\n"
    sock = api.raw()

    def talk() -> tuple[bytes, bytes]:
        sock.sendall(head)
        first = sock.recv(65536)
        sock.sendall(b"{}")
        return first, sock.recv(65536)

    first, second = await asyncio.to_thread(talk)
    assert (status_of(first), status_of(second)) == (100, 200)


async def test_a_client_that_leaves_in_the_middle_of_an_answer(
    api: Any, daemon: Any, kit: Any, caplog: pytest.LogCaptureFixture
) -> None:
    jobs = [kit.make_job(f"job-{number:03}", description="x" * 4000) for number in range(300)]
    await daemon.install(*jobs)
    with caplog.at_level(logging.WARNING):
        for _ in range(5):
            sock = api.raw()
            sock.sendall(b"GET /v1/jobs HTTP/1.1\r\nhost: x\r\n\r\n")
            await asyncio.to_thread(sock.recv, 100)
            sock.close()
        await kit.until(lambda: not api.server.connection_count)
    assert caplog.messages == []
    assert len((await api.get("/v1/jobs")).json["jobs"]) == 300
