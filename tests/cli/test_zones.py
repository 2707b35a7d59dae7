"""The zone of a schedule beside the zone in which a table shows times."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from datetime import tzinfo
from zoneinfo import ZoneInfo

import pytest

from luad.cli.commands.next_runs import _mark_clock_changes
from luad.cli.terminal.labels import schedule_text_of
from luad.cli.terminal.times import UTC

WINTER, SUMMER = 1_768_000_000_000, 1_783_000_000_000  # in January and July of 2026


@pytest.fixture
def in_london(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    before = os.environ.get("TZ")
    monkeypatch.setenv("TZ", "Europe/London")
    time.tzset()
    yield
    if before is None:
        monkeypatch.delenv("TZ")
    else:
        monkeypatch.setenv("TZ", before)
    time.tzset()


def shown(name: str, zone: tzinfo | None, now: int) -> str:
    job = {"schedule_text": "09:00 daily", "schedule": {"type": "cron", "timezone": name}}
    return schedule_text_of(job, now, zone)


@pytest.mark.parametrize("now", [WINTER, SUMMER])
@pytest.mark.parametrize(
    ("name", "zone"),
    [
        ("Europe/London", UTC),
        ("Africa/Abidjan", ZoneInfo("Europe/London")),
        ("Europe/Paris", ZoneInfo("Europe/Berlin")),
        ("Nowhere/Known", UTC),
    ],
)
def test_a_zone_of_another_name_is_shown_also_while_its_clocks_agree(
    name: str, zone: tzinfo, now: int
) -> None:
    assert shown(name, zone, now) == f"09:00 daily  {name}"


@pytest.mark.parametrize("now", [WINTER, SUMMER])
def test_the_zone_of_the_table_is_not_repeated(now: int) -> None:
    assert shown("UTC", UTC, now) == "09:00 daily"
    assert shown("Europe/Berlin", ZoneInfo("Europe/Berlin"), now) == "09:00 daily"


@pytest.mark.usefixtures("in_london")
@pytest.mark.parametrize("now", [WINTER, SUMMER])
def test_the_zone_of_the_machine_is_known_by_its_clocks_in_both_seasons(now: int) -> None:
    assert shown("Europe/London", None, now) == "09:00 daily"
    assert shown("UTC", None, now) == "09:00 daily  UTC"
    assert shown("Africa/Abidjan", None, now) == "09:00 daily  Africa/Abidjan"


def test_runs_in_a_zone_that_only_the_daemon_s_machine_has_are_listed() -> None:
    row = {"job": "a", "at": "2026-12-01T09:00:00Z", "timezone": "Nowhere/Known"}
    _mark_clock_changes([row], UTC)
    assert row["note"] == ""
