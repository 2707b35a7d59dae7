"""The contract of a store for messages, users, tokens, and answers to requests with a key."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.stores import STORES

from luad.core.events import AddMessage, ClaimRun, InstallJob, RememberKey, RemoveJob, SaveProgress
from luad.core.installed import AlertState, Overlay
from luad.core.messaging import Delivery, DeliveryState, Message
from luad.core.model import DAY, Creation, Job, Now, Once, Run, Trigger
from luad.core.requests import AnswerKey
from luad.errors import ConflictError, UsageError, ValidationError
from luad.store import RunFilter, Store
from luad.store.api_access import Token
from luad.store.messages import INTERRUPTED
from luad.store.stored_users import version_of

NOW = 1_795_348_800_000  # 2026-11-22T12:00:00Z


class HandClock:
    def now(self) -> Now:
        return Now(NOW, NOW)


@pytest.fixture(params=STORES.values(), ids=STORES.keys())
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    with closing(request.param(tmp_path, HandClock())) as store:
        yield store


@pytest.fixture(scope="module", params=STORES.values(), ids=STORES.keys())
def shared(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Store]:
    with closing(request.param(tmp_path_factory.mktemp("state"), HandClock())) as store:
        yield store


def message(number: int = 1, **fields: Any) -> Message:
    parts = ({"type": "text", "text": f"hello {number}"},)
    return Message(f"msg_{number}", "ann", NOW + number, parts, **fields)


async def send(store: Store, wanted: Message, *outcomes: tuple[str, DeliveryState]) -> list[str]:
    """Begin on the channels of *outcomes*, end as they say; return what was really sent."""
    begun = await store.messages.begin([wanted], {wanted.id: [name for name, _ in outcomes]}, NOW)
    sending = [each for each in begun if each.state is DeliveryState.SENDING]
    states = dict(outcomes)
    await store.messages.end(
        [
            Delivery(each.message_id, each.channel, states[each.channel], NOW, NOW + 5)
            for each in sending
        ]
    )
    return [each.channel for each in sending]


# --- messages ------------------------------------------------------------------------------------


async def test_a_message_comes_back_with_what_became_of_it(store: Store) -> None:
    first = message(title="T", priority="high", channels=("mail",), run_id="run_1", job_name="j")
    delivered = DeliveryState.DELIVERED
    await send(
        store, first, ("mail", DeliveryState.FAILED), ("inbox", delivered), ("log", delivered)
    )
    ((stored, deliveries),), cursor = await store.messages.page(user="ann")
    assert (stored, cursor) == (first, None)
    assert [(each.channel, each.state.value) for each in deliveries] == [
        ("inbox", "delivered"),
        ("log", "delivered"),
        ("mail", "failed"),
    ]
    assert await store.messages.counts(["run_1", "run_2"]) == {"run_1": (2, 3)}
    assert (await store.messages.page(run_id="run_2"))[0] == []


async def test_a_channel_carries_one_message_of_a_key(store: Store) -> None:
    failed, delivered = DeliveryState.FAILED, DeliveryState.DELIVERED
    key = {"dedupe_key": "k"}
    assert await send(store, message(1, **key), ("a", failed), ("b", delivered)) == ["a", "b"]
    assert await send(store, message(2, **key), ("a", delivered), ("b", delivered)) == ["a"]
    assert await send(store, message(3, **key), ("a", delivered), ("b", delivered)) == []
    assert await send(store, message(4), ("a", delivered)) == ["a"], "no key, no memory"
    other = Message("msg_5", "bob", NOW, (), dedupe_key="k")
    assert await send(store, other, ("b", delivered)) == ["b"], "another person"


async def test_what_a_daemon_left_in_the_middle_has_failed(store: Store) -> None:
    await store.messages.begin([message()], {"msg_1": ["mail"]}, NOW)
    assert await store.messages.fail_interrupted(NOW + 9) == 1
    ((_, (delivery,)),), _ = await store.messages.page(user="ann")
    assert (delivery.state, delivery.error) == (DeliveryState.FAILED, INTERRUPTED)
    assert await store.messages.fail_interrupted(NOW) == 0


async def test_a_posted_alert_waits_until_somebody_tries(store: Store) -> None:
    alert = message(kind="alert")
    await store.apply([AddMessage(alert)])
    await store.apply([AddMessage(alert)])
    assert await store.messages.undelivered() == [alert]
    await send(store, alert, ("inbox", DeliveryState.DELIVERED))
    assert await store.messages.undelivered() == []


async def test_pages_of_messages_neither_skip_nor_repeat(store: Store) -> None:
    for number in range(7):
        await send(store, message(number), ("inbox", DeliveryState.DELIVERED))
    seen, cursor = [], None
    while True:
        page, cursor = await store.messages.page(user="ann", limit=3, cursor=cursor)
        seen += [each.message.id for each in page]
        if cursor is None:
            break
    assert seen == [f"msg_{number}" for number in reversed(range(7))]
    with pytest.raises(UsageError):
        await store.messages.page(cursor="nonsense")


# --- people --------------------------------------------------------------------------------------


async def test_people_come_back_and_go(store: Store) -> None:
    await store.users.save("bob", {"id": "bob"}, "r", NOW)
    await store.users.save("ann", {"id": "ann"}, "r", NOW)
    await store.users.save("bob", {"id": "bob", "full_name": "B"}, "s", NOW)
    assert store.users.all() == [("ann", {"id": "ann"}), ("bob", {"id": "bob", "full_name": "B"})]
    await store.users.write_data("bob", {"a": 1}, "merge", NOW)
    await store.users.remove("bob")
    assert [user_id for user_id, _ in store.users.all()] == ["ann"]
    assert await store.users.data("bob") == {}


async def test_writers_of_different_keys_never_lose_each_others(store: Store) -> None:
    await asyncio.gather(
        *(store.users.write_data("ann", {f"k{n}": n}, "merge", NOW) for n in range(50))
    )
    assert await store.users.data("ann") == {f"k{n}": n for n in range(50)}


async def test_a_tag_guards_a_write(store: Store) -> None:
    data = await store.users.write_data("ann", {"a": 1}, "replace", NOW, if_match=version_of({}))
    with pytest.raises(ConflictError) as caught:
        await store.users.write_data("ann", {"a": 2}, "merge", NOW, if_match=version_of({}))
    assert caught.value.code == "precondition_failed"
    await store.users.write_data("ann", {"b": None}, "merge", NOW, if_match=version_of(data))
    assert await store.users.data("ann") == {"a": 1, "b": None}
    await store.users.write_data("ann", {"b": None}, "patch", NOW)
    assert await store.users.data("ann") == {"a": 1}
    with pytest.raises(ValidationError):
        await store.users.write_data("ann", {"a": "x" * 70_000}, "merge", NOW)


# --- answers, tokens, the audit trail --------------------------------------------------------------


async def test_a_key_is_remembered_with_the_batch_that_grants_it(store: Store) -> None:
    key = AnswerKey("k", "f")
    assert await store.access.answer("k") is None
    await store.apply([RememberKey(key, "job_1", NOW)])
    await store.apply([RememberKey(AnswerKey("k", "other"), "job_2", NOW)])
    answer = await store.access.answer("k")
    assert answer is not None
    assert (answer.key, answer.subject, answer.status) == (key, "job_1", None)
    await store.access.finish_answer("k", 201, '{"id": 1}')
    answer = await store.access.answer("k")
    assert answer is not None
    assert (answer.status, answer.body) == (201, '{"id": 1}')


async def test_tokens(store: Store) -> None:
    token = Token("ci", "operator", "d" * 64, NOW, "ann", NOW + DAY)
    await store.access.add_token(token)
    with pytest.raises(ConflictError, match="ci"):
        await store.access.add_token(token)
    assert await store.access.tokens() == [token]
    store.access.note_use("ci", NOW + 5)
    await store.append_logs("run_none", [{"ts": NOW, "message": ""}])  # waits in the same queue
    (used,) = await store.access.tokens()
    assert used == replace(token, last_used_at=NOW + 5)
    assert await store.access.revoke_token("ci")
    assert not await store.access.revoke_token("ci")


async def test_the_audit_trail_is_read_newest_first(store: Store) -> None:
    for number in range(5):
        store.access.note(NOW + number, f"req_{number}", {"n": number})
    await store.append_logs("run_none", [{"ts": NOW, "message": ""}])  # waits in the same queue
    page = (await store.access.audit(limit=2)).entries
    assert [entry["n"] for _, _, entry in page] == [4, 3]
    at, row_id, _ = page[-1]
    rest = (await store.access.audit(before=(at, row_id))).entries
    assert [entry["n"] for _, _, entry in rest] == [2, 1, 0]


async def trail_of(store: Store) -> list[tuple[Any, Any]]:
    await store.append_logs("run_none", [{"ts": NOW, "message": ""}])  # waits in the same queue
    rows = (await store.access.audit(limit=500)).entries
    return [(entry["actor"], entry.get("n", entry.get("not_kept"))) for _, _, entry in rows]


async def test_no_actor_pushes_out_rows_of_another_nor_its_own_of_a_day(store: Store) -> None:
    store.access.trail.most = 3
    for number in range(10):
        store.access.note(NOW + number, f"req_a{number}", {"actor": "token a", "n": number})
    store.access.note(NOW + 20, "req_b", {"actor": "token b", "n": 0})
    store.access.note(NOW + 21, "req_u", {"actor": "", "uid": 7, "n": 1})
    rows = await trail_of(store)
    assert rows[:2] == [("", 1), ("token b", 0)]
    assert rows[2:] == [("token a", 7), ("token a", 2), ("token a", 1), ("token a", 0)]


async def test_an_actors_rows_of_before_the_last_day_make_room(store: Store) -> None:
    store.access.trail.most = 3
    for number in range(3):
        store.access.note(NOW + number, f"req_a{number}", {"actor": "token a", "n": number})
    store.access.note(NOW + DAY + 2, "req_new", {"actor": "token a", "n": 3})
    assert await trail_of(store) == [("token a", 3), ("token a", 2)]


async def test_what_nobody_needs_any_more_is_forgotten(store: Store) -> None:
    await send(store, message(), ("inbox", DeliveryState.DELIVERED))
    await store.apply([RememberKey(AnswerKey("k", "f"), "job_1", NOW)])
    await store.access.add_token(Token("old", "viewer", "d", NOW, "", NOW))
    await store.access.add_token(Token("new", "viewer", "e", NOW))
    later = NOW + 40 * DAY
    store.access.note(NOW, "req_old", {})
    store.access.note(later, "req_new", {})
    await send(store, message(40 * DAY), ("inbox", DeliveryState.DELIVERED))
    for _ in range(20):
        pruned = await store.prune(later, history_ms=30 * DAY, runs_per_job=9, logs_ms=DAY)
        if pruned.is_done:
            break
    assert [each.message.at for each in (await store.messages.page())[0]] == [later]
    assert await store.access.answer("k") is None
    assert [row_id for _, row_id, _ in (await store.access.audit()).entries] == ["req_new"]
    assert [each.name for each in await store.access.tokens()] == ["new"]


# --- dynamic jobs ----------------------------------------------------------------------------------


def install(name: str = "r", run_id: str | None = None, user: str | None = None) -> list[Any]:
    definition = {"name": name, "handler": "h:f"}
    job = Job(name, "h:f", Once(NOW + DAY), "rev", user=user, definition=definition)
    return [InstallJob(f"job_{name}", job, None, NOW, Creation(NOW, "ann", run_id))]


@pytest.mark.parametrize(
    "overlay",
    [
        Overlay({"a": None, "b": [1]}, ("c",)),
        Overlay({"a": None}, ("c",), ("a", "d")),
        Overlay({}, (), ("d",)),
    ],
)
async def test_a_dynamic_job_comes_back_as_it_was(store: Store, overlay: Overlay) -> None:
    alert = AlertState("failures", (NOW - 5, NOW), NOW - 9)
    progress = SaveProgress("job_r", NOW, NOW, 2, None, overlay, alert)
    await store.apply([*install(run_id="run_1"), progress])
    (stored,) = store.restore().jobs
    assert stored.creation == Creation(NOW, "ann", "run_1")
    assert stored.progress == progress
    assert stored.origin is None
    assert await store.created_jobs("run_1") == ["r"]
    await store.apply([RemoveJob("job_r", "r", NOW)])
    assert store.restore().jobs == ()
    assert await store.created_jobs("run_1") == ["r"], "the link outlives the job"


async def test_runs_are_found_by_user_by_words_and_by_what_they_sent(store: Store) -> None:
    runs = [
        Run(f"run_{n}", f"job-{n}", "job_r", "rev", Trigger.API, n, n, NOW + n, user=user)
        for n, user in enumerate(["ann", "bob", "ann", None])
    ]
    await store.apply([*install(), *(ClaimRun(run) for run in runs)])
    await send(store, message(1, run_id="run_0"), ("a", DeliveryState.DELIVERED))
    await send(store, message(2, run_id="run_1"), ("a", DeliveryState.FAILED))

    async def found(**wanted: Any) -> list[str]:
        rows, _ = await store.runs(RunFilter(**wanted))
        return [row.run.id for row in rows]

    assert await found(user="ann") == ["run_2", "run_0"]
    assert await found(q="ob-3") == ["run_3"]
    assert await found(q="%") == []
    assert await found(has_arrived=True) == ["run_0"]
    assert await found(has_arrived=False) == ["run_1"]
    assert (await store.run("run_0")).run.user == "ann"


json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.text(max_size=4),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3)
    ),
    max_leaves=6,
)


@settings(max_examples=40, deadline=None)
@given(
    writes=st.lists(
        st.tuples(
            st.sampled_from(["merge", "replace"]),
            st.dictionaries(st.text(max_size=3), json_values, max_size=3),
        ),
        max_size=5,
    )
)
def test_data_are_what_a_plain_dict_would_be(
    shared: Store, writes: list[tuple[Any, dict[str, Any]]]
) -> None:
    async def try_it() -> None:
        model = await shared.users.write_data("x", {}, "replace", NOW)
        for mode, values in writes:
            model = {**model, **values} if mode == "merge" else dict(values)
            assert await shared.users.write_data("x", values, mode, NOW) == model
        assert await shared.users.data("x") == model

    asyncio.run(try_it())
