"""Tokens: none lasts longer than its creator's, rotation, and revoking what a token made."""

from __future__ import annotations

from typing import Any

import pytest

HOUR = 3_600_000
DAY = 24 * HOUR


async def expiry(far: Any, name: str) -> int | None:
    found = {each.name: each for each in await far.daemon.store.access.tokens()}
    expires_at: int | None = found[name].expires_at
    return expires_at


@pytest.mark.parametrize(("asked", "given"), [(None, DAY), ("30d", DAY), ("1h", HOUR)])
async def test_a_token_never_lasts_longer_than_its_creators(
    far: Any, asked: str | None, given: int
) -> None:
    now = far.daemon.clock.wall
    await far.make_token("ann", "admin", expires_at=now + DAY)
    body = {"name": "kid", "role": "admin"} | ({"expires_in": asked} if asked else {})
    status, made = await far.ask("POST", "/v1/tokens", "ann", body)
    assert (status, await expiry(far, "kid")) == (201, now + given)
    assert ("message" in made) is (given == DAY)
    far.secrets["kid"] = made["token"]
    status, _ = await far.ask("POST", "/v1/tokens", "kid", {"name": "grandkid"})
    assert (status, await expiry(far, "grandkid")) == (201, now + given)


async def test_the_socket_may_make_a_token_without_an_end(far: Any) -> None:
    assert (await far.api.post("/v1/tokens", {"name": "free"})).status == 201
    assert await expiry(far, "free") is None


async def test_a_rotated_token_keeps_role_creator_and_expiry(far: Any) -> None:
    now = far.daemon.clock.wall
    old = await far.make_token("ann", "operator", expires_at=now + DAY, created_by="bob")
    answer = (await far.api.post("/v1/tokens/ann/rotate", {"overlap": "1h"})).json
    assert (answer["role"], answer["created_by"]) == ("operator", "bob")
    assert await expiry(far, "ann") == now + DAY
    far.secrets["new"] = answer["token"]
    assert answer["token"] != old
    for name in ("ann", "new"):
        assert (await far.get("/v1/jobs", name))[0] == 200, name
        assert (await far.ask("POST", "/v1/jobs/x/trigger", name, {}))[0] == 404, name
    far.daemon.clock.wall += HOUR
    assert (await far.get("/v1/jobs", "ann"))[0] == 401
    assert (await far.get("/v1/jobs", "new"))[0] == 200
    far.daemon.clock.wall += DAY
    assert (await far.get("/v1/jobs", "new"))[0] == 401


async def test_without_an_overlap_the_secret_before_ends_at_once(far: Any) -> None:
    await far.make_token("ann")
    assert (await far.get("/v1/jobs", "ann"))[0] == 200
    answer = (await far.api.post("/v1/tokens/ann/rotate")).json
    assert answer["overlap_until"] is None
    assert (await far.get("/v1/jobs", "ann"))[0] == 401
    assert (await far.get("/v1/jobs", answer["token"]))[0] == 200


async def test_the_overlap_never_outlives_the_old_expiry(far: Any) -> None:
    now = far.daemon.clock.wall
    await far.make_token("ann", expires_at=now + HOUR)
    body = {"overlap": "30d", "expires_in": "60d"}
    answer = (await far.api.post("/v1/tokens/ann/rotate", body)).json
    assert answer["overlap_until"] == "2026-11-22T13:00:00Z"
    assert await expiry(far, "ann") == now + 60 * DAY, "the socket may give a later expiry"
    far.daemon.clock.wall += HOUR
    assert (await far.get("/v1/jobs", "ann"))[0] == 401
    assert (await far.get("/v1/jobs", answer["token"]))[0] == 200


async def test_a_second_rotation_ends_the_first_secret(far: Any) -> None:
    await far.make_token("ann")
    second = (await far.api.post("/v1/tokens/ann/rotate", {"overlap": "1d"})).json["token"]
    third = (await far.api.post("/v1/tokens/ann/rotate", {"overlap": "1d"})).json["token"]
    statuses = [(await far.get("/v1/jobs", each))[0] for each in ("ann", second, third)]
    assert statuses == [401, 200, 200]


