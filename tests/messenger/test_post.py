"""The post office: rows, outcomes, order and repetition, with the real store, sender and services."""

from __future__ import annotations

import asyncio
import itertools
import os
import signal
from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from luad.config.users.user_file import LoadedUsers
from luad.core.events import AddMessage, Log
from luad.core.messaging import Channel, ChannelKind, DeliveryState, Message, User
from luad.core.model import Now
from luad.daemon.delivery import ALERT_DELAYS_S, NOT_TRIED, MessageDelivery
from luad.daemon.user_directory import UserDirectory
from luad.errors import NotFoundError
from luad.messenger.sender import Sender
from luad.store import Store
from luad.store.messages import INTERRUPTED

NOW = 1_795_348_800_000  # 2026-11-22T12:00:00Z
INBOX = Channel("inbox", ChannelKind.INBOX)
LOG = Channel("log", ChannelKind.LOG)


class HandClock:
    def now(self) -> Now:
        return Now(NOW, NOW)


class House:
    """A post office, and what it says and does."""

    def __init__(self, store: Store, sender: Sender) -> None:
        self.said: list[Log] = []
        self.outcomes: list[tuple[str, str]] = []
        self.slept: list[float] = []
        self.on_sleep: Any = lambda: None
        self.store = store
        self.directory = UserDirectory(store, HandClock())
        self.office = MessageDelivery(
            store,
            self.directory,
            sender,
            HandClock(),
            self.said.append,
            lambda kind, delivery, _: self.outcomes.append((kind, delivery.state)),
            self._sleep,
        )
        self._numbers = itertools.count(1)

    async def _sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.on_sleep()

    def reached_by(self, *channels: Channel) -> None:
        ann = User("ann", channels=channels)
        self.directory.load(LoadedUsers({"ann": ann}))

    def message(self, text: str = "hello", **fields: Any) -> Message:
        fields = {"parts": ({"type": "text", "text": text},), "user": "ann", **fields}
        return Message(f"msg_{next(self._numbers)}", at=NOW, **fields)

    async def send(self, *messages: Message) -> list[tuple[str, str, str]]:
        found = await self.office.send(messages)
        return [(each.message_id, each.channel, each.state.value) for each in found]

    async def stored(self) -> Mapping[str, Mapping[str, str]]:
        page, _ = await self.store.messages.page(user="ann")
        return {
            each.message.id: {one.channel: one.state.value for one in each.deliveries}
            for each in page
        }


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with closing(Store.open(tmp_path, clock=HandClock())) as store:
        yield store


@pytest.fixture
def house(store: Store, sender: Sender) -> House:
    return House(store, sender)


def hook(name: str, url: str, **fields: Any) -> Channel:
    return Channel(name, ChannelKind.WEBHOOK, url, **fields)


# --- one message -----------------------------------------------------------------------------------


async def test_every_channel_has_its_outcome(house: House, service: Any) -> None:
    good, bad = hook("good", f"{service.url}/ok"), hook("bad", f"{service.url}/broken")
    house.reached_by(INBOX, LOG, good, bad)
    outcomes = await house.send(house.message("hello", title="T", job_name="j"))
    assert {channel: state for _, channel, state in outcomes} == {
        "inbox": "delivered",
        "log": "delivered",
        "good": "delivered",
        "bad": "failed",
    }
    assert await house.stored() == {"msg_1": {name: state for _, name, state in outcomes}}
    lines = {line.event: line for line in house.said}
    assert lines["message"].fields == {"user": "ann", "title": "T", "text": "hello", "job": "j"}
    assert lines["message.failed"].fields["error"] == "answered 500 Internal Server Error: {}"
    assert lines["message.failed"].level == "warning"
    assert sorted(house.outcomes) == [
        ("inbox", "delivered"),
        ("log", "delivered"),
        ("webhook", "delivered"),
        ("webhook", "failed"),
    ]


async def test_somebody_without_channels_has_an_inbox(house: House) -> None:
    house.reached_by()
    assert await house.send(house.message()) == [("msg_1", "inbox", "delivered")]


async def test_a_channel_is_chosen_once_however_often_it_is_named(house: House) -> None:
    house.reached_by(INBOX, LOG)
    chosen = house.message(channels=("log", "log"))
    assert await house.send(chosen) == [("msg_1", "log", "delivered")]
    assert [line.event for line in house.said] == ["message", "message.delivered"]


