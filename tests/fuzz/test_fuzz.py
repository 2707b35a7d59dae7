"""What fuzzing has found stays found, and a little of it goes on in every test run.

`make fuzz` looks for more, guided by coverage; see `run.py`.
"""

from __future__ import annotations

import json
import os
from base64 import urlsafe_b64encode
from typing import Any
from urllib.parse import quote

import pytest
from fuzz.run import found
from fuzz.seeds import NAMES, dictionary, examples, seeds
from fuzz.targets import TARGETS
from fuzz.wire import close
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from luad.api.routes.table import TABLE

ALIKE = {name: list(seeds(name)) for name in NAMES}
WORDS = {name: [word.encode() for word in dictionary(name)] for name in NAMES}
REQUESTS = int(os.environ.get("LUAD_FUZZ_REQUESTS", "80"))
SLOW = {"wire": 40, "job-file": 60}


@pytest.fixture(scope="module", autouse=True)
def _put_away() -> Any:
    yield
    close()


def test_every_target_has_seeds_and_words() -> None:
    assert list(TARGETS) == list(NAMES)
    assert all(ALIKE[name] and WORDS[name] for name in NAMES)


def try_all(name: str) -> None:
    """Feed a target its seeds, and what was found once."""
    for data in [*ALIKE[name], *found(name)]:
        TARGETS[name](data)


@pytest.mark.parametrize("name", NAMES)
def test_neither_the_seeds_nor_what_was_found_once_break_a_target(name: str) -> None:
    try_all(name)


@pytest.mark.parametrize(
    ("name", "place", "broken"),
    [
        ("cron", "fuzz.targets.describe", lambda _: "two\nlines"),
        ("cron", "fuzz.targets.next_after", lambda _rule, _zone, after: after),
        ("job-file", "fuzz.targets.job_from_store", lambda *_: None),
        ("job-file", "fuzz.targets.render_full", lambda _: "\x1b[31m"),
        ("body", "fuzz.targets.job_file", lambda _: "name: b\nhandler: a:b\nschedule: 5\n"),
        ("log-line", "luad.logs.render.printable", lambda text: text),
        ("wire", "luad.api.routes.routes_explain.explain_schedule", lambda _: 1 / 0),
    ],
)
def test_a_target_tells_what_is_broken(
    monkeypatch: pytest.MonkeyPatch, name: str, place: str, broken: Any
) -> None:
    monkeypatch.setattr(place, broken)
    with pytest.raises((AssertionError, ValueError)):
        try_all(name)


def mutations(name: str) -> st.SearchStrategy[bytes]:
    """Seeds with words of the target, and other bytes, in place of parts of them."""
    piece = st.sampled_from(WORDS[name]) | st.binary(max_size=6)
    cut = st.tuples(st.integers(0, 4_000), st.integers(0, 30), piece)

    def apply(seed: bytes, cuts: list[tuple[int, int, bytes]]) -> bytes:
        for place, length, new in cuts:
            at = place % (len(seed) + 1)
            seed = seed[:at] + new + seed[at + length :]
        return seed

    return st.builds(apply, st.sampled_from(ALIKE[name]), st.lists(cut, max_size=5))


@pytest.mark.parametrize("name", NAMES)
def test_what_is_nearly_right_breaks_nothing(name: str) -> None:
    @settings(max_examples=SLOW.get(name, 150), suppress_health_check=[HealthCheck.too_slow])
    @given(mutations(name))
    def tried(data: bytes) -> None:
        TARGETS[name](data)

    tried()


ODD = st.sampled_from(
    [None, True, 0, -1, 1.5, 10**30, "", "\0", "\ud800", "\u2028", "***", "x" * 300, [], {}, [[]], {"": 0},
     "1h", "0s", "9999-12-31T23:59:59Z", "2026-03-08T02:30:00", "* * * * *", "UTC", "a:b"]
)  # fmt: skip
JOBS = {key: [each for name, each in examples("job") if name == key] for key, _ in examples("job")}
PEOPLE = {key: [e for name, e in examples("users") if name == key] for key, _ in examples("users")}


def bodies(known: dict[str, list[Any]]) -> st.SearchStrategy[dict[str, Any]]:
    """Objects with the keys of a schema, whose values are its examples, odd ones, or a bit of both."""
    near = {
        key: st.one_of(
            st.sampled_from(values),
            ODD,
            *(
                st.fixed_dictionaries(
                    {}, optional={inner: ODD | st.just(kept) for inner, kept in v.items()}
                )
                for v in values
                if isinstance(v, dict)
            ),
        )
        for key, values in known.items()
    }
    return st.fixed_dictionaries({}, optional=near)


