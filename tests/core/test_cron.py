"""Cron lines: what is read, what is refused and how, and the next civil match."""

from __future__ import annotations

import subprocess
import sys
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest
from croniter import CroniterError, croniter
from cronsim import CronSim
from hypothesis import example, given, settings
from hypothesis import strategies as st
from support.cost import turns

from luad.core.cron.cronline import MAX_LENGTH, read_line
from luad.core.cron.search import CronError, compile_cron, load_zone, next_after
from luad.core.cron.zones import BEGIN, END
from luad.core.model import DAY, MINUTE

if TYPE_CHECKING:
    from luad.core.model import Instant

UTC_ZONE = load_zone("UTC")


def at(text: str) -> Instant:
    moment = datetime.fromisoformat(text)
    moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return round(moment.timestamp() * 1000)


def shown(instant: Instant | None) -> str | None:
    if instant is None:
        return None
    return datetime.fromtimestamp(instant / 1000, UTC).strftime("%Y-%m-%d %H:%M:%S")


def following(expression: str, after: str, count: int) -> list[str | None]:
    """The next *count* times in UTC."""
    rule, now, found = compile_cron(expression), at(after), []
    for _ in range(count):
        instant = next_after(rule, UTC_ZONE, now)
        found.append(shown(instant))
        if instant is None:
            break
        now = instant
    return found


def problem_of(expression: str) -> CronError | None:
    try:
        compile_cron(expression)
    except CronError as error:
        return error
    return None


# --- what fires when ---------------------------------------------------------------------------

