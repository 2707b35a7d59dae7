"""The names of cron lines, in tables and in sentences."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from luad.core.cron.crontext import describe_shortly
from luad.core.cron.search import CronError, compile_cron, describe, explain_fields, notes

ODD_DAYS = "1, 3, 5, 7, 9, 11, 13, 15, 17, 19, 21, 23, 25, 27, 29 and 31"

TEXTS = [
    # expression, in a table, in a sentence
    ("* * * * *", "every minute", "every minute"),
    ("*/15 * * * *", "every 15 min", "every 15 minutes"),
    ("0,15,30,45 * * * *", "every 15 min", "every 15 minutes"),
    ("*/60 * * * *", "every hour", "every hour"),
    ("0 * * * *", "every hour", "every hour"),
    ("@hourly", "every hour", "every hour"),
    ("5 * * * *", "every hour at :05", "every hour at :05"),
    ("5,35 * * * *", "every hour at :05 and :35", "every hour at :05 and :35"),
    ("*/7 * * * *", "*/7 * * * *", "at minutes 0, 7, 14, 21, 28, 35, 42, 49 and 56 of every hour"),
    ("5-59/15 * * * *", "5-59/15 * * * *", "every hour at :05, :20, :35 and :50"),
    ("0 */2 * * *", "every 2 h", "every 2 hours"),
    ("30 */2 * * *", "every 2 h at :30", "every 2 hours at :30"),
    ("0 */5 * * *", "0 */5 * * *", "at 00:00, 05:00, 10:00, 15:00 and 20:00 every day"),
    ("0 9-17 * * *", "every hour from 09:00 to 17:00", "every hour from 09:00 to 17:00"),
    ("* 2 * * *", "* 2 * * *", "every minute from 02:00 to 02:59"),
    (
        "*/15 9-17 * * 1-5",
        "*/15 9-17 * * 1-5",
        "every 15 minutes from 09:00 to 17:45 on Monday to Friday",
    ),
    ("*/10 * * * * *", "every 10 s", "every 10 seconds"),
    ("* * * * * *", "every second", "every second"),
    ("30 0 2 * * *", "02:00:30 daily", "at 02:00:30 every day"),
    ("0 0 2 * * *", "02:00 daily", "at 02:00 every day"),
    ("10 */20 * * * *", "10 */20 * * * *", "at second 10 of minutes 0, 20 and 40 of every hour"),
    ("*/30 30 2 * * *", "*/30 30 2 * * *", "at seconds 0 and 30 of minute 30 of hour 2"),
    ("0 2 * * *", "02:00 daily", "at 02:00 every day"),
    ("@daily", "00:00 daily", "at 00:00 every day"),
    ("0 9,17 * * *", "09:00, 17:00 daily", "at 09:00 and 17:00 every day"),
    ("0 9 * * 1", "Mon 09:00", "at 09:00 on Mondays"),
    ("0 9 * * mon-fri", "Mon–Fri 09:00", "at 09:00 on Monday to Friday"),
    ("0 9 * * SUN,SAT", "Sat,Sun 09:00", "at 09:00 on Saturdays and Sundays"),
    ("*/15 * * * 1", "Mon every 15 min", "every 15 minutes on Mondays"),
    ("0 0 1 * *", "day 1 00:00", "at 00:00 on day 1 of the month"),
    ("0 0 1,15 * *", "day 1,15 00:00", "at 00:00 on days 1 and 15 of the month"),
    ("0 0 28-L * *", "day 28–31 00:00", "at 00:00 on days 28–31 of the month"),
    ("0 0 L * *", "last day 00:00", "at 00:00 on the last day of the month"),
    ("0 0 1,L * *", "0 0 1,L * *", "at 00:00 on day 1 and the last day of the month"),
    ("0 0 1 1 *", "1 Jan 00:00", "at 00:00 on 1 January"),
    ("0 0 1 1,7 *", "0 0 1 1,7 *", "at 00:00 on day 1 in January and July"),
    ("0 0 * 6-8 *", "0 0 * 6-8 *", "at 00:00 every day from June to August"),
    ("0 0 * 6 1", "0 0 * 6 1", "at 00:00 on Mondays in June"),
    ("*/15 * * 6 *", "*/15 * * 6 *", "every 15 minutes every day in June"),
    ("0 0 * * 5#2", "0 0 * * 5#2", "at 00:00 on the second Friday of the month"),
    (
        "0 0 * 6 L5,1#1",
        "0 0 * 6 L5,1#1",
        "at 00:00 on the first Monday and the last Friday in June",
    ),
    (
        "0 0 13 * 5",
        "0 0 13 * 5",
        "at 00:00 on day 13 of the month, or on any Friday",
    ),
    (
        "0 0 13 6 5,0",
        "0 0 13 6 5,0",
        "at 00:00 on 13 June, or on any Friday or any Sunday in June",
    ),
    (
        "0 0 13 * 5#2",
        "0 0 13 * 5#2",
        "at 00:00 on day 13 of the month, if that is the second Friday of the month",
    ),
    (
        "0 0 */2 * 1",
        "0 0 */2 * 1",
        f"at 00:00 on days {ODD_DAYS} of the month, if that is a Monday",
    ),
    ("1-1 2-2 * * *", "02:01 daily", "at 02:01 every day"),
]


@pytest.mark.parametrize(("expression", "short", "sentence"), TEXTS, ids=[row[0] for row in TEXTS])
def test_a_line_is_called(expression: str, short: str, sentence: str) -> None:
    assert describe_shortly(expression) == short
    assert describe(expression) == sentence


def test_the_zone_is_told_unless_it_is_utc() -> None:
    assert describe("0 2 * * *", "Europe/London") == "at 02:00 every day (Europe/London)"
    assert describe("0 2 * * *", "UTC") == "at 02:00 every day"


def test_every_field_is_explained() -> None:
    assert explain_fields("*/30 0 13 * 5") == [
        ("minute", "*/30", "minute 0 and 30"),
        ("hour", "0", "hour 0"),
        ("day of month", "13", "day of month 13"),
        ("month", "*", "every month"),
        ("day of week", "5", "Friday"),
    ]
    assert explain_fields("0 0 2 1,L 1-3 5#2")[3:] == [
        ("day of month", "1,L", "day of month 1 and the last day of the month"),
        ("month", "1-3", "January, February and March"),
        ("day of week", "5#2", "the second Friday"),
    ]
    assert explain_fields("@weekly")[4] == ("day of week", "0", "Sunday")
    assert explain_fields("* * * * * *")[0] == ("second", "*", "every second")


@pytest.mark.parametrize(
    ("expression", "about"),
    [
        ("0 0 13 * 5", "EITHER matches"),
        ("0 0 13 * 5#2", "must BOTH match"),
        ("0 0 */2 * 1", "BOTH must match"),
        ("0 0 13 * */2", "BOTH must match"),
        ("0 0 31 * *", "months without a day 31 are left out"),
        ("0 0 29 2 *", "only leap years"),
    ],
)
def test_what_surprises_people_is_noted(expression: str, about: str) -> None:
    assert about in notes(expression)[0]


@pytest.mark.parametrize("expression", ["0 2 * * *", "0 0 31 1,3 *", "0 0 * * 5#2", "0 0 1 * *"])
def test_plain_lines_get_no_note(expression: str) -> None:
    assert notes(expression) == []


items = st.text(alphabet="0123456789*/-,LMONJ#", min_size=1, max_size=6)


@given(st.lists(st.one_of(st.sampled_from(["*", "0", "5", "*/2"]), items), min_size=5, max_size=6))
@settings(max_examples=400, deadline=None)
@pytest.mark.slow
def test_whatever_can_be_read_has_words(fields: list[str]) -> None:
    expression = " ".join(fields)
    try:
        compile_cron(expression)
    except CronError:
        return
    assert describe(expression)
    assert describe_shortly(expression)
    assert len(explain_fields(expression)) == len(fields)
    assert all(words for _, _, words in explain_fields(expression))
    notes(expression)
