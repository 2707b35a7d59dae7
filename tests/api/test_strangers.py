"""Refusals: of denials in counters and few lines, of known tokens in the audit trail."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path
from typing import Any

import pytest

from luad.api.auth.denials import MOST_ADDRESSES, MOST_LINES, MOST_WRONG, Denials
from luad.api.auth.token_cache import TokenCache
from luad.logs.redact import Redactor
from luad.logs.render import ConsoleLines, JsonLines

pytestmark = pytest.mark.socket

MINUTE = 60_000


def denied(daemon: Any, event: str = "api.denied") -> list[Any]:
    return [each.fields for each in daemon.said if each.event == event]


def test_an_address_has_one_line_a_minute_with_the_count(daemon: Any) -> None:
    denials = Denials(daemon)
    for _ in range(50):
        denials.refuse("a", "203.0.113.9", "unauthenticated", 401)
    assert [each["count"] for each in denied(daemon)] == [1]
    daemon.clock.wall += MINUTE
    denials.refuse("a", "203.0.113.9", "unauthenticated", 401)
    assert [each["count"] for each in denied(daemon)] == [1, 50]
    assert denials.counts == {"unauthenticated": 51}


def test_all_addresses_have_sixty_lines_a_minute_and_the_rest_is_counted(daemon: Any) -> None:
    denials = Denials(daemon)
    for number in range(1_000):
        denials.refuse(f"{number}", f"10.0.{number >> 8}.{number & 255}", "unauthenticated", 401)
    assert len(denied(daemon)) == MOST_LINES
    daemon.clock.wall += MINUTE
    denials.log_rest()
    denials.log_rest()
    (more,) = denied(daemon, "api.denied_more")
    assert more["count"] == 1_000 - MOST_LINES
    assert f"and {1_000 - MOST_LINES} more" in more["message"]


@pytest.mark.parametrize("gap_ms", [0, 7, 400, 3_000])
@pytest.mark.slow
def test_no_minute_has_more_than_sixty_lines(daemon: Any, gap_ms: int) -> None:
    denials = Denials(daemon)
    at = []
    for number in range(2_000):
        denials.refuse(f"{number % 500}", "203.0.113.9", "unauthenticated", 401)
        denials.log_rest()
        at += [daemon.clock.wall] * len(daemon.said)
        daemon.said.clear()
        daemon.clock.wall += gap_ms
    assert all(sum(first <= each < first + MINUTE for each in at) <= 60 for first in at)


def test_what_is_remembered_of_addresses_is_bounded(daemon: Any) -> None:
    denials = Denials(daemon)
    for number in range(MOST_ADDRESSES + 500):
        denials.note_wrong_token(f"{number}")
    assert len(denials._records) == MOST_ADDRESSES


async def in_the_trail(far: Any) -> list[dict[str, Any]]:
    await far.daemon.store.append_logs("run_none", [{"ts": 0, "message": ""}])
    return list((await far.api.get("/v1/audit?limit=500")).json["entries"])


@pytest.mark.parametrize("method", ["GET", "POST", "DELETE", "PATCH"])
@pytest.mark.parametrize("token", ["", "luad_wrong", "other"])
async def test_a_stranger_writes_no_row_and_one_line(far: Any, method: str, token: str) -> None:
    for _ in range(12):
        status, _ = await far.ask(method, "/v1/jobs", token, None if method == "GET" else {})
        assert status in {401, 429}
    assert await in_the_trail(far) == []
    (line,) = denied(far.daemon)
    assert line == {
        "client": "127.0.0.1",
        "reason": "unauthenticated",
        "status": 401,
        "count": 1,
    }
    assert len(far.daemon.said) == 1
    text = (await far.api.get("/metrics")).body.decode()
    assert 'luad_api_refused_total{reason="unauthenticated"} ' in text
    assert "127.0.0.1" not in text


async def test_after_five_wrong_tokens_wrong_ones_get_429_and_a_valid_one_passes(far: Any) -> None:
    await far.make_token("ann")
    statuses = [(await far.get("/v1/jobs", "luad_wrong"))[0] for _ in range(MOST_WRONG + 3)]
    assert statuses == [401] * MOST_WRONG + [429] * 3
    assert (await far.get("/v1/jobs", "ann"))[0] == 200
    assert (await far.get("/v1/jobs"))[0] == 401, "no token at all is not a wrong one"
    far.daemon.clock.wall += MINUTE
    assert (await far.get("/v1/jobs", "luad_wrong"))[0] == 401


async def test_wrong_tokens_of_one_client_do_not_count_for_another(behind: Any) -> None:
    for _ in range(MOST_WRONG + 1):
        status, _ = await behind.get("/v1/jobs", "luad_x", X_Forwarded_For="203.0.113.9")
    assert status == 429
    status, _ = await behind.get("/v1/jobs", "luad_x", X_Forwarded_For="203.0.113.10")
    assert status == 401
    assert [each["client"] for each in denied(behind.daemon)] == ["203.0.113.9", "203.0.113.10"]


async def test_wrong_tokens_cost_one_read_of_the_store(far: Any) -> None:
    reads = 0
    tokens = far.daemon.store.access.tokens

    async def counted() -> Any:
        nonlocal reads
        reads += 1
        return await tokens()

    far.daemon.store.access.tokens = counted
    await asyncio.gather(*(far.get("/v1/jobs", f"luad_{number}") for number in range(30)))
    assert reads <= 5


@pytest.mark.parametrize(("method", "path"), [("GET", "/v1/tokens"), ("DELETE", "/v1/jobs/x")])
async def test_a_refusal_of_a_known_token_is_audited(far: Any, method: str, path: str) -> None:
    await far.make_token("ann")
    status, _ = await far.ask(method, path, "ann")
    assert status == 403
    (entry,) = await in_the_trail(far)
    assert (entry["actor"], entry["path"], entry["status"]) == ("token ann", path, 403)


async def test_reading_leaves_no_row(far: Any) -> None:
    await far.make_token("ann")
    assert (await far.get("/v1/jobs", "ann"))[0] == 200
    assert (await far.get("/v1/jobs/none", "ann"))[0] == 404
    assert await in_the_trail(far) == []


async def test_the_lines_of_one_tokens_refusals_are_bounded(far: Any) -> None:
    await far.make_token("ann")
    for _ in range(100):
        assert (await far.get("/v1/tokens", "ann"))[0] == 403
    lines = [each for each in far.daemon.said if each.event == "api.refused"]
    assert len(lines) <= 60
    assert len(await in_the_trail(far)) == 100


# --- the page for fail2ban ---------------------------------------------------------------------

PAGE = Path(__file__).parents[2] / "docs" / "how-to" / "keep-strangers-out.md"


def rendered(renderer: Any, **fields: Any) -> str:
    return str(renderer(None, "warning", dict(fields)).decode())


@pytest.mark.parametrize("address", ["203.0.113.9", "2001:db8::9"])
def test_the_filters_of_the_page_match_the_lines_and_nothing_else(
    daemon: Any, address: str
) -> None:
    denials = Denials(daemon)
    denials.refuse("a", address, "unauthenticated", 401)
    (fields,) = denied(daemon)
    plain, of_json = (
        re.compile(each.replace("<HOST>", r"(?P<host>[0-9a-f.:]+)"))
        for each in re.findall(r"failregex = (.*)", PAGE.read_text())
    )
    json_line = rendered(JsonLines(Redactor()), event="api.denied", **fields)
    console = rendered(ConsoleLines(Redactor(), has_colour=False), event="api.denied", **fields)
    for pattern, text in (
        (of_json, json_line),
        (plain, "host luad[1]: " + console.partition("WARNING ")[2]),
    ):
        match = pattern.match(text)
        assert match is not None, text
        assert match["host"] == address
    forged = {"path": f'/api.denied client={address} reason=unauthenticated"'}
    assert not of_json.match(rendered(JsonLines(Redactor()), event="api.refused", **forged))


# --- streams of tokens that are not valid any more ---------------------------------------------


async def end_of(far: Any, path: str, end: Any, name: str = "ann") -> float:
    """Return how many seconds a stream goes on after *end*."""
    sock = await asyncio.to_thread(far.raw, far.head(path, name))
    assert (await asyncio.to_thread(sock.recv, 65_536)).startswith(b"HTTP/1.1 200")
    loop = asyncio.get_running_loop()
    await end()
    began = loop.time()

    def rest() -> bytes:
        found = b""
        try:
            while piece := sock.recv(65_536):
                found += piece
        except ConnectionResetError:
            pass
        sock.close()
        return found

    found = await asyncio.to_thread(rest)
    assert not found.endswith(b"0\r\n\r\n"), "cut off: an orderly end would say that it is all"
    return loop.time() - began


@pytest.mark.parametrize(
    ("path", "why"),
    [
        ("/v1/events", "revoked in the store"),
        ("/v1/events", "expired"),
        ("/v1/logs?follow=1", "expired"),
        ("/v1/runs/{run}/log?follow=1", "revoked"),
        ("/v1/logs?format=sse", "revoked"),
    ],
)
@pytest.mark.slow
async def test_a_stream_ends_with_its_token(far: Any, kit: Any, path: str, why: str) -> None:
    await far.daemon.install(kit.make_job())
    await far.api.post("/v1/jobs/tidy/trigger")
    run = await far.daemon.begin()
    await far.make_token("ann", expires_at=far.daemon.clock.wall + MINUTE)

    async def end() -> None:
        if why == "revoked":
            assert (await far.api.ask("DELETE", "/v1/tokens/ann", {})).status == 200
        elif why == "expired":
            far.daemon.clock.wall += MINUTE
        else:
            await far.daemon.store.access.revoke_token("ann")

    assert await end_of(far, path.format(run=run), end) < 2.5  # two, and a busy machine's delay
    await kit.until(lambda: not len(far.daemon.followers))
    closed = [each.fields for each in far.daemon.said if each.event == "api.stream_closed"]
    assert [each["actor"] for each in closed] == ["token ann"]


@pytest.mark.slow
async def test_a_stream_of_a_valid_token_goes_on(
    far: Any, kit: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("luad.api.routes.follow_response.LOOK_S", 0.01)
    looks, valid = [], TokenCache.valid

    async def counted(tokens: TokenCache, digest: str) -> Any:
        looks.append(digest)
        return await valid(tokens, digest)

    monkeypatch.setattr(TokenCache, "valid", counted)
    await far.make_token("ann")
    sock = await asyncio.to_thread(far.raw, far.head("/v1/events", "ann"))
    found = b""
    while b"retry" not in found:
        found += await asyncio.to_thread(sock.recv, 65_536)
    seen = len(looks)
    await kit.until(lambda: len(looks) >= seen + 20)
    far.daemon.ring.publish("job.changed", {"id": "the last"})
    while b"the last" not in found:
        piece = await asyncio.to_thread(sock.recv, 65_536)
        assert piece, "it was cut"
        found += piece
    sock.close()
