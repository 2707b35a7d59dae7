"""The stream of events: what it tells, changes since an event, and the pulse of the stream."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from luad.core.model import EndKind, RunError
from luad.live.change_log import KINDS, MOST_TOLD, REMEMBERED, ChangeLog
from luad.live.event_ring import EventRing

QUARTER = 15 * 60_000


def data_of(event: dict[str, str]) -> Any:
    return json.loads(event["data"])


async def skip_retry(stream: Any) -> None:
    assert await stream.event() == {"retry": "1000"}


async def test_events_of_runs_name_the_job_and_the_attempt(api: Any, daemon: Any, kit: Any) -> None:
    await daemon.install(kit.make_job())
    stream = await api.stream("/v1/events?kinds=run.claimed,run.changed")
    await skip_retry(stream)
    await daemon.pass_time(QUARTER)
    run_id = await daemon.begin()
    job_id = daemon.job("tidy").job_id
    claimed = await stream.event()
    assert claimed["event"] == "run.claimed"
    known = {"id": run_id, "job": "tidy", "job_id": job_id, "attempt": 1}
    assert data_of(claimed) == {**known, "status": "running"}
    assert data_of(await stream.event()) == {**known, "status": "running"}


async def test_a_stream_of_some_kinds_has_no_others(api: Any, daemon: Any, kit: Any) -> None:
    stream = await api.stream("/v1/events?kinds=user.changed,attention.changed")
    await skip_retry(stream)
    await daemon.install(kit.make_job())
    await daemon.users.add({"id": "bob"}, if_exists="error")
    await daemon.pass_time(QUARTER)
    await daemon.begin()
    await daemon.end(EndKind.RAISED, error=RunError("KeyError", "x", ""))
    event = await stream.event()
    assert (event["event"], data_of(event)) == (
        "attention.changed",
        {"id": f"failing.{daemon.job('tidy').job_id}"},
    )
    assert (await api.post("/v1/users", {"id": "ann"})).status == 201
    event = await stream.event()
    assert (event["event"], data_of(event)) == ("user.changed", {"id": "ann"})


@pytest.mark.parametrize(
    "query", ["kinds=run.changes", "every=5ms", "every=1h", "every=soon", "what=1"]
)
async def test_wrong_words_are_refused(api: Any, query: str) -> None:
    assert (await api.get(f"/v1/events?{query}")).status == 422


async def test_changes_are_told_together_and_once(api: Any, daemon: Any, kit: Any) -> None:
    await daemon.install(kit.make_job())
    stream = await api.stream("/v1/events?every=100ms", {"Last-Event-ID": "boot-0"})
    await skip_retry(stream)
    first = await stream.event()
    job_id = daemon.job("tidy").job_id
    assert (first["event"], data_of(first)["jobs"]) == ("changes", [job_id])
    await daemon.pass_time(QUARTER)
    run_id = await daemon.begin()
    await daemon.end()
    found = data_of(await stream.event())
    assert (found["runs"], found["jobs"], found["is_complete"]) == ([run_id], [job_id], True)
    assert (found["users"], found["messages"], found["config"]) == ([], [], False)
    stream = await api.stream("/v1/events?every=100ms", {"Last-Event-ID": "other-3"})
    await skip_retry(stream)
    assert (await stream.event())["event"] == "resync"


async def test_a_heartbeat_has_the_time_and_no_id(
    api: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("luad.api.routes.routes_events.BEAT_S", 0.0)
    for query in ("", "?every=100ms"):
        stream = await api.stream(f"/v1/events{query}")
        await skip_retry(stream)
        event = await stream.event()
        assert (event["event"], "id" in event) == ("heartbeat", False)
        assert data_of(event) == {"server_time": "2026-11-22T12:00:00Z", "lag_ms": 2.0}


async def test_a_busy_stream_has_its_heartbeats_too() -> None:
    ring = EventRing("boot")
    found = []
    async for event in ring.follow(None, 0.0):
        found.append(None if event is None else event.kind)
        ring.publish("job.changed", {"id": "a"})
        if len(found) == 5:
            break
    assert None in found


async def test_a_herd_neither_floods_a_patient_client_nor_makes_it_resync() -> None:
    ring = EventRing("boot")
    changes = ring.follow_changes(None, 60, 0)
    waiting = asyncio.ensure_future(anext(changes))
    await asyncio.sleep(0)
    for number in range(500):
        for status in ("queued", "running", "succeeded"):
            ring.publish(
                "run.changed", {"id": f"run_{number}", "job_id": "job_1", "status": status}
            )
    event = await waiting
    assert event is not None
    assert (event.kind, event.number, event.data["is_complete"]) == ("changes", 1_500, True)
    assert event.data["jobs"] == ["job_1"]
    assert sorted(event.data["runs"]) == sorted(f"run_{number}" for number in range(500))
    for number in range(10_000):
        ring.publish("run.claimed", {"id": f"run_x{number}", "job_id": "job_1"})
    event = await anext(changes)
    assert event is not None
    assert event.data["is_complete"] is False
    assert len(event.data["runs"]) == MOST_TOLD


def test_what_is_not_remembered_is_told() -> None:
    log = ChangeLog()
    for number in range(1, REMEMBERED + 11):
        log.note(number, "job.changed", {"id": f"job_{number}"})
    assert log.since(REMEMBERED + 10, KINDS) == {}
    assert log.since(REMEMBERED + 9, KINDS)["is_complete"] is True
    assert log.since(10, {"user.changed"}) == {}
    missing = log.since(9, {"user.changed"})
    assert missing["is_complete"] is False, "a dropped change may have been of this kind"


async def test_streams_end_when_the_ring_closes() -> None:
    ring = EventRing("boot")
    changes = ring.follow_changes(None, 60, 3_600)
    ring.publish("job.changed", {"id": "a"})

    async def all_of() -> int:
        return len([each async for each in changes])

    ending = asyncio.ensure_future(all_of())
    await asyncio.sleep(0)
    ring.publish("job.changed", {"id": "b"})
    await asyncio.sleep(0)
    ring.close()
    assert await asyncio.wait_for(ending, 10) == 1
