"""Log lines: the hub, and the routes over the socket."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from luad.api.stream_places import MAX_STREAMS
from luad.live.log_followers import TAIL_LINES, LogFollowers, Lost, overlap


async def a_run(api: Any, daemon: Any, kit: Any) -> str:
    if daemon.job("tidy") is None:
        await daemon.install(kit.make_job())
    await api.post("/v1/jobs/tidy/trigger")
    return str(await daemon.begin())


def messages(lines: list[Any]) -> list[str]:
    return [each["message"] for each in lines]


# --- the hub -----------------------------------------------------------------------------------


@given(st.integers(0, 40), st.integers(0, 40), st.integers(0, 40))
def test_stored_and_live_lines_meet_without_gap_or_repetition(
    total: int, stored: int, tail: int
) -> None:
    said = [{"ts": number // 3, "message": str(number)} for number in range(total)]
    known, live = said[: min(stored, total)], said[max(0, total - tail) :]
    if len(known) + len(live) < total:
        return  # the tail is too short to reach back to what is stored
    assert known + live[overlap(known, live) :] == said


def test_what_never_met_does_not_overlap(kit: Any) -> None:
    assert overlap([], [kit.line("a")]) == 0
    assert overlap([kit.line("a")], []) == 0
    assert overlap([kit.line("a")], [kit.line("b")]) == 0


async def test_a_reader_that_is_too_slow_loses_lines_and_is_told(kit: Any) -> None:
    followers = LogFollowers()
    with followers.subscribe("run_1", limit=3) as subscription:
        followers.publish("run_1", "tidy", [kit.line(str(number)) for number in range(5)])
        *lines, lost = subscription.take()
        assert [each.line["message"] for each in lines] == ["0", "1", "2"]
        assert lost == Lost("run_1", "tidy", 2)
        followers.publish("run_1", "tidy", [kit.line("6")])
        assert [each.line["message"] for each in subscription.take()] == ["6"]
    assert len(followers) == 0


async def test_everybody_gets_what_is_for_them(kit: Any) -> None:
    followers = LogFollowers()
    with (
        followers.subscribe("run_1") as of_run,
        followers.subscribe(None, "tidy") as of_job,
        followers.subscribe() as of_all,
    ):
        followers.publish("run_1", "tidy", [kit.line("a")])
        followers.publish("run_2", "tidy", [kit.line("b")])
        followers.publish("run_3", "other", [kit.line("c")])
        assert [each.line["message"] for each in of_run.take()] == ["a"]
        assert [each.line["message"] for each in of_job.take()] == ["a", "b"]
        assert [each.line["message"] for each in of_all.take()] == ["a", "b", "c"]
        followers.end_run("run_1")
        assert (of_run.is_over, of_job.is_over) == (True, False)
        followers.close()
        assert of_all.is_over
    assert followers.subscribe().is_over


async def test_the_tail_of_a_run_outlives_it_for_a_while(kit: Any) -> None:
    followers = LogFollowers()
    followers.publish("run_1", "tidy", [kit.line(str(number)) for number in range(TAIL_LINES + 5)])
    followers.end_run("run_1")
    followers.publish("run_1", "tidy", [kit.line("late")])
    assert len(followers.tail("run_1")) == TAIL_LINES
    assert followers.tail("run_1")[-1].line["message"] == "late"
    for number in range(2, 80):
        followers.publish(f"run_{number}", "tidy", [kit.line("x")])
        followers.end_run(f"run_{number}")
    assert followers.tail("run_1") == []


# --- over the socket ---------------------------------------------------------------------------


async def test_the_log_of_a_run(api: Any, daemon: Any, kit: Any) -> None:
    run_id = await a_run(api, daemon, kit)
    await daemon.store.append_logs(
        run_id,
        [
            kit.line("begun"),
            kit.line("räumt 🧹 \ud83d auf", level="warning", stream="log", logger="house", room=7),
        ],
    )
    answer = await api.get(f"/v1/runs/{run_id}/log")
    assert answer.headers["content-type"] == "application/x-ndjson"
    stream = await api.stream(f"/v1/runs/{run_id}/log")
    first, second = await stream.rest()
    assert first == {
        "ts": "2026-11-22T12:00:00Z",
        "level": "info",
        "logger": "",
        "message": "begun",
        "job": "tidy",
        "run_id": run_id,
        "attempt": 1,
        "stream": "stdout",
    }
    assert (second["room"], second["logger"], second["stream"]) == (7, "house", "log")
    assert second["message"].startswith("räumt 🧹 ")
    text = await api.get(f"/v1/runs/{run_id}/log?format=text")
    assert text.headers["content-type"] == "text/plain; charset=utf-8"
    assert text.body.decode().splitlines()[0] == "begun"
    assert (await api.get(f"/v1/runs/{run_id}/log", Accept="text/plain")).body == text.body


async def test_a_log_is_cut_by_tail_level_and_time(api: Any, daemon: Any, kit: Any) -> None:
    run_id = await a_run(api, daemon, kit)
    levels = ["debug", "info", "warning", "error", "info"]
    lines = [
        kit.line(f"{number}", kit.NOON + number * 1000, level=level)
        for number, level in enumerate(levels)
    ]
    await daemon.store.append_logs(run_id, lines)

    async def read(query: str) -> list[str]:
        return messages(await (await api.stream(f"/v1/runs/{run_id}/log?{query}")).rest())

    assert await read("") == ["0", "1", "2", "3", "4"]
    assert await read("tail=2") == ["3", "4"]
    assert await read("tail=0") == []
    assert await read("level=warning") == ["2", "3"]
    assert await read("level=info&tail=3") == ["2", "3", "4"]
    assert await read("since=2026-11-22T12:00:03Z") == ["3", "4"]
    for query in ("level=loud", "tail=-1", "tail=many", "since=x", "format=xml", "folow=1"):
        assert (await api.get(f"/v1/runs/{run_id}/log?{query}")).status == 422


async def test_following_begins_with_what_was_and_ends_with_the_run(
    api: Any, daemon: Any, kit: Any
) -> None:
    run_id = await a_run(api, daemon, kit)
    await daemon.print(run_id, "tidy", "one", "two")
    await daemon.print(run_id, "tidy", "three", stored=False)  # the store is a moment behind
    stream = await api.stream(f"/v1/runs/{run_id}/log?follow=1")
    assert messages([await stream.line() for _ in range(3)]) == ["one", "two", "three"]
    await daemon.print(run_id, "tidy", "four")
    assert (await stream.line())["message"] == "four"
    await daemon.print(run_id, "tidy", "five")
    await daemon.end()
    assert messages(await stream.rest()) == ["five"]
    assert len(daemon.followers) == 0


@pytest.mark.slow
async def test_a_run_that_has_just_ended_shows_lines_that_are_not_stored_yet(
    api: Any, daemon: Any, kit: Any
) -> None:
    run_id = await a_run(api, daemon, kit)
    await daemon.print(run_id, "tidy", "one")
    await daemon.print(run_id, "tidy", "two", stored=False)
    await daemon.end()
    for query in ("", "?follow=1", "?tail=2"):
        stream = await api.stream(f"/v1/runs/{run_id}/log{query}")
        assert messages(await stream.rest()) == ["one", "two"]


async def test_following_a_job_spans_its_runs(api: Any, daemon: Any, kit: Any) -> None:
    first = await a_run(api, daemon, kit)
    await daemon.print(first, "tidy", "a")
    stream = await api.stream("/v1/logs?job=tidy&follow=1&tail=10")
    assert (await stream.line())["message"] == "a"
    await daemon.end()
    second = await a_run(api, daemon, kit)
    await daemon.print(second, "tidy", "b")
    await daemon.print("run_other", "other", "not for us", stored=False)
    await daemon.print(second, "tidy", "c")
    lines = [await stream.line(), await stream.line()]
    assert [(each["run_id"], each["message"]) for each in lines] == [(second, "b"), (second, "c")]


async def test_the_latest_lines_of_all(api: Any, daemon: Any, kit: Any) -> None:
    for number in range(3):
        run_id = await a_run(api, daemon, kit)
        await daemon.print(run_id, "tidy", f"{number} a", f"{number} b")
        await daemon.end()
        daemon.clock.wall += 1000
    stream = await api.stream("/v1/logs?tail=3")
    lines = await stream.rest()
    assert messages(lines) == ["1 b", "2 a", "2 b"]
    assert {each["job"] for each in lines} == {"tidy"}
    stream = await api.stream("/v1/logs?job=tidy&since=2026-11-22T12:00:02Z")
    assert messages(await stream.rest()) == ["2 a", "2 b"]
    assert (await api.get("/v1/logs?job=tydi")).status == 404


async def test_a_follower_that_hangs_up_is_forgotten(api: Any, daemon: Any, kit: Any) -> None:
    run_id = await a_run(api, daemon, kit)
    stream = await api.stream(f"/v1/runs/{run_id}/log?follow=1")
    assert len(daemon.followers) == 1
    stream.response.close()
    stream.connection.close()
    await kit.until(lambda: not len(daemon.followers))


async def test_streams_end_when_the_server_does(api: Any, daemon: Any, kit: Any) -> None:
    run_id = await a_run(api, daemon, kit)
    one = await api.stream(f"/v1/runs/{run_id}/log?follow=1")
    other = await api.stream("/v1/logs?follow=1")
    await api.server.stop()
    assert await one.rest() == []
    assert await other.rest() == []
    assert not api.path.exists()


async def test_not_all_connections_may_be_streams(api: Any) -> None:
    for _ in range(MAX_STREAMS):
        await api.stream("/v1/logs?follow=1")
    answer = await api.get("/v1/logs?follow=1")
    assert (answer.status, answer.json["code"]) == (503, "overloaded")


async def test_silence_is_broken_by_empty_lines(api: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("luad.api.routes.routes_logs._SILENCE_S", 0.01)
    stream = await api.stream("/v1/logs?follow=1")
    assert await asyncio.to_thread(stream.response.readline) == b"\n"


@pytest.mark.slow
async def test_a_follower_that_reads_nothing_loses_lines_and_hears_of_it(
    api: Any, daemon: Any, kit: Any
) -> None:
    run_id = await a_run(api, daemon, kit)
    stream = await api.stream(f"/v1/runs/{run_id}/log?follow=1")
    wide = "x" * 4000
    for number in range(3000):
        daemon.followers.publish(run_id, "tidy", [kit.line(f"{number} {wide}")])
        if number % 50 == 0:
            await asyncio.sleep(0)
    await daemon.end()
    lines = await stream.rest()
    lost = [each for each in lines if each["stream"] == "system"]
    assert lost
    assert sum(each["lost_lines"] for each in lost) + len(lines) - len(lost) == 3000
