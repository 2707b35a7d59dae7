"""Work on the loop whose size a client chooses: each route gets its worst, and the steps are counted.

A step is a call of a function, Python's or C's, between two turns of the loop. What is counted is what a
client can make longer; it does not depend on how busy the machine is.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.loop_steps import LoopSteps

from luad.api.http import json_body
from luad.api.http.api_problems import MOST_COMPARED, ApiError, comparable
from luad.api.http.request_input import MAX_BODY_BYTES
from luad.api.http.work_pool import MOST_FAR, MOST_NEAR, THREADS, Budget, WorkPool
from luad.api.routes.openapi import PREFIX
from luad.api.routes.table import TABLE

MOST_STEPS = 12_000
"""Between two turns of the loop: two to three milliseconds."""

JOBS = 400
LINES = 1_500
HEADER = 15_000


def wide(unit: str, size: int = MAX_BODY_BYTES - 200) -> str:
    """Return a list of as many values as fit."""
    return "[" + ",".join([unit] * (size // (len(unit) + 1))) + "]"


def keys(size: int = MAX_BODY_BYTES - 200) -> str:
    return "{" + ",".join(f'"key_{number}":1' for number in range(size // 14)) + "}"


SPARSE = "0 0 29 2 */7"
LONG_CRON = ",".join(["1-59"] * 40) + " * * * *"
METADATA = [
    f'{{"metadata":{wide("[]", 60_000)}}}',
    f'{{"metadata":{{"a":{wide("1", 60_000)}}}}}',
    f'{{"metadata":{{"a":{wide("{}", 90_000)}}}}}',
    f'{{"metadata":{keys(60_000)}}}',
]
ANYTHING = [
    wide("{}"),
    wide("1"),
    wide("null"),
    keys(),
    keys(200_000)[:-1] + ',"key_1":2}',
    "[" * 40_000,
    '{"a":"' + "\\u0041" * 40_000 + '"}',
    '{"' + "x" * 200_000 + '":1}',
    *METADATA,
]
NEW = {"handler": "house:tidy", "schedule": {"type": "cron", "expression": SPARSE}}
MANY_LISTED = ",".join(f"job-{number:05}"[:-1] for number in range(900))
BODIES: dict[str, list[Any]] = {
    "post /v1/explain": [
        {"expression": SPARSE, "timezone": "Africa/Casablanca", "n": 100},
        {"expression": LONG_CRON, "n": 100},
        {"expression": "* * * * *", "timezone": "x" * 60, "n": 100},
        {"schedule": {"type": "cron", "expression": "1 " * 40_000}},
    ],
    "post /v1/jobs": [
        NEW | {"name": "a", "timezone": "Nowhere/At_all"},
        NEW | {"name": "b", "tags": [f"t{number}" for number in range(20_000)]},
        NEW | {"name": "c", "env": {f"K{number}": "v" for number in range(10_000)}},
        NEW | {"name": "d", "user": "nobody"},
        {f"unknown_{number}": 1 for number in range(8_000)},
    ],
    "post /v1/jobs:batch": [
        {"action": "create", "jobs": [NEW | {"name": f"new-{n}"} for n in range(1_500)]},
        {"action": "create", "jobs": [NEW | {"timezone": "Nope/No"}] * 300},
        {"action": "pause", "jobs": [f"missing-{n}" for n in range(10_000)]},
        {"action": "delete", "jobs": [f"job-{n:05}" for n in range(1_000)], "dry_run": True},
        {"action": "resume", "filter": {"status": "active"}, "dry_run": True},
    ],
    "post /v1/users": [
        {"id": "a", "emails": [f"a{number}@example.com" for number in range(8_000)]},
        {"id": "b", "channels": [{"type": "log"}] * 8_000},
        {f"unknown_{number}": 1 for number in range(8_000)},
    ],
    "post /v1/users/{user}/send": [
        {"messages": ["x" * 12_000] * 20},
        {"messages": ["x"] * 40_000},
        {"messages": ["x"], "channels": [f"c{number}" for number in range(20_000)]},
    ],
    "post /v1/tokens": [{"name": "x" * 200_000}],
}
QUERIES: dict[str, list[str]] = {
    "get /v1/jobs": [
        "?include_dynamic=1&limit=500",
        "?sort=next&q=zzz&count=1",
        "?q=job&sort=last&fields=name",
        "?" + "&".join(["tag=a"] * 3_000),
        "?tag=" + ",".join(f"t{number}" for number in range(2_500)),
        "?status=" + ",".join(["active"] * 2_000),
    ],
    "get /v1/jobs/{job}/next": ["?n=500", "?n=500&from=2033-01-01T00:00:00Z"],
    "get /v1/schedule": ["?limit=500", f"?job={MANY_LISTED}", "?from=2033-01-01T00:00:00Z"],
    "get /v1/runs": ["?limit=500", "?q=" + "%25" * 4_000, "?offset=10000&count=1"],
    "get /v1/jobs/{job}/runs": ["?limit=500"],
    "get /v1/runs/{run}/log": ["", "?tail=10000&format=text", "?level=debug&format=sse&follow=0"],
    "get /v1/logs": ["?tail=10000", "?since=2020-01-01T00:00:00Z&level=debug"],
    "get /v1/users": ["?email=" + "a" * HEADER],
}
PLACES = {"job": "job-00007", "user": "ann", "token": "none"}


def requests_of(method: str, path: str) -> Iterator[tuple[str, str | None]]:
    """Yield targets and bodies: the route's own, and what is bad for any of its kind."""
    for query in QUERIES.get(f"{method} {path}", [""]):
        if method == "get":
            yield path + query, None
    if "{job}" in path or "{user}" in path or "{run}" in path:
        for name in ("x" * 4_000, "job-0000", "job-99999", "%41" * 3_000):
            body = None if method == "get" else "{}"
            yield path.replace("{job}", name).replace("{user}", name).replace("{run}", name), body
    if method != "get":
        yield path + "?" + "a&" * 7_000, "{}"
        for each in BODIES.get(f"{method} {path}", []):
            yield path, json.dumps(each)
        is_data = path.endswith(("/jobs", "/users", "/metadata", "/data", ":batch", "/trigger"))
        for body in ANYTHING if is_data else ANYTHING[3:6]:
            yield path, body