@pytest.mark.parametrize("overlap", [{}, {"overlap": "1d"}])
async def test_revoking_ends_both_secrets(far: Any, overlap: dict[str, str]) -> None:
    await far.make_token("ann")
    new = (await far.api.post("/v1/tokens/ann/rotate", overlap)).json["token"]
    assert (await far.api.ask("DELETE", "/v1/tokens/ann", {})).status == 200
    assert [(await far.get("/v1/jobs", each))[0] for each in ("ann", new)] == [401, 401]


async def test_over_tcp_only_another_admin_rotates_and_nothing_lasts_longer(far: Any) -> None:
    now = far.daemon.clock.wall
    await far.make_token("ann", "admin")
    await far.make_token("soon", "admin", expires_at=now + HOUR)
    await far.make_token("ops", "operator")
    await far.make_token("ci", "viewer", expires_at=now + DAY)
    rotate = "/v1/tokens/{}/rotate".format
    refused = [
        ("ann", "ann", {}),  # itself
        ("ops", "ci", {}),  # no admin
        ("ann", "ci", {"expires_in": "2d"}),  # a later expiry
        ("soon", "ci", {}),  # would last longer than the token that gets its secret
        ("soon", "ann", {}),
    ]
    for who, whose, body in refused:
        status, answer = await far.ask("POST", rotate(whose), who, body)
        assert (status, answer["code"]) == (403, "forbidden"), (who, whose)
    assert (await far.ask("POST", rotate("ci"), "ann", {"overlap": "1h"}))[0] == 200
    assert (await far.ask("POST", rotate("ci"), "ann", {"expires_in": "2h"}))[0] == 200
    assert await expiry(far, "ci") == now + 2 * HOUR
    assert (await far.ask("POST", rotate("soon"), "ann", {}))[0] == 200


async def test_a_token_that_has_expired_is_not_rotated(far: Any) -> None:
    await far.make_token("ann", expires_at=far.daemon.clock.wall - 1)
    assert (await far.api.post("/v1/tokens/ann/rotate")).status == 409
    assert (await far.api.post("/v1/tokens/none/rotate")).status == 404
    assert (await far.api.ask("DELETE", "/v1/tokens/none", {})).status == 404


async def test_revoking_names_what_the_token_made_and_revokes_it_if_asked(far: Any) -> None:
    far.secrets["root"] = await far.make_token("root", "admin")
    for maker, name in (("root", "a"), ("a", "b"), ("root", "c")):
        _, made = await far.ask("POST", "/v1/tokens", maker, {"name": name, "role": "admin"})
        far.secrets[name] = made["token"]
    await far.make_token("other")
    answer = (await far.api.ask("DELETE", "/v1/tokens/a", {})).json
    assert (answer["revoked"], answer["made"]) == (["a"], ["b"])
    assert (await far.get("/v1/jobs", "b"))[0] == 200
    answer = (await far.api.ask("DELETE", "/v1/tokens/root", {"made": True})).json
    assert (answer["revoked"], answer["made"]) == (["root", "c"], [])
    tokens = (await far.api.get("/v1/tokens")).json["tokens"]
    assert [each["name"] for each in tokens] == ["b", "other"]


async def test_the_last_use_is_shown(far: Any) -> None:
    await far.make_token("ann")
    assert (await far.get("/v1/jobs", "ann"))[0] == 200
    await far.daemon.store.append_logs("run_none", [{"ts": 0, "message": ""}])
    (token,) = (await far.api.get("/v1/tokens")).json["tokens"]
    assert token["last_used_at"] == "2026-11-22T12:00:00Z"


async def test_a_later_token_of_the_same_name_gets_no_answer_of_the_earlier_one(far: Any) -> None:
    body = {"name": "x", "handler": "plain:run", "schedule": {"type": "interval", "seconds": 60}}
    again = {"Idempotency_Key": '"k"'}
    await far.make_token("ann", "admin")
    first = await far.ask("POST", "/v1/jobs", "ann", body, **again)
    assert first[0] == 201, first
    assert await far.ask("POST", "/v1/jobs", "ann", body, **again) == first
    await far.api.ask("DELETE", "/v1/tokens/ann", {})
    far.daemon.clock.wall += 1
    await far.make_token("ann", "admin")
    status, answer = await far.ask("POST", "/v1/jobs", "ann", body, **again)
    assert (status, answer["code"]) == (409, "name_taken")
