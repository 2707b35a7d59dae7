"""Random histories of messages against a model: what has arrived stays so, and is not sent again."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import closing
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.stores import STORES

from luad.core.events import ClaimRun
from luad.core.messaging import Delivery, DeliveryState, Message
from luad.core.model import Now, Run, Trigger
from luad.store import RunFilter, Store

NOW = 1_795_348_800_000  # 2026-11-22T12:00:00Z
SENDING, DELIVERED = DeliveryState.SENDING, DeliveryState.DELIVERED
FAILED, REPEATED = DeliveryState.FAILED, DeliveryState.REPEATED


class HandClock:
    def now(self) -> Now:
        return Now(NOW, NOW)


@pytest.fixture(scope="module", params=STORES.values(), ids=STORES.keys())
def shared(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Store]:
    with closing(request.param(tmp_path_factory.mktemp("state"), HandClock())) as store:
        yield store


@pytest.fixture(params=STORES.values(), ids=STORES.keys())
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    with closing(request.param(tmp_path, HandClock())) as store:
        yield store


_rounds = count()
_channels = st.lists(st.sampled_from(["inbox", "mail", "hook"]), unique=True, min_size=1)
_begin = st.tuples(
    st.just("begin"),
    st.integers(0, 3),  # which message; the same one may come again
    _channels,
)
_end = st.tuples(st.just("end"), st.integers(0, 3), _channels, st.sampled_from([DELIVERED, FAILED]))
_checkpoint = st.tuples(st.just("settle"))


class Model:
    """Rows by message and channel. Messages 0 and 1 share a key, 2 has one of its own, 3 has none."""

    def __init__(self) -> None:
        self.rows: dict[tuple[int, str], DeliveryState] = {}

    def begin(self, number: int, channels: list[str]) -> list[DeliveryState]:
        kin = {0, 1} if number < 2 else {number}
        states = []
        for channel in channels:
            has_arrived = any(self.rows.get((each, channel)) is DELIVERED for each in kin)
            state = REPEATED if has_arrived else SENDING
            states.append(state)
            if self.rows.get((number, channel)) is not DELIVERED:
                self.rows[number, channel] = state
        return states

    def end(self, number: int, channels: list[str], state: DeliveryState) -> None:
        for channel in channels:
            if self.rows.get((number, channel), DELIVERED) is not DELIVERED:
                self.rows[number, channel] = state

    def last(self) -> dict[str, DeliveryState]:
        """Return the last delivery of each channel that is not a repetition."""
        return {
            channel: state
            for (_, channel), state in sorted(self.rows.items())
            if state is not REPEATED
        }

    def settle(self) -> None:
        self.rows = {key: FAILED if state is SENDING else state for key, state in self.rows.items()}


@settings(max_examples=40, deadline=None)
@given(steps=st.lists(_begin | _end | _checkpoint, max_size=12))
def test_what_has_arrived_is_never_sent_again(shared: Store, steps: list[tuple[Any, ...]]) -> None:
    user = f"user_{next(_rounds)}"
    keys = ("same", "same", "own", None)
    messages = [
        Message(f"msg_{user}_{number}", user, NOW + number, (), dedupe_key=key)
        for number, key in enumerate(keys)
    ]

    async def try_it() -> None:
        model = Model()
        for word, *rest in steps:
            if word == "begin":
                number, channels = rest
                wanted = messages[number]
                begun = await shared.messages.begin([wanted], {wanted.id: channels}, NOW)
                assert [each.channel for each in begun] == channels
                assert [each.state for each in begun] == model.begin(number, channels)
            elif word == "end":
                number, channels, state = rest
                await shared.messages.end(
                    [Delivery(messages[number].id, each, state, NOW, NOW) for each in channels]
                )
                model.end(number, channels, state)
            else:
                await shared.messages.fail_interrupted(NOW)
                model.settle()
            last = await shared.messages.last_deliveries([user, "nobody"], 4)
            assert {key: each.state for key, each in last.items()} == {
                (user, channel): state for channel, state in model.last().items()
            }
        shown = {
            (number, channel): state
            for (number, channel), state in model.rows.items()
            if any(state is not REPEATED for (n, _), state in model.rows.items() if n == number)
        }
        page, _ = await shared.messages.page(user=user)
        assert {
            (messages.index(message), each.channel): each.state
            for message, deliveries in page
            for each in deliveries
        } == shown, "what no channel carried again is no message to them"
        await shared.messages.fail_interrupted(NOW)

    asyncio.run(try_it())


async def test_messages_of_one_batch_are_told_apart(store: Store) -> None:
    first, second = (Message(f"msg_{n}", "ann", NOW, (), dedupe_key=f"k:{n}") for n in range(2))
    await store.messages.begin([first], {first.id: ["mail"]}, NOW)
    await store.messages.end([Delivery(first.id, "mail", DELIVERED, NOW, NOW)])
    again = [
        Message(f"msg_again_{n}", "ann", NOW, (), dedupe_key=each.dedupe_key)
        for n, each in enumerate((first, second))
    ]
    begun = await store.messages.begin(again, {each.id: ["mail"] for each in again}, NOW)
    assert [each.state for each in begun] == [REPEATED, SENDING]


async def test_runs_that_sent_in_vain_are_found_beside_other_filters(store: Store) -> None:
    runs = [
        Run(
            f"run_{number}",
            "even" if number % 2 == 0 else "odd",
            f"job_{number % 2}",
            "r",
            Trigger.API,
            number,
            number,
            NOW + number,
            user="ann" if number < 4 else "bob",
        )
        for number in range(6)
    ]
    await store.apply([ClaimRun(run) for run in runs])
    for run in runs:
        wanted = Message(f"msg_{run.id}", "ann", NOW, (), run_id=run.id)
        await store.messages.begin([wanted], {wanted.id: ["a", "b"]}, NOW)
        state = FAILED if run.id in {"run_1", "run_2", "run_4"} else DELIVERED
        await store.messages.end(
            [
                Delivery(wanted.id, "a", DELIVERED, NOW, NOW),
                Delivery(wanted.id, "b", state, NOW, NOW),
            ]
        )

    async def found(**wanted: Any) -> list[str]:
        rows, _ = await store.runs(RunFilter(**wanted))
        return [row.run.id for row in rows]

    assert await found(has_arrived=False) == ["run_4", "run_2", "run_1"]
    assert await found(has_arrived=False, user="ann") == ["run_2", "run_1"]
    assert await found(has_arrived=False, since=NOW + 2, until=NOW + 4) == ["run_2"]
    assert await found(has_arrived=False, q="odd") == ["run_1"]
    assert await found(has_arrived=True) == ["run_5", "run_3", "run_0"]
    first, cursor = await store.runs(RunFilter(has_arrived=False), limit=2)
    rest, end = await store.runs(RunFilter(has_arrived=False), limit=2, cursor=cursor)
    assert [row.run.id for row in (*first, *rest)] == ["run_4", "run_2", "run_1"]
    assert end is None