FIRES = [
    ("* * * * *", "2026-01-01T00:00", ["2026-01-01 00:01:00", "2026-01-01 00:02:00"]),
    ("*/15 * * * *", "2026-01-01T00:50", ["2026-01-01 01:00:00", "2026-01-01 01:15:00"]),
    ("5/10 * * * *", "2026-01-01T00:46", ["2026-01-01 00:55:00", "2026-01-01 01:05:00"]),
    ("*/60 * * * *", "2026-01-01T00:00", ["2026-01-01 01:00:00", "2026-01-01 02:00:00"]),
    ("0 9-17/4 * * *", "2026-01-01T10:00", ["2026-01-01 13:00:00", "2026-01-01 17:00:00"]),
    ("0 9 * * mon-fri", "2026-01-02T09:00", ["2026-01-05 09:00:00", "2026-01-06 09:00:00"]),
    ("0 9 * * 5-7", "2026-01-01T09:00", ["2026-01-02 09:00:00", "2026-01-03 09:00:00"]),
    ("0 9 * * 1-7/3", "2026-01-01T09:00", ["2026-01-04 09:00:00", "2026-01-05 09:00:00"]),
    ("0 9 * * 0", "2026-01-01T09:00", ["2026-01-04 09:00:00", "2026-01-11 09:00:00"]),
    ("0 9 * * 7", "2026-01-01T09:00", ["2026-01-04 09:00:00", "2026-01-11 09:00:00"]),
    ("0 0 1 jan,JUL *", "2026-01-01T00:00", ["2026-07-01 00:00:00", "2027-01-01 00:00:00"]),
    # one value each, where croniter alone reads the whole cycle
    ("1-1 * * * *", "2026-01-01T00:00", ["2026-01-01 00:01:00", "2026-01-01 01:01:00"]),
    ("0 0 1 JAN-JAN *", "2026-01-01T00:00", ["2027-01-01 00:00:00", "2028-01-01 00:00:00"]),
    ("0 0 * * SUN-SUN", "2026-01-01T00:00", ["2026-01-04 00:00:00", "2026-01-11 00:00:00"]),
    # either day field, or both
    ("0 0 13 * 5", "2026-11-22T00:00", ["2026-11-27 00:00:00", "2026-12-04 00:00:00"]),
    ("0 0 */2 * 1", "2026-11-22T00:00", ["2026-11-23 00:00:00", "2026-12-07 00:00:00"]),
    ("0 0 13 * */2", "2026-01-01T00:00", ["2026-01-13 00:00:00", "2026-06-13 00:00:00"]),
    ("0 0 13 * ?", "2026-01-01T00:00", ["2026-01-13 00:00:00", "2026-02-13 00:00:00"]),
    ("0 0 ? * 1", "2026-01-01T00:00", ["2026-01-05 00:00:00", "2026-01-12 00:00:00"]),
    ("0 0 13 * 5#2", "2026-01-01T00:00", ["2026-02-13 00:00:00", "2026-03-13 00:00:00"]),
    # the last day, the nth weekday
    ("0 0 L * *", "2028-02-01T00:00", ["2028-02-29 00:00:00", "2028-03-31 00:00:00"]),
    ("0 0 15,L * *", "2026-02-01T00:00", ["2026-02-15 00:00:00", "2026-02-28 00:00:00"]),
    ("0 0 30-L * *", "2026-02-01T00:00", ["2026-03-30 00:00:00", "2026-03-31 00:00:00"]),
    ("0 0 L * 1", "2026-01-20T00:00", ["2026-01-26 00:00:00", "2026-01-31 00:00:00"]),
    ("0 0 * * L5", "2026-01-01T00:00", ["2026-01-30 00:00:00", "2026-02-27 00:00:00"]),
    ("0 0 * * 5#5", "2026-01-01T00:00", ["2026-01-30 00:00:00", "2026-05-29 00:00:00"]),
    ("0 0 * * FRI#1,L0", "2026-01-01T00:00", ["2026-01-02 00:00:00", "2026-01-25 00:00:00"]),
    # seconds come first
    ("*/20 * * * * *", "2026-01-01T00:00", ["2026-01-01 00:00:20", "2026-01-01 00:00:40"]),
    ("30 0 12 * * *", "2026-01-01T00:00", ["2026-01-01 12:00:30", "2026-01-02 12:00:30"]),
    ("59 59 23 31 12 *", "2026-01-01T00:00", ["2026-12-31 23:59:59", "2027-12-31 23:59:59"]),
    # aliases
    ("@hourly", "2026-01-01T00:00", ["2026-01-01 01:00:00", "2026-01-01 02:00:00"]),
    ("@Daily", "2026-01-01T00:00", ["2026-01-02 00:00:00", "2026-01-03 00:00:00"]),
    ("@midnight", "2026-01-01T00:00", ["2026-01-02 00:00:00", "2026-01-03 00:00:00"]),
    ("@weekly", "2026-01-01T00:00", ["2026-01-04 00:00:00", "2026-01-11 00:00:00"]),
    ("@monthly", "2026-01-01T00:00", ["2026-02-01 00:00:00", "2026-03-01 00:00:00"]),
    ("@yearly", "2026-01-01T00:00", ["2027-01-01 00:00:00", "2028-01-01 00:00:00"]),
    (" @annually ", "2026-01-01T00:00", ["2027-01-01 00:00:00", "2028-01-01 00:00:00"]),
    # far apart: a leap day, over a year that is none; a leap day on a Friday
    ("0 0 29 2 *", "2096-03-01T00:00", ["2104-02-29 00:00:00", "2108-02-29 00:00:00"]),
    ("0 0 29 2 L5", "2080-01-01T00:00", ["2092-02-29 00:00:00", "2104-02-29 00:00:00"]),
    ("0 0 1 1 *", "2198-06-01T00:00", ["2199-01-01 00:00:00", "2200-01-01 00:00:00"]),
    # before 1970
    ("0 0 1 1 *", "1965-06-01T00:00", ["1966-01-01 00:00:00", "1967-01-01 00:00:00"]),
    ("*/30 * * * *", "1969-12-31T23:15", ["1969-12-31 23:30:00", "1970-01-01 00:00:00"]),
]


@pytest.mark.parametrize(("expression", "after", "expected"), FIRES, ids=[row[0] for row in FIRES])
def test_the_next_times_are(expression: str, after: str, expected: list[str]) -> None:
    assert following(expression, after, len(expected)) == expected