async def test_nobody_and_no_such_channel_are_refused_before_anything_is_sent(
    house: House,
) -> None:
    house.reached_by(INBOX)
    with pytest.raises(NotFoundError, match="no user `anne`") as nobody:
        await house.send(house.message(user="anne"))
    assert (nobody.value.suggestions, nobody.value.hint) == (("ann",), "did you mean `ann`?")
    with pytest.raises(NotFoundError, match="no channel `inbx`") as nowhere:
        await house.send(house.message(), house.message(channels=("inbx",)))
    assert nowhere.value.suggestions == ("inbox",)
    assert await house.stored() == {}


# --- several ---------------------------------------------------------------------------------------


async def test_messages_of_one_send_keep_their_order_on_each_channel(
    house: House, service: Any, other_service: Any
) -> None:
    house.reached_by(hook("a", f"{service.url}/ok"), hook("b", f"{other_service.url}/ok"))
    await house.send(*(house.message(str(number)) for number in range(8)))
    for server in (service, other_service):
        assert [body["parts"][0]["text"] for _, _, body in server.got] == list("01234567")


async def test_after_silence_the_rest_is_not_tried(house: House, service: Any) -> None:
    house.reached_by(INBOX, hook("hook", f"{service.url}/never", timeout_ms=200))
    found = await house.office.send([house.message(), house.message(), house.message()])
    errors = [each.error for each in found if each.channel == "hook"]
    assert errors == ["no answer within 0.2 s", NOT_TRIED, NOT_TRIED]
    assert len(service.got) == 1


async def test_a_refusal_does_not_keep_the_next_one_back(house: House, service: Any) -> None:
    house.reached_by(hook("hook", f"{service.url}/broken"))
    await house.send(house.message("0"), house.message("1"))
    assert len(service.got) == 2


async def test_a_channel_that_hangs_delays_neither_others_nor_other_people(
    house: House, service: Any, other_service: Any
) -> None:
    house.reached_by(hook("slow", f"{service.url}/never"), hook("quick", f"{other_service.url}/ok"))
    under_way = asyncio.create_task(house.send(house.message()))
    await asyncio.to_thread(service.arrived.wait)
    await asyncio.to_thread(other_service.arrived.wait)
    quick_only = house.message(channels=("quick",))
    assert await house.send(quick_only) == [("msg_2", "quick", "delivered")]
    assert not under_way.done()
    service.released.set()
    assert [state for _, _, state in await under_way] == ["failed", "delivered"]


# --- again -----------------------------------------------------------------------------------------


async def test_a_retried_run_sends_only_what_has_not_arrived(
    house: House, service: Any, other_service: Any
) -> None:
    house.reached_by(hook("a", f"{service.url}/ok"), hook("b", f"{other_service.url}/ok"))
    other_service.down = {"ok"}
    first = await house.send(*(house.message(str(n), dedupe_key=f"k/{n}") for n in range(2)))
    assert [state for _, _, state in first] == ["delivered", "failed"] * 2
    other_service.down = set()
    again = await house.send(*(house.message(str(n), dedupe_key=f"k/{n}") for n in range(2)))
    assert [state for _, _, state in again] == ["repeated", "delivered"] * 2
    assert [body["parts"][0]["text"] for _, _, body in service.got] == ["0", "1"]
    keys = [body["dedupe_key"] for _, _, body in other_service.got]
    assert keys == ["k/0", "k/1", "k/0", "k/1"], "a receiver can tell as well"


async def test_a_sender_killed_on_the_way_has_failed_and_the_next_attempt_arrives(
    house: House, sender: Sender, service: Any
) -> None:
    house.reached_by(hook("hook", f"{service.url}/never"))
    under_way = asyncio.create_task(house.send(house.message(dedupe_key="k")))
    await asyncio.to_thread(service.arrived.wait)
    assert sender.pid is not None
    os.kill(sender.pid, signal.SIGKILL)
    assert await under_way == [("msg_1", "hook", "failed")]
    house.reached_by(hook("hook", f"{service.url}/ok"))
    assert await house.send(house.message(dedupe_key="k")) == [("msg_2", "hook", "delivered")]


async def test_what_was_under_way_when_luad_died_has_failed(house: House) -> None:
    house.reached_by(INBOX)
    message = house.message()
    await house.store.messages.begin([message], {message.id: ["inbox"]}, NOW)
    await house.office.start()
    ((_, (delivery,)),), _ = await house.store.messages.page(user="ann")
    assert (delivery.state.value, delivery.error) == ("failed", INTERRUPTED)
    assert [line.event for line in house.said] == ["message.interrupted"]


