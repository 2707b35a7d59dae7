"""Schedules in the notation of a program: calls of Celery, APScheduler and schedule, rules of iCalendar.

Rule: pure text to text; None for each text that is not certainly one of these notations.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final, NamedTuple


class Translation(NamedTuple):
    """The program's name for the text, and what to write in luad."""

    what: str
    remedy: str


_FIELDS: Final = {
    "minute": 0, "hour": 1, "day": 2, "day_of_month": 2, "month": 3, "month_of_year": 3,
    "day_of_week": 4,
}  # fmt: skip
_PAIR: Final = re.compile(r"([a-z_]+)\s*=\s*(?:'([^']*)'|\"([^\"]*)\"|([0-9*/-]+))(?:\s*,\s*|$)")
_CALL: Final = re.compile(r"(crontab|CronTrigger)\((.*)\)")
_EVERY: Final = re.compile(
    r"(?:schedule\.)?every\(([0-9]*)\)\.([a-z]+)(?:\.at\([\"']([0-9]{1,2}):([0-9]{2})(?::00)?[\"']\))?"
)
_FROM_MONDAY: Final = ("MON", "TUE", "WED", "THU", "FRI", "SAT", "SUN")
_UNITS: Final = {"second": "s", "minute": "m", "hour": "h", "day": "d", "week": "w"}
_RULE: Final = re.compile(r"(?:RRULE:)?([A-Z]+=[A-Z0-9,+:-]+(?:;[A-Z]+=[A-Z0-9,+:-]+)*;?)")
_FREQUENCIES: Final = {
    "MINUTELY": "m", "HOURLY": "h", "DAILY": "d", "WEEKLY": "w",
}  # fmt: skip
_RULE_DAYS: Final = {each[:2]: each for each in _FROM_MONDAY}
_KEY: Final = re.compile(r"(?!(?:CRON_)?TZ=)(?:[A-Za-z_]+\s*[:=]\s*)?([\"']?)(.*?)\1[;,]?")


def translate(text: str, can_read: Callable[[str], bool]) -> Translation | None:
    """Return the translation of *text*; None if it is not in one of these notations."""
    for read in (_keywords, _schedule_call, _recurrence_rule):
        found = read(text)
        if found is not None:
            line = re.search(r'"([^"]+)"', found.remedy)
            return found if line is None or can_read(line[1]) else None
    inner = _KEY.fullmatch(text)
    if inner is not None and inner[2] != text and can_read(inner[2]):
        return Translation("a cron expression with other text around it", f'write "{inner[2]}"')
    return None


def _keywords(text: str) -> Translation | None:
    """Translate `crontab(minute=0, hour=9)`, and `CronTrigger(...)` or its arguments alone."""
    call = _CALL.fullmatch(text)
    inner = call[2] if call else text
    values: dict[int, str] = {}
    at = 0
    while at < len(inner) and (found := _PAIR.match(inner, at)):
        if found[1] not in _FIELDS:
            return None
        values[_FIELDS[found[1]]] = found[2] or found[3] or found[4] or "*"
        at = found.end()
    if at < len(inner) or (not values and call is None):
        return None
    is_celery = call is not None and call[1] == "crontab"
    if not is_celery and 4 in values:
        values[4] = re.sub(r"(?<![/#0-9])[0-6](?![0-9])", _from_monday, values[4])
    # APScheduler sets the fields that are shorter than the shortest given one to their first value.
    shortest = 0 if is_celery or not values else min(min(each, 1) for each in values)
    is_whole_day = not is_celery and values and min(values) > 1
    cells = [
        values.get(each, "0" if each < shortest or (each == 1 and is_whole_day) else "*")
        for each in range(5)
    ]
    return Translation(
        "a schedule of Celery" if is_celery else "a schedule of APScheduler",
        f'write "{" ".join(cells)}"',
    )


def _from_monday(found: re.Match[str]) -> str:
    return _FROM_MONDAY[int(found[0])]


def _schedule_call(text: str) -> Translation | None:
    """Translate `every().day.at("10:30")` of the package schedule."""
    found = _EVERY.fullmatch(text)
    if found is None:
        return None
    count, unit, hour, minute = found.groups()
    weekday = unit[:3].upper()
    remedy = ""
    if unit.endswith("day") and weekday in _FROM_MONDAY:
        remedy = f'write "{int(minute or 0)} {int(hour or 0)} * * {weekday}"'
    elif hour is not None and unit in ("day", "days") and count in ("", "1"):
        remedy = f'write "{int(minute)} {int(hour)} * * *"'
    elif hour is None and unit.removesuffix("s") in _UNITS:
        remedy = _interval(count or "1", _UNITS[unit.removesuffix("s")])
    return Translation("a call of the package schedule", remedy) if remedy else None


def _recurrence_rule(text: str) -> Translation | None:
    """Translate a rule of iCalendar: `FREQ=WEEKLY;BYDAY=MO,WE;BYHOUR=9;BYMINUTE=30`."""
    found = _RULE.fullmatch(text)
    if found is None or "FREQ=" not in found[1]:
        return None
    parts = dict(each.split("=", 1) for each in found[1].strip(";").split(";"))
    what = "a recurrence rule of iCalendar"
    frequency, interval = parts.pop("FREQ"), parts.pop("INTERVAL", "1")
    unit = _FREQUENCIES.get(frequency, "")
    if interval != "1":
        remedy = _interval(interval, unit) if unit and not parts and interval.isdigit() else ""
        return Translation(what, remedy or "write a cron expression, or `every:` with a duration")
    days = [_RULE_DAYS.get(each, "") for each in parts.pop("BYDAY", "").split(",") if each]
    minute, hour = parts.pop("BYMINUTE", "0"), parts.pop("BYHOUR", "0")
    day, month = parts.pop("BYMONTHDAY", "*"), parts.pop("BYMONTH", "*")
    if frequency in ("MINUTELY", "HOURLY"):
        hour = "*"
        minute = "*" if frequency == "MINUTELY" else minute
    elif frequency in ("MONTHLY", "YEARLY") and not days:
        day = "1" if day == "*" else day
        month = "1" if frequency == "YEARLY" and month == "*" else month
    elif frequency == "WEEKLY" and not days:
        days = ["MON"]
    parts.pop("WKST", None)
    if parts.pop("BYSECOND", "0") != "0" or parts or "" in days:
        return Translation(what, "write a cron expression, or several jobs")
    return Translation(what, f'write "{minute} {hour} {day} {month} {",".join(days) or "*"}"')


def _interval(count: str, unit: str) -> str:
    return f"write  schedule: {{type: interval, every: {int(count)}{unit}}}"
