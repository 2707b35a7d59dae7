"""Cron lines in time zones: Debian's rule for clocks that change, in every zone there is."""

from __future__ import annotations

import os
import struct
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from importlib import resources
from io import BytesIO
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING
from zoneinfo import TZPATH, ZoneInfo, available_timezones

import pytest
from cronsim import CronSim
from hypothesis import given, settings
from hypothesis import strategies as st

from luad.core.cron.search import ZoneError, compile_cron, load_zone, next_after
from luad.core.cron.zones import _BLOCK_BITS, _STEP_BITS, BEGIN, END, stretch_at
from luad.core.model import DAY, HOUR, MINUTE

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from luad.core.model import Instant


def at(text: str, zone: ZoneInfo | None = None) -> Instant:
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=zone or UTC)
    return round(moment.timestamp() * 1000)


def local(instant: Instant, zone: ZoneInfo) -> datetime:
    return datetime.fromtimestamp(instant / 1000, zone)


def fires(expression: str, zone: str, after: str, until: str) -> list[str]:
    """All times in (after, until], shown as the wall clock shows them, with the offset."""
    rule, where = compile_cron(expression), load_zone(zone)
    now, end, found = at(after, where), at(until, where), []
    while (instant := next_after(rule, where, now)) is not None and instant <= end:
        assert instant > now
        found.append(local(instant, where).strftime("%d %H:%M%z"))
        now = instant
    return found


# --- the days on which clocks change, told ------------------------------------------------------