@pytest.fixture
async def full(api: Any, daemon: Any, kit: Any) -> str:
    """Fill the daemon with jobs, a user, and a run with many lines; return the run's id."""
    await daemon.install(*(kit.make_job(f"job-{number:05}") for number in range(JOBS)))
    await daemon.users.add({"id": "ann", "channels": [{"type": "inbox"}]}, if_exists="keep")
    await api.post("/v1/jobs/job-00007/trigger")
    run = str(await daemon.begin())
    await daemon.print(run, "job-00007", *(f"line {number}" for number in range(LINES)))
    await daemon.end()
    return run


@pytest.mark.timeout(600)
@pytest.mark.slow
async def test_no_request_takes_many_steps_on_the_loop(
    api: Any, full: str, steps: LoopSteps
) -> None:
    too_many = []
    places = PLACES | {"run": full}
    for op in TABLE:
        if op.path == "/v1/events" or not op.path.startswith(PREFIX):
            continue  # has no end; see below
        for target, body in requests_of(op.method.lower(), op.path):
            path = target
            for name, value in places.items():
                path = path.replace(f"{{{name}}}", value)
            data = None if body is None else body.encode()
            headers = {} if data is None else {"Content_Type": "application/json"}
            steps.most = 0
            answer = await api.ask(op.method, path, data, **headers)
            sent = f"{op.method} {path[:80]} {(body or '')[:60]} -> {answer.status}"
            if answer.status == 500 or steps.most > MOST_STEPS:
                too_many.append(f"{sent}: {steps.most} steps in {steps.what[:200]}")
    assert too_many == []


@pytest.mark.slow
async def test_a_stream_of_events_takes_few_steps_at_a_time(
    api: Any, daemon: Any, steps: LoopSteps
) -> None:
    for number in range(1_000):
        daemon.ring.publish("job.changed", {"id": f"job_{number}"})
    stream = await api.stream("/v1/events", {"Last-Event-ID": "boot-0"})
    for _ in range(1_001):
        await stream.event()
    assert steps.most <= MOST_STEPS, steps.what


@pytest.mark.parametrize(
    "data",
    [
        b"POST /v1/explain HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n"
        + b"1\r\n \r\n" * 40_000,
        b"GET /readyz HTTP/1.1\r\nhost: x\r\n" + b"a:\r\n" * 3_000 + b"\r\n",
        b"GET /readyz HTTP/1.1\r\nhost: x\r\n\r\n" * 3_000,
        b"\r\n" * 100_000,
        b"POST /v1/explain HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n0\r\n"
        + b"a:\r\n" * 3_000,
    ],
    ids=["chunks", "headers", "pipelined", "empty lines", "trailers"],
)
@pytest.mark.slow
async def test_bytes_take_few_steps_however_they_are_cut(
    api: Any, steps: LoopSteps, data: bytes
) -> None:
    sock = api.raw()

    def talk() -> None:
        with contextlib.suppress(OSError):
            sock.settimeout(1)
            sock.sendall(data)
            sock.shutdown(1)
            while sock.recv(65_536):
                pass

    await asyncio.to_thread(talk)
    assert steps.most <= MOST_STEPS, steps.what
    assert (await api.get("/readyz")).status == 200


async def test_a_request_with_many_headers_is_refused(api: Any) -> None:
    head = b"GET /readyz HTTP/1.1\r\nhost: x\r\n" + b"a: b\r\n" * 500 + b"\r\n"
    assert (await api.exchange(head)).startswith(b"HTTP/1.1 431 ")


# --- the pool ----------------------------------------------------------------------------------


