"""explain: an expression in words, with its next times."""

from __future__ import annotations

from typing import Any

import pytest

FRIDAY_13 = ["0 0 13 * 5", "--tz", "Europe/London", "--from", "2026-11-22T09:31:00Z", "-n", "3"]


def test_json_has_the_next_times_with_the_offset_of_the_zone(luad: Any) -> None:
    found = luad("explain", *FRIDAY_13, "--json").json
    assert found["next"] == [
        "2026-11-27T00:00:00+00:00",
        "2026-12-04T00:00:00+00:00",
        "2026-12-11T00:00:00+00:00",
    ]
    assert "Friday" in found["summary"]
    assert (found["expression"], found["timezone"]) == ("0 0 13 * 5", "Europe/London")
    assert "EITHER" in found["notes"][0]


def test_text_names_the_zone_and_both_days(luad: Any) -> None:
    result = luad("explain", *FRIDAY_13)
    assert result.lines[0].startswith("0 0 13 * 5    at 00:00")
    assert any(line.startswith("note: ") for line in result.lines)
    assert "next: Fri 27 Nov" in result.out
    assert "GMT" in result.out


@pytest.mark.parametrize(
    ("args", "expected"),
    [
        (["30 2 * * *", "--tz", "America/New_York", "--from", "2026-03-07T12:00:00Z"],
         ["2026-03-08T03:00:00-04:00", "2026-03-09T02:30:00-04:00"]),
        (["@daily", "--utc", "--from", "2026-01-01T00:00:00Z"],
         ["2026-01-02T00:00:00+00:00", "2026-01-03T00:00:00+00:00"]),
        (["every", "15m", "--from", "2026-01-01T00:00:00Z"],
         ["2026-01-01T00:15:00+00:00", "2026-01-01T00:30:00+00:00"]),
        (["2026-12-25T09:00", "--tz", "Asia/Tokyo", "--from", "2026-01-01T00:00:00Z"],
         ["2026-12-25T09:00:00+09:00"]),
        # a start without an offset is read in the zone that is asked for
        (["0 9 * * *", "--tz", "Asia/Tokyo", "--from", "2026-01-01T08:59"],
         ["2026-01-01T09:00:00+09:00", "2026-01-02T09:00:00+09:00"]),
    ],
)  # fmt: skip
def test_what_it_accepts(luad: Any, args: list[str], expected: list[str]) -> None:
    assert luad("explain", *args, "-n", "2", "--json").json["next"] == expected


def test_a_mistake_is_underlined(luad: Any) -> None:
    result = luad("explain", "0 25 * * *")
    assert result.code == 2
    assert result.out == ""
    lines = result.err.splitlines()
    assert lines[0].startswith("error[schedule]: hour 25 is out of range 0–23")
    assert lines[1] == "  0 25 * * *"
    assert lines[2].startswith("    ^^")
    told = luad("explain", "0 25 * * *", "--json").problem
    assert (told["code"], told["status"]) == ("schedule", 422)


@pytest.mark.parametrize("text", ["every blue moon", "every 0s", "2026-13-01", "0 9 * *", "x"])
def test_what_cannot_be_read_is_refused(luad: Any, text: str) -> None:
    result = luad("explain", text)
    assert result.code in {1, 2}
    assert result.err.startswith("error[")
    assert "luad itself failed" not in result.err


def test_an_unknown_zone_gets_the_nearest_one(luad: Any) -> None:
    result = luad("explain", "@daily", "--tz", "Europe/Londn")
    assert result.code == 2
    assert "did you mean `Europe/London`" in result.err


def test_the_zone_of_luad_yaml_is_the_default(luad: Any, tmp_path: Any) -> None:
    (tmp_path / "luad.yaml").write_text("timezone: Asia/Tokyo\n")
    assert luad("explain", "@daily", "--json").json["timezone"] == "Asia/Tokyo"


def test_a_change_of_the_clocks_is_marked(luad: Any) -> None:
    args = ["0 9 * * *", "--tz", "Europe/London", "--from", "2027-03-27T00:00Z", "-n", "2"]
    assert "clocks +1 h" in luad("explain", *args).lines[-1]


def test_what_has_passed_is_said(luad: Any) -> None:
    found = luad("explain", "2020-01-01T00:00:00Z", "--json").json
    assert found["next"] == []
    assert found["notes"] == ["this time is in the past"]


def test_a_foreign_zone_has_utc_beside_it_and_each_time_its_distance(luad: Any) -> None:
    shown = luad("explain", "0 9 * * *", "--tz", "Asia/Tokyo", "-n", "3").lines[-3:]
    assert all(" 00:00 UTC   in " in line for line in shown)
    shown = luad("explain", "30 2 * * *", "--tz", "Asia/Tokyo", "-n", "2").lines[-2:]
    assert all(" 17:30 UTC   in " in line for line in shown), (
        "with its day, which is the one before"
    )
    shown = luad("explain", "0 9 * * *", "--utc", "-n", "2").lines[-2:]
    assert all(line.count("UTC") == 1 and "   in " in line for line in shown)
    past = luad("explain", "0 9 * * *", "--from", "2020-01-01T00:00:00Z", "-n", "1").lines[-1]
    assert past.endswith(" ago")


def test_json_has_utc_and_the_distance(luad: Any) -> None:
    found = luad("explain", "0 9 * * *", "--tz", "Asia/Tokyo", "-n", "2", "--json").json
    assert [each["at"] for each in found["upcoming"]] == found["next"]
    assert all(each["utc"].endswith("T00:00:00Z") for each in found["upcoming"])
    assert all(each["in_seconds"] > 0 for each in found["upcoming"])