CHANGES = [
    # zone, expression, after, until, fires at
    # New York, 8 March and 1 November 2026: 02:00 to 03:00 and back to 01:00
    (
        "America/New_York",
        "30 2 * * *",
        "2026-03-07T00:00",
        "2026-03-10T00:00",
        ["07 02:30-0500", "08 03:00-0400", "09 02:30-0400"],
    ),
    ("America/New_York", "0,30 2 * * *", "2026-03-08T00:00", "2026-03-09T00:00", ["08 03:00-0400"]),
    ("America/New_York", "0 3 * * *", "2026-03-08T00:00", "2026-03-09T00:00", ["08 03:00-0400"]),
    (
        "America/New_York",
        "0,30 2-3 * * *",
        "2026-03-08T00:00",
        "2026-03-09T00:00",
        ["08 03:00-0400", "08 03:30-0400"],
    ),
    ("America/New_York", "*/30 2 * * *", "2026-03-08T00:00", "2026-03-09T00:00", []),
    (
        "America/New_York",
        "*/30 1-3 * * *",
        "2026-03-08T00:00",
        "2026-03-09T00:00",
        ["08 01:00-0500", "08 01:30-0500", "08 03:00-0400", "08 03:30-0400"],
    ),
    (
        "America/New_York",
        "0 */2 * * *",
        "2026-03-08T00:00",
        "2026-03-08T06:00",
        ["08 04:00-0400", "08 06:00-0400"],
    ),
    (
        "America/New_York",
        "0 * * * *",
        "2026-03-08T00:30",
        "2026-03-08T04:30",
        ["08 01:00-0500", "08 03:00-0400", "08 04:00-0400"],
    ),
    ("America/New_York", "30 1 * * *", "2026-11-01T00:00", "2026-11-02T00:00", ["01 01:30-0400"]),
    (
        "America/New_York",
        "0 1-3 * * *",
        "2026-11-01T00:00",
        "2026-11-02T00:00",
        ["01 01:00-0400", "01 02:00-0500", "01 03:00-0500"],
    ),
    (
        "America/New_York",
        "30 * * * *",
        "2026-11-01T00:00",
        "2026-11-01T02:45",
        ["01 00:30-0400", "01 01:30-0400", "01 01:30-0500", "01 02:30-0500"],
    ),
    (
        "America/New_York",
        "*/30 1 * * *",
        "2026-11-01T00:00",
        "2026-11-02T00:00",
        ["01 01:00-0400", "01 01:30-0400", "01 01:00-0500", "01 01:30-0500"],
    ),
    # six fields: minute and hour decide, the seconds have no say
    (
        "America/New_York",
        "*/20 30 2 * * *",
        "2026-03-08T00:00",
        "2026-03-09T00:00",
        ["08 03:00-0400"],
    ),
    (
        "America/New_York",
        "15 30 1 * * *",
        "2026-11-01T00:00",
        "2026-11-02T00:00",
        ["01 01:30-0400"],
    ),
    # London and Berlin, 29 March and 25 October 2026
    ("Europe/London", "30 1 * * *", "2026-03-29T00:00", "2026-03-30T00:00", ["29 02:00+0100"]),
    ("Europe/London", "30 1 * * *", "2026-10-25T00:00", "2026-10-26T00:00", ["25 01:30+0100"]),
    ("Europe/Berlin", "30 2 * * *", "2026-03-29T00:00", "2026-03-30T00:00", ["29 03:00+0200"]),
    ("Europe/Berlin", "30 2 * * *", "2026-10-25T00:00", "2026-10-26T00:00", ["25 02:30+0200"]),
    (
        "Europe/Berlin",
        "*/30 * * * *",
        "2026-10-25T01:45",
        "2026-10-25T03:00",
        [
            "25 02:00+0200",
            "25 02:30+0200",
            "25 02:00+0100",
            "25 02:30+0100",
            "25 03:00+0100",
        ],
    ),
    # Lord Howe moves by half an hour: 4 October and 5 April 2026
    (
        "Australia/Lord_Howe",
        "15 2 * * *",
        "2026-10-04T00:00",
        "2026-10-05T00:00",
        ["04 02:30+1100"],
    ),
    (
        "Australia/Lord_Howe",
        "0 * * * *",
        "2026-10-04T00:30",
        "2026-10-04T04:00",
        ["04 01:00+1030", "04 03:00+1100", "04 04:00+1100"],
    ),
    (
        "Australia/Lord_Howe",
        "45 * * * *",
        "2026-04-05T00:50",
        "2026-04-05T03:00",
        ["05 01:45+1100", "05 01:45+1030", "05 02:45+1030"],
    ),
    (
        "Australia/Lord_Howe",
        "45 1 * * *",
        "2026-04-05T00:00",
        "2026-04-06T00:00",
        ["05 01:45+1100"],
    ),
    # Apia had no 30 December 2011
    (
        "Pacific/Apia",
        "0 12 * * *",
        "2011-12-29T00:00",
        "2012-01-01T00:00",
        ["29 12:00-1000", "31 00:00+1400", "31 12:00+1400"],
    ),
    (
        "Pacific/Apia",
        "0 0 * * *",
        "2011-12-29T12:00",
        "2012-01-01T12:00",
        ["31 00:00+1400", "01 00:00+1400"],
    ),
    (
        "Pacific/Apia",
        "0 */12 * * *",
        "2011-12-29T00:00",
        "2011-12-31T12:00",
        ["29 12:00-1000", "31 00:00+1400", "31 12:00+1400"],
    ),
    # midnights that do not exist, and one that comes twice
    (
        "America/Havana",
        "0 0 * * *",
        "2026-03-07T12:00",
        "2026-03-09T12:00",
        ["08 01:00-0400", "09 00:00-0400"],
    ),
    (
        "America/Havana",
        "30 0 * * *",
        "2026-10-31T12:00",
        "2026-11-02T12:00",
        ["01 00:30-0400", "02 00:30-0500"],
    ),
    (
        "America/Sao_Paulo",
        "0 0 * * *",
        "2018-11-03T12:00",
        "2018-11-05T12:00",
        ["04 01:00-0200", "05 00:00-0200"],
    ),
    (
        "America/Sao_Paulo",
        "30 23 * * *",
        "2018-02-17T12:00",
        "2018-02-19T12:00",
        ["17 23:30-0200", "18 23:30-0300"],
    ),
    (
        "America/Santiago",
        "0 0 * * *",
        "2026-09-05T12:00",
        "2026-09-07T12:00",
        ["06 01:00-0300", "07 00:00-0300"],
    ),
    ("America/Santiago", "30 23 * * *", "2026-04-04T12:00", "2026-04-05T12:00", ["04 23:30-0300"]),
    (
        "Asia/Beirut",
        "0 0 * * *",
        "2026-03-28T12:00",
        "2026-03-30T12:00",
        ["29 01:00+0300", "30 00:00+0300"],
    ),
    ("Africa/Cairo", "0 0 * * 5", "2026-04-23T12:00", "2026-04-30T12:00", ["24 01:00+0300"]),
    # negative daylight saving: Dublin's standard time is summer's, Casablanca's ends for Ramadan
    ("Europe/Dublin", "30 1 * * *", "2026-03-29T00:00", "2026-03-30T00:00", ["29 02:00+0100"]),
    ("Europe/Dublin", "30 1 * * *", "2026-10-25T00:00", "2026-10-26T00:00", ["25 01:30+0100"]),
    (
        "Africa/Casablanca",
        "30 2 * * *",
        "2026-02-15T00:00",
        "2026-02-16T12:00",
        ["15 02:30+0100", "16 02:30+0000"],
    ),
    ("Africa/Casablanca", "30 2 * * *", "2026-03-22T00:00", "2026-03-23T00:00", ["22 03:00+0100"]),
    # Troll moves by two hours
    (
        "Antarctica/Troll",
        "0,30 1-2 * * *",
        "2026-03-29T00:00",
        "2026-03-30T00:00",
        ["29 03:00+0200"],
    ),
    (
        "Antarctica/Troll",
        "30 1,2 * * *",
        "2026-10-25T00:00",
        "2026-10-26T00:00",
        ["25 01:30+0200", "25 02:30+0200"],
    ),
    (
        "Antarctica/Troll",
        "30 * * * *",
        "2026-10-25T01:00",
        "2026-10-25T03:00",
        ["25 01:30+0200", "25 02:30+0200", "25 01:30+0000", "25 02:30+0000"],
    ),
]


