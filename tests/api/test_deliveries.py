"""Deliveries of all users, the last one of each channel, and messages that are sent again."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from typing import Any

import pytest
from support.long_history import counted

from luad.core.messaging import Message
from luad.messenger.sender import Outcome

CHANNELS = [
    {"type": "inbox"},
    {"type": "webhook", "name": "hook", "url": "https://example.com/x"},
]


@pytest.fixture
async def ann(daemon: Any) -> None:
    await daemon.users.add({"id": "ann", "channels": CHANNELS}, if_exists="error")


async def send(api: Any, text: str = "hello") -> str:
    answer = await api.post("/v1/users/ann/send", {"messages": [text], "title": text})
    return str(answer.json["deliveries"][0]["message_id"])


@pytest.mark.usefixtures("ann")
async def test_deliveries_are_listed_newest_first_and_filtered(api: Any, daemon: Any) -> None:
    first = await send(api, "one")
    daemon.clock.wall += 3_600_000
    second = await send(api, "two")
    found = (await api.get("/v1/deliveries")).json
    assert [each["message_id"] for each in found["deliveries"]] == [second, second, first, first]
    assert (found["is_complete"], found["next_cursor"]) == (True, None)
    for query, count in (
        ("status=failed", 2),
        ("status=delivered,failed", 4),
        ("status=failed&since=30m", 1),
        ("channel=hook", 2),
        ("channel=inbox&status=failed", 0),
        ("user=bob", 0),
    ):
        assert len((await api.get(f"/v1/deliveries?{query}")).json["deliveries"]) == count, query
    (lost, _) = (await api.get("/v1/deliveries?status=failed")).json["deliveries"]
    assert (lost["title"], lost["channel"], lost["ok"]) == ("two", "hook", False)
    pages, path = [], "/v1/deliveries?limit=3"
    while path:
        answer = await api.get(path)
        pages += [(each["message_id"], each["channel"]) for each in answer.json["deliveries"]]
        link = answer.headers.get("link", "")
        path = link[1 : link.index(">")] if answer.json["next_cursor"] else ""
    assert len(set(pages)) == len(pages) == 4
    assert (await api.get("/v1/deliveries?cursor=WzEsMl0")).status == 422


@pytest.mark.usefixtures("ann")
async def test_a_user_shows_the_last_delivery_of_each_channel(api: Any) -> None:
    channels = (await api.get("/v1/users/ann")).json["channels"]
    assert [each["last_delivery"] for each in channels] == [None, None]
    await send(api, "one")
    last = await send(api, "two")
    inbox, hook = (await api.get("/v1/users/ann")).json["channels"]
    assert (inbox["last_delivery"]["message_id"], inbox["last_delivery"]["ok"]) == (last, True)
    assert (hook["last_delivery"]["ok"], hook["last_delivery"]["error"]) == (
        False,
        "hook leads nowhere for ann",
    )


@pytest.mark.usefixtures("ann")
async def test_a_page_of_users_has_the_last_delivery_of_each_channel(api: Any, daemon: Any) -> None:
    for number in range(4):
        body = {"id": f"bob-{number}", "channels": CHANNELS}
        await daemon.users.add(body, if_exists="error")
    last = await send(api)
    path, found = "/v1/users?last_delivery=1&limit=2", []
    while path:
        answer = await api.get(path)
        found += answer.json["users"]
        assert len(answer.json["users"]) <= 2
        link = answer.headers.get("link", "")
        path = link[1 : link.index(">")] if answer.json["next_cursor"] else ""
    assert [each["id"] for each in found] == ["ann", "bob-0", "bob-1", "bob-2", "bob-3"]
    one = (await api.get("/v1/users/ann")).json
    assert found[0]["channels"] == one["channels"]
    assert one["channels"][0]["last_delivery"]["message_id"] == last
    assert found[1]["channels"][0]["last_delivery"] is None
    every = (await api.get("/v1/users")).json
    assert (len(every["users"]), every["next_cursor"]) == (5, None)
    assert "last_delivery" not in every["users"][0]["channels"][0]
    for wrong in ("last_delivery=1&limit=101", "cursor=WzFd", "cursor=x", "last_delivery=maybe"):
        assert (await api.get(f"/v1/users?{wrong}")).status == 422, wrong


@pytest.mark.usefixtures("ann")
async def test_a_page_of_users_costs_the_same_with_many_more_messages(
    api: Any, daemon: Any
) -> None:
    costs = []
    for count in (60, 600):
        for number in range(count):
            at = daemon.clock.wall + number
            message = Message(f"msg_{count}_{number}", "ann", at, ({"text": "x"},))
            await daemon.store.messages.begin([message], {message.id: ["inbox"]}, at)
        with counted(daemon.store) as steps:
            await api.get("/v1/users?last_delivery=1")
        costs.append(steps.count)
    assert costs[1] < 1.2 * costs[0] + 500


@pytest.mark.usefixtures("ann")
async def test_a_message_is_sent_again_only_where_it_has_not_arrived(
    far: Any, daemon: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    await far.make_token("op", "operator")
    await far.make_token("eve", "viewer")
    message_id = await send(far.api)
    path = f"/v1/messages/{message_id}/resend"
    sent: list[str] = []

    async def deliver(_: Message, channel: Any) -> Outcome:
        sent.append(channel.name)
        return Outcome()

    monkeypatch.setattr(daemon.delivery._sender, "deliver", deliver)
    assert (await far.ask("POST", path, "eve", {}))[0] == 403
    assert sent == []
    status, answer = await far.ask("POST", path, "op", {})
    assert status == 200
    states = {each["channel"]: each["status"] for each in answer["deliveries"]}
    assert (states, sent) == ({"inbox": "repeated", "hook": "delivered"}, ["hook"])
    found = (await far.api.get("/v1/deliveries")).json["deliveries"]
    assert {each["channel"]: each["status"] for each in found} == {
        "inbox": "delivered",
        "hook": "delivered",
    }
    await far.ask("POST", path, "op", {})
    assert sent == ["hook"], "it has arrived everywhere"
    assert (await far.ask("POST", "/v1/messages/msg_none/resend", "op", {}))[0] == 404


async def test_a_page_of_many_deliveries_costs_what_it_returns(
    api: Any, daemon: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    with closing(sqlite3.connect(daemon.store.path)) as connection, connection:
        connection.execute(
            "WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i < 99999)"
            " INSERT INTO messages (id, user_id, at, kind, title, parts_json, priority)"
            " SELECT printf('msg_%06d', i), 'ann', i, 'send', '', '[]', 'normal' FROM n"
        )
        connection.execute(
            "INSERT INTO deliveries (message_id, channel, state, started_at, error, answer, is_degraded)"
            " SELECT id, 'hook', CASE at % 10000 WHEN 7 THEN 'failed' ELSE 'delivered' END, at, '', '', 0"
            " FROM messages"
        )
    for query, count in (("", 50), ("?status=failed", 10)):
        with counted(daemon.store) as steps:
            found = (await api.get(f"/v1/deliveries{query}")).json
        assert (len(found["deliveries"]), found["is_complete"]) == (count, True)
        assert steps.count < 10_000
    monkeypatch.setattr("luad.store.query_budget.BUDGET_MS", 0)
    with counted(daemon.store) as steps:
        found = (await api.get("/v1/deliveries?channel=none")).json
    assert (found["deliveries"], found["is_complete"]) == ([], False)
    assert steps.count < 20_000
