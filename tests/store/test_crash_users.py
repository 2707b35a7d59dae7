"""kill -9: messages, people and jobs that were acknowledged are there afterwards, whole."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from luad.core.messaging import DeliveryState
from luad.store import Store

pytestmark = pytest.mark.slow

NOW = 1_800_000_000_000

# Each lane makes a job with its key, a person, what is known of them, and a message on two channels.
WRITER = """
from luad.core.events import AddMessage, InstallJob, RememberKey, SaveProgress
from luad.core.requests import AnswerKey
from luad.core.messaging import DeliveryState, Message

async def write(store, life, lane):
    for number in range(1_000_000):
        key = f"{life:03d}{lane}{number:06d}"
        job = Job(f"j{key}", "m:f", Once(1), "r", definition={"name": f"j{key}"})
        await store.apply([
            InstallJob(f"job_{key}", job, None, 1, Creation(1, "ann")),
            SaveProgress(f"job_{key}", 7, 7, 0, None),
            RememberKey(AnswerKey(key, "f"), f"job_{key}", 1),
            AddMessage(Message(f"alert_{key}", "ann", 1, (), kind="alert")),
        ])
        await store.users.save(key, {"id": key}, "r", 1)
        await store.users.write_data("all", {key: number}, "merge", 1)
        message = Message(f"msg_{key}", key, 1, ({"type": "text", "text": "x"},), dedupe_key="k")
        begun = await store.messages.begin([message], {message.id: ["a", "b"]}, 1)
        os.write(1, f"begun {key}\\n".encode())
        await store.messages.end([replace(each, state=DeliveryState.DELIVERED) for each in begun])
        await store.access.finish_answer(key, 201, "{}")
        os.write(1, f"done {key}\\n".encode())
"""


async def test_what_was_acknowledged_survives(
    state: Path,
    lives_of: Callable[[str], Callable[[int], list[str]]],
    open_store: Callable[[], Store],
    is_sound: Callable[[Path], bool],
) -> None:
    words: list[str] = []
    live = lives_of(WRITER)
    for number in range(8):
        words += live(1 + number * 9)
        assert is_sound(state / "luad.db")
    with closing(open_store()) as store:
        assert store.quarantined is None
        await store.messages.fail_interrupted(NOW)
        jobs = {job.job_id: job for job in store.restore().jobs}
        users = dict(store.users.all())
        data = await store.users.data("all")
        alerts = {message.id for message in await store.messages.undelivered()}
        assert len(words) > 8 * 9
        for word, key in (line.split() for line in words):
            assert jobs[f"job_{key}"].progress.handled_until == 7
            assert users[key] == {"id": key}
            assert data[key] == int(key[4:])
            assert f"alert_{key}" in alerts
            ((message, deliveries),), _ = await store.messages.page(user=key)
            assert message.id == f"msg_{key}"
            assert [each.channel for each in deliveries] == ["a", "b"]
            answer = await store.access.answer(key)
            assert answer is not None
            if word == "done":
                assert {each.state for each in deliveries} == {DeliveryState.DELIVERED}
                assert answer.status == 201
            else:
                assert DeliveryState.SENDING not in {each.state for each in deliveries}


async def test_a_batch_that_was_cut_off_has_not_happened(
    lives_of: Callable[[str], Callable[[int], list[str]]], open_store: Callable[[], Store]
) -> None:
    live = lives_of(WRITER)
    for _ in range(4):
        live(3)
    with closing(open_store()) as store:
        jobs = store.restore().jobs
        alerts = {message.id for message in await store.messages.undelivered()}
        for job in jobs:
            key = job.job_id.removeprefix("job_")
            assert job.progress.handled_until == 7, "with its progress"
            assert await store.access.answer(key) is not None, "with its key"
            assert f"alert_{key}" in alerts, "with its message"
        assert len(alerts) == len(jobs)