def test_the_instant_itself_is_not_after_it_but_a_millisecond_earlier_is_before() -> None:
    rule = compile_cron("0 2 * * *")
    due = at("2026-01-02T02:00")
    assert next_after(rule, UTC_ZONE, due - 1) == due
    assert next_after(rule, UTC_ZONE, due) == due + DAY
    assert next_after(rule, UTC_ZONE, due + 1) == due + DAY


@pytest.mark.parametrize("zone", ["UTC", "Pacific/Kiritimati", "Etc/GMT+12", "Europe/Dublin"])
def test_at_the_ends_of_the_calendar_there_is_an_answer_and_no_exception(zone: str) -> None:
    rule = compile_cron("* * * * *")
    assert next_after(rule, load_zone(zone), END) is None
    assert next_after(rule, load_zone(zone), 10**18) is None
    assert next_after(compile_cron("0 0 29 2 *"), load_zone(zone), END - DAY) is None
    first = next_after(rule, load_zone(zone), -(10**18))
    assert first is not None
    assert BEGIN < first <= BEGIN + MINUTE
    assert next_after(compile_cron("0 0 1 1 *"), load_zone(zone), END - 400 * DAY) is not None


@pytest.mark.parametrize(
    ("expression", "has_seconds", "follows_real_time"),
    [
        ("30 2 * * *", False, False),
        ("*/30 2 * * *", False, True),
        ("0 */2 * * *", False, True),
        ("0-59 2 * * *", False, False),
        ("* 30 2 * * *", True, False),  # a star among the seconds does not count
        ("0 0 * * * *", True, True),
        ("@hourly", False, True),
        ("@daily", False, False),
    ],
)
def test_a_star_in_minute_or_hour_makes_a_line_follow_real_time(
    expression: str, *, has_seconds: bool, follows_real_time: bool
) -> None:
    rule = compile_cron(expression)
    assert (rule.has_seconds, rule.follows_real_time) == (has_seconds, follows_real_time)


# --- compared with others ----------------------------------------------------------------------


def _fields(low: int, high: int) -> st.SearchStrategy[str]:
    """Fields that all three read alike: no equal ranges, no step beyond its range."""
    value = st.integers(low, high)
    pair = st.tuples(value, value).filter(lambda ends: ends[0] < ends[1])
    span = pair.map(lambda ends: f"{ends[0]}-{ends[1]}")
    stepped = pair.flatmap(
        lambda ends: st.integers(1, ends[1] - ends[0]).map(lambda n: f"{ends[0]}-{ends[1]}/{n}")
    )
    item = st.one_of(value.map(str), span, stepped)
    listed = st.lists(item, min_size=1, max_size=3).map(",".join)
    star_step = st.integers(2, high - low).map(lambda n: f"*/{n}")
    return st.one_of(st.just("*"), star_step, value.map(str), listed)


lines = st.tuples(_fields(0, 59), _fields(0, 23), _fields(1, 31), _fields(1, 12), _fields(0, 6))
instants = st.integers(at("1972-01-01"), at("2090-01-01"))