@pytest.mark.parametrize(
    ("zone", "expression", "after", "until", "expected"),
    CHANGES,
    ids=[f"{row[0]} {row[1]} {row[2][:10]}" for row in CHANGES],
)
def test_when_clocks_change_a_line_fires_at(
    zone: str, expression: str, after: str, until: str, expected: list[str]
) -> None:
    assert fires(expression, zone, after, until) == expected


def test_a_start_inside_the_repeated_hour_gives_nothing_past_and_loses_nothing() -> None:
    zone = load_zone("America/New_York")
    second_pass = at("2026-11-01T01:15-05:00")
    fixed = next_after(compile_cron("30 1 * * *"), zone, second_pass)
    assert fixed == at("2026-11-02T01:30-05:00")  # its turn was in the first pass
    assert next_after(compile_cron("0 2 * * *"), zone, second_pass) == at("2026-11-01T02:00-05:00")
    real = next_after(compile_cron("30 * * * *"), zone, second_pass)
    assert real == at("2026-11-01T01:30-05:00")


def test_a_repeated_hour_is_one_even_where_the_zone_is_looked_at_in_two_parts() -> None:
    zone = load_zone("Europe/Istanbul")
    back, over = at("2010-10-31T01:00"), at("2010-10-31T02:00")
    assert back >> _BLOCK_BITS != over >> _BLOCK_BITS, "choose another zone: the parts have moved"
    every_minute = compile_cron("0-59 0-23 * * *")
    for after in range(back - MINUTE, over, MINUTE):
        assert next_after(every_minute, zone, after) == over


# --- a naive twin ------------------------------------------------------------------------------

