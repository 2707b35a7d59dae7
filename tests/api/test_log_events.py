"""The log of a run as server-sent events: what a browser's EventSource needs."""

from __future__ import annotations

import json
from typing import Any

EVENTS = {"Accept": "text/event-stream"}


async def a_run(api: Any, daemon: Any, kit: Any) -> str:
    await daemon.install(kit.make_job())
    await api.post("/v1/jobs/tidy/trigger")
    return str(await daemon.begin())


def told(event: dict[str, str]) -> tuple[str, str]:
    return event["id"], json.loads(event["data"])["message"]


async def test_an_event_stream_follows_the_run_and_says_when_it_has_ended(
    api: Any, daemon: Any, kit: Any
) -> None:
    run_id = await a_run(api, daemon, kit)
    await daemon.print(run_id, "tidy", "one", "two")
    stream = await api.stream(f"/v1/runs/{run_id}/log", EVENTS)
    assert stream.response.headers["content-type"].startswith("text/event-stream")
    assert [told(await stream.event()) for _ in "12"] == [("1", "one"), ("2", "two")]
    await daemon.print(run_id, "tidy", "three")
    assert told(await stream.event()) == ("3", "three")
    await daemon.end()
    assert await stream.event() == {"event": "end", "data": "{}"}
    assert await stream.event() == {}


async def test_a_client_that_comes_back_goes_on_behind_the_line_it_had_last(
    api: Any, daemon: Any, kit: Any
) -> None:
    run_id = await a_run(api, daemon, kit)
    await daemon.print(run_id, "tidy", "one", "two", "three")
    seen = {**EVENTS, "Last-Event-ID": "2"}
    stream = await api.stream(f"/v1/runs/{run_id}/log?tail=1", seen)
    assert told(await stream.event()) == ("3", "three")
    await daemon.print(run_id, "tidy", "four")
    assert told(await stream.event()) == ("4", "four")
    await daemon.end()
    again = await api.stream(f"/v1/runs/{run_id}/log", {**EVENTS, "Last-Event-ID": "3"})
    assert told(await again.event()) == ("4", "four")
    assert (await again.event())["event"] == "end"


async def test_the_tail_and_the_level_keep_the_places_of_lines(
    api: Any, daemon: Any, kit: Any
) -> None:
    run_id = await a_run(api, daemon, kit)
    levels = ("info", "warning", "info", "warning", "error")
    lines = [kit.line(str(place), level=level) for place, level in enumerate(levels)]
    await daemon.store.append_logs(run_id, lines)
    await daemon.end()
    wanted = f"/v1/runs/{run_id}/log?format=sse&level=warning"
    stream = await api.stream(f"{wanted}&tail=2")
    assert [told(await stream.event()) for _ in "12"] == [("2", "3"), ("3", "4")]
    stream = await api.stream(wanted, {"Last-Event-ID": "1"})
    assert [told(await stream.event()) for _ in "12"] == [("2", "3"), ("3", "4")]


async def test_an_offset_leaves_out_lines_that_the_client_has(
    api: Any, daemon: Any, kit: Any
) -> None:
    run_id = await a_run(api, daemon, kit)
    await daemon.print(run_id, "tidy", "one", "two", "three")
    await daemon.end()
    stream = await api.stream(f"/v1/runs/{run_id}/log?offset=1&format=text")
    assert stream.response.read() == b"two\nthree\n"
    assert (await api.get(f"/v1/runs/{run_id}/log?offset=x")).status == 422
    assert (await api.get("/v1/logs?offset=1")).status == 422
    both = await api.get(f"/v1/runs/{run_id}/log?offset=1&tail=1")
    assert (both.status, both.json["errors"][0]["parameter"]) == (422, "tail")


async def test_luad_that_ends_does_not_say_that_the_run_has(
    api: Any, daemon: Any, kit: Any
) -> None:
    run_id = await a_run(api, daemon, kit)
    stream = await api.stream(f"/v1/runs/{run_id}/log", EVENTS)
    await api.server.stop()
    assert await stream.event() == {}


async def test_lines_of_all_runs_are_events_without_places(api: Any, daemon: Any, kit: Any) -> None:
    run_id = await a_run(api, daemon, kit)
    stream = await api.stream("/v1/logs", EVENTS)
    await daemon.print(run_id, "tidy", "one")
    event = await stream.event()
    assert list(event) == ["data"]
    assert json.loads(event["data"])["run_id"] == run_id
