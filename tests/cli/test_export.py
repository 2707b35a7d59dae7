"""`luad show NAME --yaml`: a job as a file that says the same."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from luad.cli.commands.show import job_file
from luad.clock import wall_ms
from luad.config.jobs.job_file import load_file
from luad.config.settings.daemon_settings import load_settings

SETTINGS = load_settings({}, {}, None, uid=0)
WORDS = st.one_of(
    st.sampled_from(
        ["on", "no", "~", "null", "9:30", "010", "0x1f", "1e3", "1_000", "2026-11-22", "<<", "*a",
         "&a", "!t", "- a", "a: b", "# a", "%", "@a", "`", "'", '"', "", " ", "a ", " a", "=", "yes",
         "\u2028", "\x85", "\ufeff", "a\nb", "a\n\nb\n", "\ta", "😀", "|", ">", "---", "...", "-"]
    ),
    st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=20),
)  # fmt: skip
VALUES = st.recursive(
    st.none() | st.booleans() | WORDS | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False, allow_infinity=False, width=32),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(WORDS, inner, max_size=3),
    max_leaves=8,
)  # fmt: skip
SCHEDULES = st.sampled_from(
    [
        {"type": "once", "execute_at": "2027-12-25T09:00:00Z", "timezone": "UTC"},
        {"type": "once", "execute_at": "2027-12-25T09:00:00Z", "timezone": "Asia/Tokyo"},
        {"type": "interval", "every": "1h30m"},
        {"type": "interval", "seconds": 90},
        {"type": "cron", "expression": "*/15 9 * * MON-FRI", "timezone": "Europe/London"},
        {"type": "cron", "expression": "@daily", "timezone": "UTC"},
    ]
)
DEFINITIONS = st.fixed_dictionaries(
    {"name": st.sampled_from(["a", "010", "1e3", "0x1f", "null"]), "handler": st.just("a:b"),
     "schedule": SCHEDULES},
    optional={
        "description": WORDS,
        "user": st.sampled_from(["ann", "user_1"]),
        "metadata": st.dictionaries(WORDS, VALUES, max_size=4),
        "tags": st.lists(st.sampled_from(["crm", "a-b"]), unique=True),
        "timeout": st.sampled_from([30, "5m", 0.5]),
        "retry": st.just({"max_attempts": 3, "backoff_seconds": 1.5}),
        "keep": st.booleans(),
    },
)  # fmt: skip


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(DEFINITIONS)
@pytest.mark.slow
def test_a_job_written_as_a_file_says_the_same_when_it_is_read(definition: dict[str, Any]) -> None:
    text = job_file({"definition": definition, "metadata": definition.get("metadata", {})})
    parsed = load_file("x.yaml", text.encode(), settings=SETTINGS, now=wall_ms())
    wrong = [each for each in parsed.problems if not each.code.startswith("LU5")]  # advice
    assert wrong == []
    (wanted,) = parsed.jobs
    expected = {key: value for key, value in definition.items() if key != "keep"}
    if not expected.get("metadata"):
        expected.pop("metadata", None)
    found = dict(wanted.job.definition)
    if not found.get("metadata"):
        found.pop("metadata", None)
    assert found == expected


def test_the_file_of_a_job_has_its_metadata_as_they_are_now(luad: Any, peer: Any) -> None:
    definition = {"schedule": {"type": "interval", "every": "1h"}, "metadata": {"n": 1},
                  "handler": "a:b", "name": "x"}  # fmt: skip
    peer.answers["GET /jobs/x"] = {
        "name": "x", "definition": definition, "metadata": {"n": 2},
    }  # fmt: skip
    result = luad("show", "x", "--yaml")
    assert result.out.splitlines()[:2] == ["name: x", "handler: a:b"]
    assert result.out.endswith("metadata:\n  n: 2\n")
    assert luad("show", "x", "--yaml", "--json").code == 2