TWINNED = [
    "* * * * *",
    "*/15 * * * *",
    "0 * * * *",
    "30 * * * *",
    "30 2 * * *",
    "0,30 2 * * *",
    "*/30 2 * * *",
    "30 1 * * *",
    "0 1-3 * * *",
    "15 0-5 * * *",
    "0 0 * * *",
    "0 */2 * * *",
    "59 23 * * *",
    "45 1,2,3 * * 0",
]
TRANSITIONS = [
    ("America/New_York", "2026-03-08"),
    ("America/New_York", "2026-11-01"),
    ("Europe/London", "2026-03-29"),
    ("Europe/London", "2026-10-25"),
    ("Australia/Lord_Howe", "2026-10-04"),
    ("Australia/Lord_Howe", "2026-04-05"),
    ("Africa/Casablanca", "2026-02-15"),
    ("Pacific/Apia", "2011-12-30"),
    ("America/Havana", "2026-03-08"),
    ("America/Sao_Paulo", "2018-11-04"),
    ("America/Santiago", "2026-04-05"),
    ("Antarctica/Troll", "2026-10-25"),
    ("Pacific/Kwajalein", "1969-09-30"),  # a day that came twice, but for an hour
]


def _values(field: str, low: int, high: int) -> set[int]:
    values: set[int] = set()
    for item in field.split(","):
        span, _, step = item.partition("/")
        first, _, last = span.replace("*", f"{low}-{high}").partition("-")
        values |= set(range(int(first), int(last or first) + 1, int(step or 1)))
    return values


def minute_by_minute(
    expression: str, clock: Sequence[tuple[Instant, datetime]], reached: datetime
) -> Iterator[Instant]:
    """Cron's rule, said in the most tedious way. *clock* shows the wall clock of every minute;
    *reached* is the wall-clock time before which fixed times have had their turn."""
    minute, hour, _, _, weekday = expression.split()
    minutes, hours, weekdays = _values(minute, 0, 59), _values(hour, 0, 23), _values(weekday, 0, 6)

    def matches(wall: datetime) -> bool:
        is_today = wall.isoweekday() % 7 in weekdays
        return wall.minute in minutes and wall.hour in hours and is_today

    follows_real_time = minute.startswith("*") or hour.startswith("*")
    for instant, wall in clock:
        if follows_real_time:
            if matches(wall):
                yield instant
            continue
        is_due = False
        while reached < wall:
            reached += timedelta(minutes=1)
            is_due = is_due or matches(reached)
        if is_due:
            yield instant


def _wall_clock(zone: ZoneInfo, begin: Instant, end: Instant) -> list[tuple[Instant, datetime]]:
    return [
        (instant, local(instant, zone).replace(tzinfo=None, fold=0))
        for instant in range(begin, end, MINUTE)
    ]


@pytest.mark.parametrize(
    ("zone_name", "day"), TRANSITIONS, ids=[" ".join(row) for row in TRANSITIONS]
)
@pytest.mark.slow
def test_every_line_agrees_with_a_minute_by_minute_walk(zone_name: str, day: str) -> None:
    zone = load_zone(zone_name)
    begin = at(day) - 2 * DAY
    end = at(day) + 2 * DAY
    clock = _wall_clock(zone, begin + MINUTE, end)
    started = local(begin, zone).replace(tzinfo=None, fold=0)
    for expression in TWINNED:
        rule, found, now = compile_cron(expression), [], begin
        while (instant := next_after(rule, zone, now)) is not None and instant < end:
            found.append(instant)
            now = instant
        assert found == list(minute_by_minute(expression, clock, started)), expression


# --- every zone --------------------------------------------------------------------------------

# Some machines list their own setting among the zones, and a file that says "not set".
ALL_ZONES = sorted(available_timezones() - {"localtime", "Factory"})
AROUND = ("* * * * *", "30 2 * * *", "0 */2 * * *", "0,30 0-3 * * *", "15 * * * *")


@lru_cache
def changes_in(year: int) -> dict[tuple[tuple[Instant, int, int], ...], list[str]]:
    """The zones by their changes of offset in *year*: (instant, before, after), in ms."""
    begin, end = at(f"{year}-01-01"), at(f"{year + 1}-01-01")
    found: dict[tuple[tuple[Instant, int, int], ...], list[str]] = {}
    for name in ALL_ZONES:
        zone = ZoneInfo(name)
        offsets = [(day, _offset(day, zone)) for day in range(begin, end, DAY)]
        steps = [
            (_change(zone, day, later), before, after)
            for (day, before), (later, after) in pairwise(offsets)
            if before != after
        ]
        found.setdefault((*steps, (0, offsets[0][1], 0)), []).append(name)
    return found


