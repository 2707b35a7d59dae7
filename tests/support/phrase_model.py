"""Reads what luad says of a cron line back into times: the sentence of `explain`, the text of a table.

It knows English and nothing of cron: what it returns depends on the words alone.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

MONTHS = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
]
WEEKDAYS = ["Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"]
NTH = {"first": 1, "second": 2, "third": 3, "fourth": 4, "fifth": 5, "last": -1}
ALL_DAY = frozenset(range(1440))
ALL_MONTHS = frozenset(range(1, 13))

Day = tuple[int, int, int, int]  # month, day, weekday from Sunday 0, length of the month
DayTest = Callable[[Day], bool]


@dataclass(frozen=True)
class Read:
    """Seconds of the minute, minutes of the day, and which days."""

    seconds: frozenset[int]
    minutes: frozenset[int]
    is_day: DayTest


def numbers(text: str) -> list[int]:
    """`1, 3–5 and 9`."""
    found: list[int] = []
    for part in re.split(r", | and | or ", text):
        low, _, high = part.partition("–")
        found.extend(range(int(low), int(high or low) + 1))
    return found


def clock(text: str) -> int:
    hour, minute = text.split(":")[:2]
    return int(hour) * 60 + int(minute)


# --- sentences ----------------------------------------------------------------------------------

TIME = r"\d\d:\d\d(?::\d\d)?"
MOMENTS = re.compile(
    rf"every second|every \d+ seconds"
    rf"|every (?:minute|\d+ minutes)(?: from {TIME} to {TIME})?"
    rf"|every hour from {TIME} to {TIME}"
    rf"|every (?:hour|\d+ hours)(?: at :\d\d(?:, :\d\d)*(?: and :\d\d)?)?"
    rf"|at {TIME}(?:, {TIME})*(?: and {TIME})?"
    r"|at (?:(?:every second|seconds? [\d–, and]+?) of )?(?:every minute|minutes? [\d–, and]+?)"
    r" of (?:every hour|hours? (?:[\d–]+(?:, [\d–]+)*(?: and [\d–]+)?))"
)


def read_sentence(text: str) -> Read:
    found = MOMENTS.match(text)
    assert found is not None, text
    seconds, minutes = read_moments(found[0])
    rest = text[found.end() :].removeprefix(" ")
    return Read(frozenset(seconds), frozenset(minutes), read_days(rest))


def read_moments(text: str) -> tuple[set[int], set[int]]:
    words = text.split()
    if text.startswith("at ") and ":" in text:
        times = re.findall(TIME, text)
        seconds = {int(([*each.split(":"), "0"])[2]) for each in times}
        return seconds, {clock(each) for each in times}
    if text.startswith("at "):
        return read_clock_fields(text.removeprefix("at ").split(" of "))
    step = int(words[1]) if words[1].isdigit() else 1
    if "second" in text:
        return set(range(0, 60, step)), set(ALL_DAY)
    if "minute" in text:
        window = re.findall(TIME, text)
        low, high = (clock(window[0]), clock(window[1])) if window else (0, 1439)
        return {0}, {minute for minute in range(low, high + 1) if minute % step == 0}
    if window := re.findall(TIME, text):
        return {0}, set(range(clock(window[0]), clock(window[1]) + 1, 60))
    past = [int(each) for each in re.findall(r":(\d\d)", text)] or [0]
    return {0}, {hour * 60 + minute for hour in range(0, 24, step) for minute in past}


def read_clock_fields(parts: list[str]) -> tuple[set[int], set[int]]:
    values: dict[str, set[int]] = {"second": {0}}
    for part, size in zip(reversed(parts), (24, 60, 60), strict=False):
        name = re.search(r"second|minute|hour", part)
        assert name is not None, part
        listed = re.sub(r"^\w+ ", "", part)
        values[name[0]] = set(range(size)) if part.startswith("every") else set(numbers(listed))
    minutes = {hour * 60 + minute for hour in values["hour"] for minute in values["minute"]}
    return values["second"], minutes


def read_days(text: str) -> DayTest:
    if not text:
        return lambda _day: True
    if ", if that is " in text:
        one, other = map(read_days, split(text, ", if that is "))
        return lambda day: one(day) and other(day)
    if ", or on " in text:
        one, other = map(read_days, split(text, ", or on "))
        return lambda day: one(day) or other(day)
    text, months = read_months(text)
    test = read_day_words(re.sub(r"^on ", "", text))
    return lambda day: day[0] in months and test(day)


def split(text: str, by: str) -> tuple[str, str]:
    first, _, second = text.partition(by)
    return first, second


def read_months(text: str) -> tuple[str, frozenset[int]]:
    name = "|".join(MONTHS)
    if found := re.search(rf" from ({name}) to ({name})$", text):
        first, last = MONTHS.index(found[1]) + 1, MONTHS.index(found[2]) + 1
        return text[: found.start()], frozenset(range(first, last + 1))
    if found := re.search(rf" in ((?:{name})(?:(?:, | and )(?:{name}))*)$", text):
        listed = re.split(", | and ", found[1])
        return text[: found.start()], frozenset(MONTHS.index(each) + 1 for each in listed)
    return text.removesuffix(" of the month"), ALL_MONTHS


def read_day_words(text: str) -> DayTest:
    if text == "every day":
        return lambda _day: True
    if text == "Monday to Friday":
        return lambda day: 1 <= day[2] <= 5
    if found := re.fullmatch(rf"(\d+) ({'|'.join(MONTHS)})", text):
        date = (MONTHS.index(found[2]) + 1, int(found[1]))
        return lambda day: day[:2] == date
    if found := re.fullmatch(r"(?:days? ([\d–, and]+?))?(?: and )?(the last day)?", text):
        days = set(numbers(found[1])) if found[1] else set()
        has_last = found[2] is not None
        return lambda day: day[1] in days or (has_last and day[1] == day[3])
    tests = [read_weekday(each) for each in re.split(", | and | or ", text)]
    return lambda day: any(test(day) for test in tests)


def read_weekday(text: str) -> DayTest:
    if found := re.fullmatch(r"the (\w+) (\w+)", text):
        nth, name = NTH[found[1]], WEEKDAYS.index(found[2])
        return lambda day: (
            day[2] == name and (day[1] + 7 > day[3] if nth == -1 else (day[1] - 1) // 7 + 1 == nth)
        )
    name = WEEKDAYS.index(re.sub(r"^(?:a|any) ", "", text).removesuffix("s"))
    return lambda day: day[2] == name


# --- the texts of tables ------------------------------------------------------------------------

SHORT = [each[:3] for each in WEEKDAYS]
SHORT_MONTHS = [each[:3] for each in MONTHS]


def read_short(text: str) -> Read:
    days, moments = "", text
    if found := re.fullmatch(
        r"((?:[A-Z]{1}[a-z]{2}(?:[,–][A-Z][a-z]{2})*)|day [\d,–]+|last day|\d+ [A-Z][a-z]{2}) (.*)",
        text,
    ):
        days, moments = found[1], found[2]
    moments = moments.removesuffix(" daily")
    units = {"min": "minutes", "s": "seconds", "h": "hours"}
    long = re.sub(r"\b(\d+) (min|s|h)\b", lambda found: f"{found[1]} {units[found[2]]}", moments)
    if re.match(TIME, long):
        long = f"at {long}"
    seconds, minutes = read_moments(long)
    return Read(frozenset(seconds), frozenset(minutes), read_short_days(days))


def read_short_days(text: str) -> DayTest:
    if not text:
        return lambda _day: True
    if text == "last day":
        return lambda day: day[1] == day[3]
    if text.startswith("day "):
        days = set(numbers(text.removeprefix("day ").replace(",", ", ")))
        return lambda day: day[1] in days
    if text[0].isdigit():
        number, name = text.split()
        date = (SHORT_MONTHS.index(name) + 1, int(number))
        return lambda day: day[:2] == date
    if "–" in text:
        first, last = (SHORT.index(each) for each in text.split("–"))
        return lambda day: first <= day[2] <= last
    names = {SHORT.index(each) for each in text.split(",")}
    return lambda day: day[2] in names