@given(lines, instants)
@settings(max_examples=400, deadline=None)
@example(("30", "2", "29", "2", "*"), at("2026-01-01"))
@example(("0", "0", "31", "*/2", "*/3"), at("2026-01-01"))
@pytest.mark.slow
def test_in_utc_the_next_times_are_those_of_croniter_and_cronsim(
    fields: tuple[str, ...], after: Instant
) -> None:
    expression = " ".join(fields)
    problem = problem_of(expression)
    if problem is not None:
        assert problem.never_fires
        with pytest.raises(CroniterError):
            croniter(expression, 0, implement_cron_bug=True).get_next()
        return
    rule = compile_cron(expression)
    start = datetime.fromtimestamp(after // 1000, UTC)
    theirs = croniter(
        expression, start, datetime, implement_cron_bug=True, max_years_between_matches=50
    )
    sim = CronSim(expression, start)
    now = after // 1000 * 1000
    for _ in range(3):
        instant = next_after(rule, UTC_ZONE, now)
        assert instant is not None
        assert instant == round(theirs.get_next(float) * 1000)
        assert instant == round(next(sim).timestamp() * 1000)
        now = instant


nth_weekdays = st.one_of(
    st.tuples(st.integers(0, 7), st.integers(1, 5)).map(lambda pair: f"{pair[0]}#{pair[1]}"),
    st.integers(0, 7).map(lambda day: f"L{day}"),
)


@given(
    st.lists(nth_weekdays, min_size=1, max_size=3).map(",".join),
    st.sampled_from(["*", "*/2", "L", "1,15", "10-20", "25-31"]),
    instants,
)
@settings(max_examples=150, deadline=None)
@pytest.mark.slow
def test_weekdays_with_an_ordinal_hold_together_with_the_day_of_month(
    weekday: str, day: str, after: Instant
) -> None:
    expression = f"0 12 {day} * {weekday}"
    start = datetime.fromtimestamp(after // 1000, UTC)
    problem = problem_of(expression)
    if problem is not None:
        assert problem.never_fires
        with pytest.raises(CroniterError):
            croniter(expression, start).get_next()
        return
    rule = compile_cron(expression)
    if day in {"*", "*/2"}:  # beside other days of the month, croniter follows the weekday alone
        expected = croniter(expression, start, implement_cron_bug=True).get_next(float)
        assert next_after(rule, UTC_ZONE, after // 1000 * 1000) == round(expected * 1000)
    instant = next_after(rule, UTC_ZONE, after)
    assert instant is not None
    assert _matches_ordinal(datetime.fromtimestamp(instant / 1000, UTC), day, weekday)


def _matches_ordinal(moment: datetime, day: str, weekday: str) -> bool:
    month_ends = datetime.fromtimestamp(moment.timestamp() + 86_400, UTC).month != moment.month
    is_last_week = (
        datetime.fromtimestamp(moment.timestamp() + 7 * 86_400, UTC).month != moment.month
    )
    today = moment.isoweekday() % 7
    ordinals = {f"{today}#{(moment.day + 6) // 7}"} | ({f"L{today}"} if is_last_week else set())
    wanted = set(weekday.replace("7#", "0#").replace("L7", "L0").split(","))
    dates = {
        "*": True,
        "*/2": moment.day % 2 == 1,
        "L": month_ends,
        "1,15": moment.day in {1, 15},
        "10-20": 10 <= moment.day <= 20,
        "25-31": moment.day >= 25,
    }
    return dates[day] and bool(ordinals & wanted)


# --- what is refused ---------------------------------------------------------------------------

REFUSED = [
    # expression, what is marked, message, help
    ("0 25 * * *", "25", "hour 25 is out of range 0–23", 'for 01:00 write "0 1 * * *"'),
    ("0 24 * * *", "24", "hour 24 is out of range 0–23", 'for 00:00 write "0 0 * * *"'),
    ("0 1,99 * * *", "99", "hour 99 is out of range 0–23", ""),
    ("60 * * * *", "60", "minute 60 is out of range 0–59", "for the full hour write 0"),
    ("61 0 * * * *", "61", "second 61 is out of range 0–59", ""),
    ("0 0 0 * *", "0", "day of month 0 is out of range 1–31", "the first day is 1"),
    ("0 0 0-5 * *", "0", "day of month 0 is out of range 1–31", "the first day is 1"),
    (
        "0 0 32 * *",
        "32",
        "day of month 32 is out of range 1–31",
        'for the last day of the month write "0 0 L * *"',
    ),
    ("0 0 * 13 *", "13", "month 13 is out of range 1–12", ""),
    ("0 0 * 0 *", "0", "month 0 is out of range 1–12", "the first month is 1"),
    ("0 0 * * 8", "8", "day of week 8 is out of range 0–7", "Sunday is 0 and 7, Monday is 1"),
    ("1-2000000000 * * * *", "2000000000", "minute 2000000000 is out of range 0–59", ""),
    (f"1-{'9' * 40} * * * *", "9" * 40, "minute 999999999… is out of range 0–59", ""),
    ("5-2 * * * *", "5-2", "range `5-2` runs backwards", 'write "5-59,0-2 * * * *"'),
    ("0 22-6 * * *", "22-6", "range `22-6` runs backwards", 'write "0 22-23,0-6 * * *"'),
    ("0 0 * NOV-FEB *", "NOV-FEB", "range `NOV-FEB` runs backwards", 'write "0 0 * 11-12,1-2 *"'),
    ("0 0 * * FRI-SUN", "FRI-SUN", "range `FRI-SUN` runs backwards", 'write "0 0 * * 5-7"'),
    ("0 0 * * 6-0", "6-0", "range `6-0` runs backwards", 'write "0 0 * * 6-7"'),
    ("*/0 * * * *", "0", "step 0 never moves", 'without a step it is "* * * * *"'),
    ("15/0 * * * *", "0", "step 0 never moves", 'without a step it is "15 * * * *"'),
    (
        "*/90 * * * *",
        "90",
        "step 90 is larger than the range 0–59",
        "for a fixed distance write `schedule: {type: interval, every: 90m}`",
    ),
    (
        "0 */25 * * *",
        "25",
        "step 25 is larger than the range 0–23",
        "for a fixed distance write `schedule: {type: interval, every: 25h}`",
    ),
    ("0 0 10-15/7 * *", "7", "step 7 is larger than the range 10–15", ""),
    (
        "59/15 * * * *",
        "15",
        "step 15 is larger than the range 59–59",
        "for a fixed distance write `schedule: {type: interval, every: 15m}`",
    ),
    (
        "H * * * *",
        "H",
        "`H` names no time",
        "write the value; to spread jobs out, give the job a `jitter`",
    ),
    (
        "H(0-5)/2 * * * *",
        "H(0-5)/2",
        "`H` names no time",
        "write the value; to spread jobs out, give the job a `jitter`",
    ),
    (
        "0 R * * *",
        "R",
        "`R` names no time",
        "write the value; to spread jobs out, give the job a `jitter`",
    ),
    (
        "0 0 15W * *",
        "15W",
        "`15W`: the nearest weekday is not supported",
        "choose a date or a weekday; `L` is the last day of the month",
    ),
    (
        "0 0 LW * *",
        "LW",
        "`LW`: the nearest weekday is not supported",
        "choose a date or a weekday; `L` is the last day of the month",
    ),
    (
        "0 0 L-3 * *",
        "L-3",
        "cannot read `L-3` as a day of month",
        "`L` is the last day of the month; it is not counted back from",
    ),
    (
        "0 0 L/1 * *",
        "L/1",
        "cannot read `L/1` as a day of month",
        "`L` is the last day of the month; it is not counted back from",
    ),
    (
        "0 0 * * 5L",
        "5L",
        "cannot read `5L` as a day of week",
        "for the last one of a month write `L5`",
    ),
    (
        "0 0 * * L",
        "L",
        "cannot read `L` as a day of week",
        "for the last one of a month write `L5`",
    ),
    (
        "0 0 * * 5#6",
        "6",
        "a month has no 6. weekday; `#` takes 1–5",
        "for the last one write `L5`",
    ),
    (
        "0 0 * * 1,5#2",
        "1,5#2",
        "plain weekdays do not mix with `#` and `L`",
        "write every item as `5#2` or `L5`, or declare two jobs",
    ),
    (
        "0 0 * * 1-5#2",
        "1-5#2",
        "cannot read `1-5#2` as a day of week",
        "write values 0–7, or SUN and so on",
    ),
    ("? * * * *", "?", "cannot read `?` as a minute", "`?` stands for `*` in a day field, alone"),
    (
        "0 0 1,? * *",
        "?",
        "cannot read `?` as a day of month",
        "`?` stands for `*` in a day field, alone",
    ),
    ("0 0 * JANUARY *", "JANUARY", "cannot read `JANUARY` as a month", "did you mean `JAN`?"),
    ("0 0 * * MON-FRY", "FRY", "cannot read `FRY` as a day of week", "did you mean `FRI`?"),
    (
        "0 0 * MON *",
        "MON",
        "`MON` is a day of week, and this is the month",
        "write values 1–12, or JAN and so on",
    ),
    (
        "1_0 * * * *",
        "1_0",
        "cannot read `1_0` as a minute",
        "write `*`, or values 0–59 as in `*/5`",
    ),
    (
        "1.5 * * * *",
        "1.5",
        "cannot read `1.5` as a minute",
        "write `*`, or values 0–59 as in `*/5`",
    ),
    (
        "0 -1 * * *",
        "-1",
        "cannot read `-1` as an hour",
        "write `*`, or values 0–23 as in `9-17`",
    ),
    (
        "1,,2 * * * *",
        ",",
        "a list has an empty item",
        "remove the comma that has no value beside it",
    ),
    (
        "0 0 1, * *",
        ",",
        "a list has an empty item",
        "remove the comma that has no value beside it",
    ),
    ("", "", "the cron expression is empty", 'for every day at 02:00 write "0 2 * * *"'),
    ("  ", "  ", "the cron expression is empty", 'for every day at 02:00 write "0 2 * * *"'),
    (
        "0 2 * *",
        "0 2 * *",
        "the cron expression has 4 fields; it takes 5, or 6 with the seconds first",
        'the fields are minute hour day-of-month month day-of-week; perhaps "0 2 * * *"',
    ),
    (
        "0 0 2 * * * 2099",
        "2099",
        "a cron expression does not have a field for the year (`2099`)",
        'write "0 0 2 * * *"; for one date use `type: once`',
    ),
    (
        "0 2 * * * root /bin/true",
        "root /bin/true",
        "`root /bin/true` is the user and the command of a system crontab",
        (
            'write "0 2 * * *", with  handler: luad.handlers.shell:run  and  metadata: {command: ...}; '
            "jobs run as luad's own user"
        ),
    ),
    (
        "@reboot",
        "@reboot",
        "`@reboot` names no time",
        "luad runs jobs by time; for something at start-up use a systemd unit",
    ),
    (
        "@every 5m",
        "@every 5m",
        "`@every` is not a cron expression",
        "write `schedule: {type: interval, every: 5m}`",
    ),
    ("@dayly", "@dayly", "unknown alias `@dayly`", "did you mean `@daily`?"),
    (
        "TZ=Europe/Paris 0 2 * * *",
        "TZ=Europe/Paris",
        "a cron expression does not carry its time zone",
        "write `timezone: Europe/Paris` beside `expression`",
    ),
    (
        "CRON_TZ=UTC 0 2 * * *",
        "CRON_TZ=UTC",
        "a cron expression does not carry its time zone",
        "write `timezone: UTC` beside `expression`",
    ),
    ("0\t2 * * *", "\t", "a tab cannot separate fields", "separate the fields with spaces"),
    (
        "0 2 * * *\n* * * * *",
        "\n",
        "a line break cannot separate fields",
        "separate the fields with spaces",
    ),
    (
        "0\u00a02 * * *",
        "\u00a0",
        "the character U+00A0 cannot separate fields",
        "separate the fields with spaces",
    ),
    (
        "0 \u0662 * * *",
        "\u0662",
        "the digit `\u0662` (U+0662) is not one of 0–9",
        "write plain digits",
    ),
    ("0 2 * * \x00", "\x00", "the character U+0000 has no place in a cron expression", ""),
    (
        "0 9–17 * * *",
        "–",
        "the character `–` (U+2013) has no place in a cron expression",
        "write a plain hyphen",
    ),
    ("0 9 31 2 *", "31 2", "schedule never fires: February has no day 31", ""),
    ("0 0 30,31 2 *", "30,31 2", "schedule never fires: February has no day 30 or 31", ""),
    (
        "0 0 31 2,4,6,9,11 *",
        "31 2,4,6,9,11",
        "schedule never fires: February, April, June, September and November never have a day 31",
        "",
    ),
    ("0 0 31 4 */2", "31 4", "schedule never fires: April has no day 31", ""),
    (
        "0 0 29 2 1#1",
        "29 2 1#1",
        "schedule never fires: day 29 is never the first Monday in February",
        "",
    ),
    (
        "0 0 31 * 1#1",
        "31 * 1#1",
        "schedule never fires: day 31 is never the first Monday of the month",
        "",
    ),
    (
        "0 0 L * 1#2",
        "L * 1#2",
        "schedule never fires: the last day is never the second Monday of the month",
        "",
    ),
]


@pytest.mark.parametrize(
    ("expression", "marked", "message", "advice"),
    REFUSED,
    ids=[repr(row[0])[:40] for row in REFUSED],
)
def test_a_bad_line_is_refused_with_its_place_and_what_to_write(
    expression: str, marked: str, message: str, advice: str
) -> None:
    with pytest.raises(CronError) as caught:
        compile_cron(expression)
    error = caught.value
    assert (error.message, error.help) == (message, advice)
    assert expression[error.start : error.end] == marked
    assert error.never_fires == message.startswith("schedule never fires")


def test_the_note_names_the_field_and_its_place() -> None:
    with pytest.raises(CronError) as caught:
        compile_cron("0 25 * * *")
    assert (caught.value.field, caught.value.note) == ("hour", "second field: hour")
    with pytest.raises(CronError) as caught:
        compile_cron("0 0 25 * * *")
    assert (caught.value.field, caught.value.note) == ("hour", "third field: hour")


def test_the_offsets_hold_with_spaces_before_and_between() -> None:
    with pytest.raises(CronError) as caught:
        compile_cron("  0   25 * * * ")
    assert (caught.value.start, caught.value.end) == (6, 8)
    assert caught.value.help == 'for 01:00 write "0   1 * * *"'


WORST = [
    "1," * 127 + "1 * * * *",
    "0-59," * 49 + "1 * * * *",
    "*/1," * 61 + "* * * * *",
    ",".join(["5#1", "L3"] * 31),
    f"0 0 * * {','.join(['5#1', 'L3'] * 34)}",
    f"0 0 * * {'9' * 240}",
    f"1-{'9' * 200}/{'9' * 40} * * * *",
    "@" + "a" * 250,
    "H(" * 60 + " * * * *",
    "JANUARY" * 30 + " * * * *",
    "TZ=" + "a" * 240,
    "0 0 31 2,4,6,9,11 *",
    "9" * 100_000,
    "* " * 100_000,
    "0 0 29 2 1#1",
]


@pytest.mark.parametrize("expression", WORST, ids=[row[:24] for row in WORST])
@pytest.mark.slow
def test_no_line_takes_long_to_read(expression: str) -> None:
    compile_cron("3 3 * * *")  # imports croniter

    def read_anew() -> None:
        compile_cron.cache_clear()
        read_line.cache_clear()
        problem_of(expression)

    assert turns(read_anew) < 10


cron_like = st.text(alphabet="0123456789*/-,#?LlWwHR @JANMOFRIsun_\t.()=\u0662é", max_size=40)
almost_lines = st.lists(
    st.text(alphabet="0123456789*/-,#?LMONFRI", min_size=1, max_size=8), min_size=4, max_size=7
).map(" ".join)


@given(st.one_of(cron_like, almost_lines, st.text(max_size=300)))
@settings(max_examples=600, deadline=None)
@example("0 0 * * L-L")
@example("0 0 L-L/2 * *")
@example("0 0 * * 7-7")
@example("*,L * * * *")
@example("0 0 *,L * 1")
@example("\ud800 * * * *")
@pytest.mark.slow
def test_any_text_is_a_rule_or_a_problem_inside_it(text: str) -> None:
    problem = problem_of(text)
    if problem is None:
        assert len(text.strip(" ")) <= MAX_LENGTH
        assert next_after(compile_cron(text), UTC_ZONE, 0) is not None
    else:
        assert 0 <= problem.start <= problem.end <= len(text)
        assert problem.start < problem.end or not text
        assert len(problem.message) < 600


def test_croniter_is_only_imported_when_a_line_is_read() -> None:
    code = (
        "import sys, luad.core.schedule; assert 'croniter' not in sys.modules;"
        "from luad.core.cron.search import compile_cron; compile_cron('1 * * * *');"
        "assert 'croniter' in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