def _offset(instant: Instant, zone: ZoneInfo) -> int:
    return (local(instant, zone).utcoffset() or timedelta()) // timedelta(milliseconds=1)


def _change(zone: ZoneInfo, low: Instant, high: Instant) -> Instant:
    before = _offset(low, zone)
    while high - low > MINUTE:
        middle = (low + high) // 2 // MINUTE * MINUTE
        low, high = (middle, high) if _offset(middle, zone) == before else (low, middle)
    return high


@pytest.mark.slow
def test_there_are_changes_to_look_at() -> None:
    kinds = changes_in(2026)
    assert sum(map(len, kinds.values())) == len(ALL_ZONES) > 400
    assert len(kinds) > 60


@pytest.mark.slow
def test_in_every_zone_next_increases_from_every_minute_around_every_change() -> None:
    rules = [compile_cron(expression) for expression in AROUND]
    for changes, names in changes_in(2026).items():
        for change, before, after in changes[:-1]:
            reach = 3 * HOUR + abs(after - before)
            points = range(change - reach, change + reach, MINUTE)
            zone = ZoneInfo(names[0])
            for rule in rules:
                _check_increasing([next_after(rule, zone, point) for point in points], points)


def _check_increasing(found: Sequence[Instant | None], points: Sequence[Instant]) -> None:
    for (instant, following), (point, later) in zip(pairwise(found), pairwise(points), strict=True):
        assert instant is not None
        assert following is not None
        assert instant > point
        # A later question has the same answer until that answer is past, and nothing is lost.
        assert following == instant if instant > later else following > instant


@pytest.mark.slow
def test_in_every_zone_lines_agree_with_the_walk_around_every_change() -> None:
    for changes, names in changes_in(2026).items():
        for change, _, _ in changes[:-1]:
            zone = ZoneInfo(names[0])
            begin, end = change - 6 * HOUR, change + 6 * HOUR
            clock = _wall_clock(zone, begin + MINUTE, end)
            started = local(begin, zone).replace(tzinfo=None, fold=0)
            for expression in AROUND:
                rule, now, found = compile_cron(expression), begin, []
                while (instant := next_after(rule, zone, now)) is not None and instant < end:
                    found.append(instant)
                    now = instant
                walked = list(minute_by_minute(expression, clock, started))
                assert found == walked, (names[0], expression)


@pytest.mark.slow
def test_in_every_zone_by_name_the_next_times_follow_the_wall_clock() -> None:
    rule = compile_cron("30 2 * * *")
    for name in ALL_ZONES:
        zone, now = load_zone(name), at("2026-01-01")
        for _ in range(400):
            instant = next_after(rule, zone, now)
            assert instant is not None
            assert now < instant <= now + DAY + 3 * HOUR
            wall = local(instant, zone)
            assert (wall.hour, wall.minute) == (2, 30) or wall.utcoffset() != local(
                instant - 1, zone
            ).utcoffset()
            now = instant


# --- compared with cronsim ---------------------------------------------------------------------
# cronsim follows the same rule. Known differences, left out here: Lord Howe (it steps through hours
# of an hour, and misses half of one), zones that skip midnight (a line with stars then fires at 01:00
# for 00:00), `#` and `L5` beside a day of month (it takes either), and six fields. croniter is compared in UTC only: in zones it repeats fixed times in the repeated hour, and
# takes `*/30 2` for a fixed time.

COMPARED = ["America/New_York", "Europe/Berlin", "Australia/Sydney", "Africa/Casablanca"]
COMPARED += ["Europe/Dublin", "Antarctica/Troll", "Asia/Kathmandu", "America/St_Johns"]

minutes = st.sampled_from(["*", "*/15", "0", "30", "0,30", "10-50/20", "59"])
hours = st.sampled_from(["*", "*/2", "*/3", "0", "1", "2", "1-3", "2,3", "0,23"])
days = st.sampled_from(["*", "*/2", "1", "L", "8,25,29", "1-7"])
weekdays = st.sampled_from(["*", "0", "1-5", "*/2"])


