"""Durations, sizes and instants as text; and that reading them costs the command line nothing."""

from __future__ import annotations

import subprocess
import sys
from datetime import datetime
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from luad.core.model import DAY, HOUR, MINUTE, SECOND
from luad.wire import (
    MAX_DURATION_MS,
    InstantGapError,
    NaiveInstantError,
    format_duration_ms,
    format_in_zone,
    format_instant,
    parse_duration_ms,
    parse_instant,
    parse_size,
    socket_candidates,
)

LONDON = ZoneInfo("Europe/London")


@pytest.mark.parametrize(
    ("value", "duration_ms"),
    [
        (0, 0),
        (90, 90 * SECOND),
        (0.5, 500),
        ("90", 90 * SECOND),
        ("90s", 90 * SECOND),
        ("1.5s", 1_500),
        ("10m", 10 * MINUTE),
        ("1h30m", 90 * MINUTE),
        ("2d", 2 * DAY),
        ("1d2h3m4.5s", DAY + 2 * HOUR + 3 * MINUTE + 4_500),
    ],
)
def test_a_duration_is_seconds_or_text_with_units(value: object, duration_ms: int) -> None:
    assert parse_duration_ms(value) == duration_ms


@pytest.mark.parametrize(
    "value",
    [
        *["", "s", "m5", "5 m", "1m1h", "-5", "1h30", "1e3", "٣s", "5m\n", "1.5h", "x" * 99],
        *["9" * 32 + "d", -1, 1e300, float("nan"), float("inf"), True, None, [], 10**400],
    ],
)
def test_anything_else_is_no_duration(value: object) -> None:
    with pytest.raises(ValueError, match=r"duration|100 years"):
        parse_duration_ms(value)


@given(st.integers(0, MAX_DURATION_MS))
def test_a_duration_survives_being_written_and_read(duration_ms: int) -> None:
    assert parse_duration_ms(format_duration_ms(duration_ms)) == duration_ms


def test_durations_are_written_in_their_units() -> None:
    written = [format_duration_ms(each) for each in (0, 500, 90_000, HOUR, DAY + MINUTE)]
    assert written == ["0s", "0.5s", "1m30s", "1h", "1d1m"]


@pytest.mark.parametrize(
    ("value", "size"),
    [
        (0, 0),
        (1024, 1024),
        ("5", 5),
        ("512K", 1 << 19),
        ("64MiB", 1 << 26),
        ("1.5g", 3 << 29),
        ("2TB", 1 << 41),
    ],
)
def test_a_size_is_bytes_or_text_with_a_unit(value: object, size: int) -> None:
    assert parse_size(value) == size


@pytest.mark.parametrize(
    "value", ["", "M", "5X", "-1", -1, "1 M", True, None, 1e300, "9" * 31 + "T"]
)
def test_anything_else_is_no_size(value: object) -> None:
    with pytest.raises(ValueError, match="size"):
        parse_size(value)


@pytest.mark.parametrize(
    "text",
    [
        "2026-12-25T09:00:00Z",
        "2026-12-25 09:00Z",
        "2026-12-25t10:00:00+01:00",
        "2026-12-25T04:00:00.000-0500",
    ],
)
def test_an_instant_has_many_spellings(text: str) -> None:
    assert format_instant(parse_instant(text)) == "2026-12-25T09:00:00Z"


def test_without_an_offset_the_zone_says_which_instant_it_is() -> None:
    assert format_instant(parse_instant("2026-06-01 09:00", LONDON)) == "2026-06-01T08:00:00Z"
    with pytest.raises(NaiveInstantError):
        parse_instant("2026-06-01 09:00")


def test_of_an_hour_that_happens_twice_the_first_is_meant_and_a_skipped_one_does_not_exist() -> (
    None
):
    assert format_instant(parse_instant("2026-10-25T01:30:00", LONDON)) == "2026-10-25T00:30:00Z"
    with pytest.raises(InstantGapError):
        parse_instant("2027-03-28T01:30:00", LONDON)


@pytest.mark.parametrize(
    "text",
    [
        *["", "tomorrow", "2026-12-25", "2026-02-30T00:00Z", "2026-01-01T24:00Z"],
        *["20260101T000000Z", "2026-01-01T00:00:60Z", "2026-01-01T00:00+25:00"],
        *["0000-01-01T00:00Z", "2026-01-01T00:00Z\n", "9999-12-31T23:59:59-12:00"],
        *["2026-W01-1T00:00Z", "٢026-01-01T00:00Z"],
    ],
)
def test_anything_else_is_no_instant(text: str) -> None:
    with pytest.raises(ValueError, match="not a date and time"):
        parse_instant(text)


@given(st.integers(-(10**13), 10**14))
def test_an_instant_survives_being_written_and_read(instant: int) -> None:
    assert parse_instant(format_instant(instant)) == instant
    shown = datetime.fromisoformat(format_in_zone(instant, LONDON))
    assert shown == datetime.fromisoformat(format_instant(instant))


def test_a_client_looks_for_the_socket_in_order() -> None:
    environ = {"RUNTIME_DIRECTORY": "/run/x", "XDG_RUNTIME_DIR": "/run/user/1"}
    assert socket_candidates(environ, "/state") == [
        "/run/x/luad.sock",
        "/run/luad/luad.sock",
        "/run/user/1/luad/luad.sock",
        "/state/luad.sock",
    ]
    assert socket_candidates({"LUAD_SOCKET": "/a"}, "/state") == ["/a"]


def test_the_module_imports_nothing_heavy() -> None:
    code = (
        "import sys, luad.wire;"
        "print(*sorted({'yaml', 'croniter', 'jsonschema', 'zoneinfo', 'asyncio'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""


@pytest.mark.slow
def test_reading_good_files_does_not_import_jsonschema() -> None:
    code = (
        "import sys; from luad.config.jobs.job_file import load_file; from luad.config.settings.daemon_settings import Settings;"
        "text = b'name: a\\nhandler: m:f\\nschedule: {type: interval, every: 1m}\\n';"
        "assert load_file('a', text, settings=Settings()).jobs;"
        "print('jsonschema' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def test_an_offset_with_seconds_is_none_of_rfc_3339() -> None:
    """London kept its own time then, 75 seconds behind Greenwich."""
    assert format_in_zone(parse_instant("1013-03-29T01:30:30Z"), LONDON) == "1013-03-29T01:30:30Z"