# --- alerts ----------------------------------------------------------------------------------------


async def test_an_alert_is_tried_again_where_it_failed_and_only_there(
    house: House, service: Any, other_service: Any
) -> None:
    house.reached_by(hook("a", f"{service.url}/ok"), hook("b", f"{other_service.url}/ok"))
    other_service.down = {"ok"}
    house.on_sleep = lambda: len(other_service.got) == 2 and other_service.down.clear()
    await house.office.deliver(house.message(kind="alert"))
    assert (len(service.got), len(other_service.got)) == (1, 3)
    assert house.slept == list(ALERT_DELAYS_S[:2])
    assert await house.stored() == {"msg_1": {"a": "delivered", "b": "delivered"}}


async def test_an_alert_that_was_under_way_when_luad_died_is_sent_again_where_it_may_not_have_arrived(
    house: House, service: Any, other_service: Any
) -> None:
    house.reached_by(hook("a", f"{service.url}/ok"), hook("b", f"{other_service.url}/ok"))
    alert = house.message(kind="alert")
    a, _ = await house.store.messages.begin([alert], {alert.id: ["a", "b"]}, NOW)
    await house.store.messages.end([replace(a, state=DeliveryState.DELIVERED, ended_at=NOW)])
    await house.office.start()
    assert (len(service.got), len(other_service.got)) == (0, 1)
    await house.office.start()
    assert len(other_service.got) == 1
    assert await house.stored() == {"msg_1": {"a": "delivered", "b": "delivered"}}


async def test_an_alert_that_was_under_way_by_a_channel_that_is_gone_has_failed_and_is_told_once(
    house: House, service: Any
) -> None:
    house.reached_by(hook("a", f"{service.url}/ok"))
    alert, only = house.message(kind="alert"), house.message(kind="alert", channels=("b",))
    for message, names in ((alert, ["a", "b"]), (only, ["b"])):
        await house.store.messages.begin([message], {message.id: names}, NOW)
    await house.office.start()
    gone = f"{INTERRUPTED}, and the user no longer has this channel"
    failed = [line.fields for line in house.said if line.event == "message.failed"]
    assert sorted((each["message_id"], each["channel"], each["error"]) for each in failed) == [
        ("msg_1", "b", gone),
        ("msg_2", "b", gone),
    ]
    assert await house.stored() == {
        "msg_1": {"a": "delivered", "b": "failed"},
        "msg_2": {"b": "failed"},
    }
    house.said.clear()
    await house.office.start()
    assert house.said == []
    assert len(service.got) == 1


async def test_an_interrupted_alert_to_somebody_who_is_not_known_for_a_while_waits_for_them(
    house: House, service: Any
) -> None:
    """As when the file about them is broken at the start."""
    house.reached_by(hook("a", f"{service.url}/ok"))
    alert = house.message(user="bob", kind="alert")
    await house.store.messages.begin([alert], {alert.id: ["a"]}, NOW)
    await house.office.start()
    assert [line.event for line in house.said] == ["message.interrupted", "message.undeliverable"]
    assert await house.store.messages.undelivered() == [alert]


async def test_an_alert_is_given_up_in_the_end(house: House, service: Any) -> None:
    house.reached_by(hook("hook", f"{service.url}/broken"))
    await house.office.deliver(house.message(kind="alert"))
    assert len(service.got) == 1 + len(ALERT_DELAYS_S)
    assert await house.stored() == {"msg_1": {"hook": "failed"}}
    assert [line.event for line in house.said] == ["message.failed"] * 4


async def test_an_alert_to_nobody_is_a_line_in_the_log(house: House) -> None:
    house.reached_by(INBOX)
    await house.office.deliver(house.message(user="bob", kind="alert"))
    (line,) = house.said
    assert (line.event, line.level, line.fields["user"]) == (
        "message.undeliverable",
        "error",
        "bob",
    )


async def test_an_alert_that_was_posted_before_a_crash_is_sent_once(
    house: House, service: Any
) -> None:
    house.reached_by(hook("hook", f"{service.url}/ok"))
    alert = house.message(kind="alert")
    await house.store.apply([AddMessage(alert)])
    await asyncio.gather(house.office.deliver(alert), house.office.start())
    await house.office.start()
    assert len(service.got) == 1
    assert await house.stored() == {"msg_1": {"hook": "delivered"}}