@given(
    st.tuples(minutes, hours, days, st.sampled_from(["*", "3,10,11", "2-4"]), weekdays),
    st.sampled_from(COMPARED),
    st.one_of(
        st.integers(at("2015-01-01"), at("2036-01-01")).map(lambda ms: ms // 1000),
        st.sampled_from([at("2026-03-08"), at("2026-11-01"), at("2026-03-29"), at("2026-10-25")])
        .flatmap(lambda day: st.integers(day - DAY, day + DAY))
        .map(lambda ms: ms // 1000),
    ),
)
@settings(max_examples=400, deadline=None)
@pytest.mark.slow
def test_in_zones_the_next_times_are_those_of_cronsim(
    fields: tuple[str, ...], zone_name: str, second: int
) -> None:
    expression, zone = " ".join(fields), load_zone(zone_name)
    start = datetime.fromtimestamp(second, zone)
    rule, now = compile_cron(expression), second * 1000
    theirs = CronSim(expression, start)
    for _ in range(4):
        expected = round(next(theirs).timestamp() * 1000)
        while expected <= now:  # started in the second pass, it names times of the first: cronsim's
            expected = round(next(theirs).timestamp() * 1000)
        instant = next_after(rule, zone, now)
        assert instant == expected
        now = expected


# --- stretches of one offset -------------------------------------------------------------------


def _offset_changes(data: bytes) -> list[tuple[int, int]]:
    """(second, offset from then on) of a zone file in the format of RFC 9636."""
    isut, isstd, leap, times, types, chars = struct.unpack(">6l", data[20:44])
    skipped = 44 + times * 5 + types * 6 + chars + leap * 8 + isstd + isut
    _, _, _, times, types, _ = struct.unpack(">6l", data[skipped + 20 : skipped + 44])
    body = data[skipped + 44 :]
    instants = struct.unpack(f">{times}q", body[: times * 8])
    kinds = struct.iter_unpack(">lbb", body[times * 9 : times * 9 + types * 6])
    offsets = [offset for offset, _, _ in kinds]
    found: list[tuple[int, int]] = []
    for instant, kind in zip(instants, body[times * 8 : times * 9], strict=True):
        if not found or found[-1][1] != offsets[kind]:
            found.append((instant, offsets[kind]))
    return found


def test_no_zone_goes_there_and_back_within_one_look() -> None:
    folder = resources.files("tzdata.zoneinfo")
    names = resources.files("tzdata").joinpath("zones").read_text().split()
    files = [folder.joinpath(*name.split("/")).read_bytes() for name in names]
    places = [Path(path, name) for path in TZPATH for name in names]
    files += [place.read_bytes() for place in places if place.is_file()]
    quickest = min(
        later - instant
        for data in files
        for (instant, _), (later, _) in pairwise(_offset_changes(data))
    )
    assert quickest * 1000 > 1 << _STEP_BITS


@pytest.mark.slow
def test_stretches_end_exactly_where_the_zone_files_say() -> None:
    folder = resources.files("tzdata.zoneinfo")
    for name in ALL_ZONES[::10]:
        place = folder.joinpath(*name.split("/"))
        if not place.is_file():  # this machine knows a zone that the package has not
            continue
        data = place.read_bytes()
        zone = ZoneInfo.from_file(BytesIO(data), key=name)
        for (_, before), (second, after) in pairwise(_offset_changes(data)):
            if second * 1000 < at("1900-01-01"):
                continue
            assert stretch_at(zone, second * 1000 - 1).offset == before * 1000
            stretch = stretch_at(zone, second * 1000)
            assert (stretch.start, stretch.offset) == (second * 1000, after * 1000)


@given(st.sampled_from(ALL_ZONES), st.integers(at("1950-01-01"), at("2190-01-01")))
@settings(max_examples=150, deadline=None)
def test_a_stretch_has_the_offset_that_the_zone_has(name: str, instant: Instant) -> None:
    zone = load_zone(name)
    stretch = stretch_at(zone, instant)
    assert stretch.start <= instant < stretch.end
    assert stretch.end - stretch.start <= 1 << _BLOCK_BITS
    for point in (stretch.start, instant, stretch.end - 1):
        assert stretch.offset == _offset(point // 1000 * 1000, zone)


def test_the_ends_of_the_calendar_are_inside_what_datetime_knows() -> None:
    for name in ("Pacific/Kiritimati", "Etc/GMT+12", "America/New_York"):
        zone = load_zone(name)
        assert stretch_at(zone, BEGIN).end > BEGIN
        assert stretch_at(zone, END).end > END


# --- zones by name -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "suggested"),
    [
        ("Europe/Londn", "Europe/London"),
        ("europe/london", "Europe/London"),
        ("EUROPE/LONDON", "Europe/London"),
        ("London", "Europe/London"),
        ("new york", "America/New_York"),
        ("America/New York", "America/New_York"),
        (" Europe/Paris ", "Europe/Paris"),
        ("utc", "UTC"),
    ],
)
def test_a_misspelt_zone_is_refused_with_the_right_name(name: str, suggested: str) -> None:
    with pytest.raises(ZoneError) as caught:
        load_zone(name)
    assert caught.value.suggestions[0] == suggested


@pytest.mark.parametrize(
    "name",
    [
        "",
        " ",
        "../../etc/passwd",
        "Europe/../Europe/London",
        "/usr/share/zoneinfo/Europe/London",
        "/etc/localtime",
        "localtime",
        "posixrules",
        "posix/Europe/London",
        "right/Europe/London",
        "Europe",
        "Europe/",
        "Europe//London",
        "zone.tab",
        "tzdata.zi",
        "__init__",
        "UTC\x00",
        "UTC\n",
        "Europe/L\u00f6ndon",
        "\ud800",
        "a" * 10_000,
    ],
)
def test_what_is_no_zone_name_is_refused(name: str) -> None:
    with pytest.raises(ZoneError) as caught:
        load_zone(name)
    assert len(caught.value.message) < 100


@given(st.text(max_size=80))
@settings(max_examples=60, deadline=None)
@pytest.mark.slow
def test_any_text_is_a_zone_or_a_zone_error(name: str) -> None:
    try:
        zone = load_zone(name)
    except ZoneError:
        return
    assert zone.key == name


@pytest.mark.slow
def test_without_a_zone_database_on_the_machine_the_package_is_used() -> None:
    code = (
        "from luad.core.cron.search import load_zone, compile_cron, next_after;"
        "zone = load_zone('Europe/London');"
        "assert next_after(compile_cron('0 9 * * *'), zone, 1774900800000) == 1774944000000"
    )
    environment = {**os.environ, "PYTHONTZPATH": ""}
    subprocess.run([sys.executable, "-c", code], check=True, env=environment)


def test_damaged_zone_data_are_refused_and_nobody_waits_for_their_end(tmp_path: Path) -> None:
    """Python's own loader looks for ever for the end of a zone file that was cut off."""
    whole = resources.files("tzdata").joinpath("zoneinfo", "America", "New_York").read_bytes()
    lengths = [*range(len(whole) - 20, len(whole)), 4, 44, 100, len(whole) // 2]
    for length in lengths:
        (tmp_path / f"Cut{length}").write_bytes(whole[:length])
    (tmp_path / "Whole").write_bytes(whole)
    (tmp_path / "Text").write_text("no zone")
    code = (
        "from luad.core.cron.zones import load_zone, ZoneError\n"
        "import pathlib, sys\n"
        "for path in pathlib.Path(sys.argv[1]).iterdir():\n"
        "    try: load_zone(path.name)\n"
        "    except ZoneError as error: print(path.name, error.message)\n"
    )
    told = subprocess.run(
        [sys.executable, "-c", code, tmp_path],
        check=True,
        env={**os.environ, "PYTHONTZPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=30,
    ).stdout.splitlines()
    damaged = [f"the data of time zone `Cut{each}` are damaged on this machine" for each in lengths]
    assert {line.partition(" ")[2] for line in told} == {*damaged, "unknown time zone `Text`"}