async def test_the_pool_has_two_threads_and_a_short_queue_for_each_door() -> None:
    pool, go_on, running = WorkPool(), threading.Event(), []

    def work(_: Budget) -> None:
        running.append(1)
        go_on.wait(20)

    first = [asyncio.create_task(pool.run(work, is_far=True)) for _ in range(THREADS)]
    await asyncio.sleep(0)
    far = [asyncio.create_task(pool.run(work, is_far=True)) for _ in range(MOST_FAR)]
    await asyncio.sleep(0)
    with pytest.raises(ApiError) as refused:
        await pool.run(work, is_far=True)
    assert (refused.value.status, refused.value.code) == (503, "overloaded")
    assert "for less" in refused.value.hint
    near = [asyncio.create_task(pool.run(work, is_far=False)) for _ in range(MOST_NEAR)]
    await asyncio.sleep(0)
    assert not any(each.done() for each in near), "no client over TCP takes places of the socket"
    assert len(running) <= THREADS
    go_on.set()
    await asyncio.gather(*first, *far, *near)
    assert await pool.run(lambda _: 7, is_far=True) == 7
    pool.close()


async def test_requests_over_the_socket_come_first() -> None:
    pool, go_on, order = WorkPool(), threading.Event(), []
    both = threading.Barrier(2)

    def note(is_far: bool) -> None:
        order.append(is_far)
        if not is_far:
            both.wait(20)  # else the other thread may note a later request first

    block = [
        asyncio.create_task(pool.run(lambda _: go_on.wait(20), is_far=True)) for _ in range(THREADS)
    ]
    await asyncio.sleep(0)
    doors = [True, True, True, False, False]
    waiting = [
        asyncio.create_task(pool.run(lambda _, far=far: note(far), is_far=far)) for far in doors
    ]
    await asyncio.sleep(0)
    waiting[0].cancel()
    go_on.set()
    await asyncio.gather(*block, *waiting, return_exceptions=True)
    assert sorted(order[:2]) == [False, False]
    assert len(order) == 4
    assert await pool.run(lambda _: 7, is_far=True) == 7
    pool.close()


async def test_times_that_cost_more_than_the_budget_are_refused_with_what_to_ask(
    api: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("luad.api.http.work_pool.BUDGET_MS", 0)
    body = {"expression": SPARSE, "n": 100}
    answer = await api.post("/v1/explain", body)
    assert (answer.status, answer.json["code"]) == (503, "overloaded")
    assert '"n": ' in answer.json["hint"]


# --- reading bodies ----------------------------------------------------------------------------


@given(
    st.dictionaries(
        st.text(max_size=5),
        st.recursive(
            st.none()
            | st.booleans()
            | st.integers()
            | st.floats(allow_nan=False, allow_infinity=False)
            | st.text(),
            lambda inner: st.lists(inner) | st.dictionaries(st.text(max_size=3), inner),
            max_leaves=9,
        ),
    ),
    st.lists(
        st.integers()
        | st.text(max_size=9)
        | st.lists(st.floats(allow_nan=False, allow_infinity=False)),
        max_size=9,
    ),
    st.sampled_from([None, 1]),
)
@pytest.mark.slow
def test_a_long_body_is_read_as_json_reads_it(
    members: dict[str, Any], items: list[Any], indent: int | None
) -> None:
    value = {**members, "jobs": items}
    text = json.dumps(value, indent=indent, allow_nan=False)
    assert json_body.parse_long(text, "jobs") == value


@pytest.mark.parametrize(
    "text",
    [
        '{"jobs":[1,]}',
        '{"jobs":[1 2]}',
        '{"jobs":[',
        '{"jobs":[1]',
        '{"jobs":[1]} x',
        "{1:2}",
        '{"a":1,"a":2}',
        '{"jobs":[1],"jobs":[2]}',
        '{"jobs":[NaN]}',
        "{,}",
        "{",
        '{"a":',
    ],
)
def test_a_long_body_that_is_no_json_is_refused(text: str) -> None:
    with pytest.raises(ApiError) as refused:
        json_body.parse_long(text, "jobs")
    assert refused.value.code == "bad_request"


def test_an_item_of_a_long_list_may_be_long_but_has_a_bound() -> None:
    big = json.dumps({"a": "x" * 200_000})
    assert len(json_body.parse_long(f'{{"jobs":[{big},1,{big}]}}', "jobs")["jobs"]) == 3
    with pytest.raises(ApiError):
        json_body.parse_long(f'{{"jobs":[{json.dumps("x" * 300_000)}]}}', "jobs")


def test_commas_in_a_text_are_no_values() -> None:
    text = json.dumps({"metadata": {"csv": "1,2,3\n" * 20_000, "quoted": '\\","' * 500}})
    assert json_body.parse(text)["metadata"]["csv"].count(",") == 40_000
    with pytest.raises(ApiError) as refused:
        json_body.parse(f"[{'1,' * (json_body.MOST_VALUES + 1)}1]")
    assert refused.value.code == "too_large"


def test_a_misspelt_name_is_compared_with_few() -> None:
    known = [f"job-{number}" for number in range(50_000)]
    assert len(comparable("job-7x", known)) == MOST_COMPARED
    assert comparable("x" * 500, known) == []