@settings(max_examples=200, suppress_health_check=[HealthCheck.too_slow])
@given(bodies(JOBS) | bodies(PEOPLE))
def test_bodies_that_are_objects_with_odd_members_are_judged(body: dict[str, Any]) -> None:
    whole = {"name": "a", "handler": "a:b", "schedule": {"type": "interval", "seconds": 60}}
    TARGETS["body"](json.dumps(body).encode())
    TARGETS["body"](json.dumps(whole | body).encode())


# --- requests ----------------------------------------------------------------------------------

ROUTES = [
    (method, path)
    for row in TABLE
    for path in row.paths
    for method in (("GET", "HEAD") if row.method == "GET" else (row.method,))
]
NAMED = {"job": ["tidy", "made", "job_", "%2e%2e", "x" * 70, "%ff"], "run": ["@last", "run_", "@last-failed", "%00"],
         "user": ["ann", "", "%E2%80%AE"], "token": ["ci", "a%0Ab"]}  # fmt: skip
PARAMETERS = (
    "action", "attempt", "cursor", "count", "delivery", "email", "fields", "follow", "format", "from",
    "health", "include_dynamic", "job", "level", "limit", "n", "offset", "order", "phone", "q", "run",
    "since", "sort", "source", "status", "tag", "tail", "trigger", "until", "user", "wait",
)  # fmt: skip
MEMBERS = (
    "action", "activate", "author", "catch_up", "channels", "dedupe_key", "dry_run", "email", "env",
    "expires_in", "expression", "files", "filter", "force", "full_name", "handler", "id", "if_exists", "in",
    "jobs", "kill", "messages", "metadata", "n", "name", "priority", "reason", "require", "retry", "revision",
    "role", "schedule", "tags", "timezone", "title", "trigger", "until", "user", "user_id",
)  # fmt: skip
HEADERS = ("accept", "idempotency-key", "if-match", "if-none-match", "last-event-id", "luad-run")
TEXTS = st.sampled_from(
    ["", "0", "1", "-1", "99999999999999999999", "true", "tidy", "a,b", "*", '"x"', 'W/"1-2"', "1h", "-1d",
     "2026-11-22T10:00:00Z", "9999-12-31T23:59:59Z", "0001-01-01T00:00:00Z", "succeeded", "%00", "%ff", "\u20ac",
     "x" * 600, "name", "-next", "failed,lost", "application/json", "text/event-stream", "%ED%A0%80"]
)  # fmt: skip
PLACES = st.lists(
    st.sampled_from([None, True, 0, -1, 10**30, 1.5, "", "a", "\0", "\ud800", [], {}]), max_size=3
)
CURSORS = PLACES.map(lambda each: urlsafe_b64encode(json.dumps(each).encode()).decode().rstrip("="))


@st.composite
def requests(draw: st.DrawFn) -> bytes:
    """A request that knows what there is to ask for, and asks for it in odd ways."""
    method, path = draw(st.sampled_from(ROUTES))
    for kind, known in NAMED.items():
        path = path.replace(f"{{{kind}}}", draw(st.sampled_from(known)))
    query = draw(st.dictionaries(st.sampled_from(PARAMETERS), TEXTS, max_size=2))
    if draw(st.booleans()):
        query["cursor"] = draw(CURSORS)
    target = f"{path}?" + "&".join(f"{key}={quote(each, safe='%')}" for key, each in query.items())
    headers = draw(st.dictionaries(st.sampled_from(HEADERS), TEXTS, max_size=2))
    lines = [
        f"{method} {target} HTTP/1.1",
        "host: x",
        *(f"{key}: {each}" for key, each in headers.items()),
    ]
    body = b""
    if method not in {"GET", "HEAD"}:
        value = draw(
            bodies(JOBS)
            | bodies(PEOPLE)
            | st.dictionaries(
                st.sampled_from(MEMBERS),
                ODD | bodies(JOBS) | TEXTS | st.lists(ODD, max_size=2),
                max_size=4,
            )
        )
        body = json.dumps(value).encode()
        lines += ["content-type: application/json", f"content-length: {len(body)}"]
    return "\r\n".join([*lines, "", ""]).encode("latin-1", "replace") + body


@settings(max_examples=REQUESTS, suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(requests())
def test_no_request_is_a_mistake_of_luads(data: bytes) -> None:
    TARGETS["wire"](data)
