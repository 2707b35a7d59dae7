"""`luad schema NAME KEY`: the words are true of the key, in each of its forms."""

from __future__ import annotations

from typing import Any

import pytest

from luad.cli.terminal.key_docs import describe_key
from luad.config.schema.validator import load_schema
from luad.wire import example_date, example_instant, parse_instant


def lines(name: Any, key: str) -> list[str]:
    return describe_key(load_schema(name), key)


def test_a_key_that_says_which_form_it_is_has_all_words_and_no_default() -> None:
    found = lines("job", "schedule.type")
    assert found[0] == "schedule.type   cron or interval or once"
    assert "  required" in found
    assert not any("default" in line for line in found)


@pytest.mark.parametrize(
    ("name", "key"),
    [
        ("job", "name"), ("job", "handler"), ("job", "schedule"), ("job", "schedule.expression"),
        ("job", "schedule.execute_at"), ("job", "schedule.timezone"), ("job", "alert.to"),
        ("job", "limits.memory"), ("users", "id"), ("users", "channels.type"), ("luad", "tls.key"),
    ],
)  # fmt: skip
def test_what_an_editor_fills_in_is_not_called_a_default(name: Any, key: str) -> None:
    assert not any(line.startswith("  default") for line in lines(name, key))


@pytest.mark.parametrize(
    ("key", "default"), [("timeout", "5m"), ("overlap", "skip"), ("retry.max_attempts", "1")]
)
def test_a_default_is_told(key: str, default: str) -> None:
    assert f"  default   {default}" in lines("job", key)


def test_examples_lie_ahead() -> None:
    assert any(example_date() in line for line in lines("job", "schedule.execute_at"))


@pytest.mark.parametrize(
    ("now", "date"),
    [
        ("2026-11-22T10:00:00Z", "2026-12-25"),
        ("2026-12-24T23:59:59Z", "2026-12-25"),
        ("2026-12-25T00:00:00Z", "2027-12-25"),
        ("2031-06-01T00:00:00Z", "2031-12-25"),
    ],
)
def test_the_example_is_the_next_one(now: str, date: str) -> None:
    assert example_date(parse_instant(now)) == date
    assert parse_instant(example_instant(parse_instant(now))) > parse_instant(now)
