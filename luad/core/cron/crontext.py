"""Cron lines in English: short for tables, long for ``luad explain``.

Rule: the words say exactly what `cronline` read. Common forms have a sentence of their own; other lines are
described field by field. Without a short description, the short text is the expression.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Final

from luad.core.cron.cronfield import LAST, MONTHS, WEEKDAYS
from luad.core.cron.cronline import CronField, CronLine, read_line

_MONTH_NAMES: Final = (
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
)
_DAY_NAMES: Final = (
    "Sunday",
    "Monday",
    "Tuesday",
    "Wednesday",
    "Thursday",
    "Friday",
    "Saturday",
)
_ORDINALS: Final = {1: "first", 2: "second", 3: "third", 4: "fourth", 5: "fifth", LAST: "last"}
_SHORTEST: Final = (0, 31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)  # months' lengths
_TIMES_LISTED: Final = 6  # a longer list of times of day is hard to read
_WORK_WEEK: Final = (1, 2, 3, 4, 5)


def describe(expression: str, timezone: str = "") -> str:
    """Return in words when *expression* fires: "at 02:00 every day", "every 15 minutes".

    The words end with *timezone* in brackets, unless it is empty or UTC. Raises CronError.
    """
    line = read_line(expression)
    moments, is_list = _moments(line)
    days = _days(line)
    if not days and is_list:
        days = "every day"
    words = " ".join(part for part in (moments, days) if part)
    return f"{words} ({timezone})" if timezone not in {"", "UTC"} else words


def describe_shortly(expression: str) -> str:
    """Return a short form for a table: "02:00 daily", "Mon 09:00", or *expression*."""
    line = read_line(expression)
    moments, is_list = _short_moments(line)
    days = _short_days(line)
    if not moments or days is None:
        return expression
    if not days:
        return f"{moments} daily" if is_list else moments
    return f"{days} {moments}"


def explain_fields(expression: str) -> list[tuple[str, str, str]]:
    """Return each field with its meaning: ``("day of week", "5", "Friday")``. Raises CronError.

    For an alias such as ``@daily``, these are the fields of its line.
    """
    return [(field.name, field.text, _field_words(field)) for field in read_line(expression).fields]


def notes(expression: str) -> list[str]:
    """Return notes about surprising parts of *expression*. Raises CronError."""
    line = read_line(expression)
    both = not line.day.is_free and not line.weekday.is_free
    found = []
    if both and line.weekday.passing.nth:
        found.append("a weekday with # or L and a day of month must BOTH match")
    elif both:
        text = "both day fields are set, so cron runs when EITHER matches"
        found.append(f"{text}. For dates that match both, check the date in the handler")
    elif line.day.is_free and line.weekday.is_free:
        pass
    elif (line.day.is_free and len(line.day.values) < 31) or (
        line.weekday.is_free and len(line.weekday.values) < 7
    ):
        found.append("a day field that starts with * restricts nothing by itself: BOTH must match")
    first = min(line.day.values, default=1)
    if line.weekday.is_free and any(_SHORTEST[month] < first for month in line.month.values):
        if line.month.values == (2,):
            found.append("only leap years have a 29 February")
        elif not line.day.passing.has_last:
            found.append(f"months without a day {first} are left out; L is the last day")
    return found


def never_fires_message(line: CronLine, *, is_date_missing: bool) -> str:
    """Return why *line* names no date: no month has the day, or it is never on the weekday."""
    days = _listed(map(str, line.day.values), "or")
    if not is_date_missing:
        dates = [f"day {days}"] * bool(days) + ["the last day"] * line.day.passing.has_last
        weekdays = _nth_words(line) or f"{_listed(_weekday_names(line.weekday), 'or')}"
        return f"schedule never fires: {' or '.join(dates)} is never {weekdays}"
    if len(line.month.values) == 1:
        return f"schedule never fires: {_MONTH_NAMES[line.month.values[0] - 1]} has no day {days}"
    months = _listed(_MONTH_NAMES[month - 1] for month in line.month.values)
    return f"schedule never fires: {months} never have a day {days}"


# --- the time of day, in long and in short -----------------------------------------------------


def _moments(line: CronLine) -> tuple[str, bool]:
    """Return the times of day in words, and whether they are a list (not a rhythm)."""
    times = _times(line)
    if times:
        return f"at {_listed(times)}", True
    rhythm = _rhythm(line, "every {} seconds", "every {} minutes", "every {} hours")
    if rhythm:
        return rhythm, False
    words = [] if line.second.values == (0,) else [_clock_words(line.second)]
    words += [_clock_words(line.minute), _clock_words(line.hour)]
    return f"at {' of '.join(words)}", False


def _short_moments(line: CronLine) -> tuple[str, bool]:
    times = _times(line)
    if times and len(times) <= 3:
        return ", ".join(times), True
    rhythm = _rhythm(line, "every {} s", "every {} min", "every {} h")
    return ("" if len(rhythm) > 30 else rhythm), False


def _times(line: CronLine) -> list[str]:
    """Return the times of day if they are few enough for a list; otherwise an empty list."""
    minutes, hours, seconds = line.minute.values, line.hour.values, line.second.values
    if len(minutes) * len(hours) > _TIMES_LISTED or len(seconds) > 1 or len(hours) == 24:
        return []
    tail = f":{seconds[0]:02}" if seconds[0] else ""
    return [f"{hour:02}:{minute:02}{tail}" for hour in hours for minute in minutes]


def _rhythm(line: CronLine, seconds: str, minutes: str, hours: str) -> str:
    """Return words for an even rhythm, or "". The arguments are the forms of the units."""
    if line.second.values != (0,):
        whole = len(line.minute.values) == 60 and len(line.hour.values) == 24
        return _every(line.second, 60, seconds, "every second") if whole else ""
    if len(line.hour.values) == 24:
        return _in_every_hour(line, minutes)
    if len(line.minute.values) == 1:
        return _in_some_hours(line, hours)
    first, last = line.hour.values[0], line.hour.values[-1]
    if len(line.hour.values) != last - first + 1:
        return ""
    pace = _every(line.minute, 60, minutes, "every minute")
    window = f"from {first:02}:00 to {last:02}:{line.minute.values[-1]:02}"
    return f"{pace} {window}" if pace else ""


def _in_every_hour(line: CronLine, form: str) -> str:
    values = line.minute.values
    if values == (0,):
        return "every hour"
    past = [f":{minute:02}" for minute in values]
    pace = _every(line.minute, 60, form, "every minute")
    return pace or (f"every hour at {_listed(past)}" if len(past) <= _TIMES_LISTED else "")


def _in_some_hours(line: CronLine, form: str) -> str:
    minute, hours = line.minute.values[0], line.hour.values
    pace = _every(line.hour, 24, form, "every hour")
    if pace:
        return f"{pace} at :{minute:02}" if minute else pace
    first, last = hours[0], hours[-1]
    if len(hours) != last - first + 1 or len(hours) < 3:
        return ""
    return f"every hour from {first:02}:{minute:02} to {last:02}:{minute:02}"


def _every(field: CronField, cycle: int, form: str, single: str) -> str:
    """Return words for values that divide their whole *cycle* evenly, from 0; "" for others."""
    count = len(field.values)
    if cycle % count or field.values != tuple(range(0, cycle, cycle // count)) or count == 1:
        return ""
    return single if count == cycle else form.format(cycle // count)


def _clock_words(field: CronField) -> str:
    full = {"second": 60, "minute": 60, "hour": 24}[field.name]
    if len(field.values) == full:
        return f"every {field.name}"
    plural = "" if len(field.values) == 1 else "s"
    return f"{field.name}{plural} {_listed(_ranges(field.values))}"


# --- the days, in long and in short ------------------------------------------------------------


def _days(line: CronLine) -> str:
    """Return the days in words; "" for all days."""
    dates, weekdays, months = _date_words(line), _weekday_words(line), _in_months(line)
    if _is_each_day(line):
        return f"every day{months}" if months else ""
    if dates and weekdays:
        if line.day.is_free or line.weekday.is_free or line.weekday.passing.nth:
            weekday = f"a {_listed(_weekday_names(line.weekday), 'or')}"
            return f"{dates}, if that is {_nth_words(line) or weekday}"
        either = _listed((f"any {name}" for name in _weekday_names(line.weekday)), "or")
        return f"{dates}, or on {either}{months}"
    return dates or weekdays or (f"every day{months}" if months else "")


def _is_each_day(line: CronLine) -> bool:
    """Return whether EITHER day field suffices, and one of them matches every day."""
    is_either = not (line.day.is_free or line.weekday.is_free or line.weekday.passing.nth)
    return is_either and (len(line.day.values) == 31 or len(line.weekday.values) == 7)


def _in_months(line: CronLine) -> str:
    """Return the months in words; "" for all months."""
    months = line.month.values
    if len(months) == 12:
        return ""
    if len(months) > 2 and len(months) == months[-1] - months[0] + 1:
        return f" from {_MONTH_NAMES[months[0] - 1]} to {_MONTH_NAMES[months[-1] - 1]}"
    return f" in {_listed(_MONTH_NAMES[month - 1] for month in months)}"


def _date_words(line: CronLine) -> str:
    field = line.day
    if len(field.values) == 31:
        return ""
    last = "the last day" if field.passing.has_last else ""
    days = ""
    if field.values:
        days = f"day{'' if len(field.values) == 1 else 's'} {_listed(_ranges(field.values))}"
    if len(line.month.values) == 1 and len(field.values) == 1 and not last:
        return f"on {field.values[0]} {_MONTH_NAMES[line.month.values[0] - 1]}"
    which = " and ".join(part for part in (days, last) if part)
    return f"on {which}{_in_months(line) or ' of the month'}"


def _weekday_words(line: CronLine) -> str:
    field, months = line.weekday, _in_months(line)
    if field.passing.nth:
        return f"on {_nth_words(line, 'and')}"
    if len(field.values) == 7:
        return ""
    if field.values == _WORK_WEEK:
        return f"on Monday to Friday{months}"
    return f"on {_listed(f'{name}s' for name in _weekday_names(field))}{months}"


def _nth_words(line: CronLine, last: str = "or") -> str:
    names = _nth_names(line.weekday)
    return f"{_listed(names, last)}{_in_months(line) or ' of the month'}" if names else ""


def _nth_names(field: CronField) -> list[str]:
    nths = sorted(field.passing.nth, key=lambda pair: (pair[1] == LAST, pair[1], pair[0]))
    return [f"the {_ORDINALS[ordinal]} {_DAY_NAMES[day]}" for day, ordinal in nths]


def _weekday_names(field: CronField) -> Iterable[str]:
    return (_DAY_NAMES[day] for day in sorted(field.values, key=lambda day: day or 7))


def _short_days(line: CronLine) -> str | None:
    """Return the days for a table: "" for all days, None without a short form."""
    weekdays, days, months = line.weekday, line.day, line.month.values
    has_all_months = len(months) == 12
    if _is_each_day(line):
        return "" if has_all_months else None
    if weekdays.passing.nth or (days.passing.has_last and days.values):
        return None
    if len(days.values) == 31:
        names = [WEEKDAYS[day].title() for day in sorted(weekdays.values, key=lambda day: day or 7)]
        if len(names) == 7:
            return "" if has_all_months else None
        short = "Mon–Fri" if weekdays.values == _WORK_WEEK else ",".join(names)
        return short if has_all_months else None
    if len(weekdays.values) < 7:
        return None
    if days.passing.has_last:
        return "last day" if has_all_months else None
    if len(months) == 1 and len(days.values) == 1:
        return f"{days.values[0]} {MONTHS[months[0] - 1].title()}"
    listed = ",".join(_ranges(days.values))
    return f"day {listed}" if has_all_months and len(listed) <= 12 else None


# --- field by field ----------------------------------------------------------------------------


def _field_words(field: CronField) -> str:
    special: dict[str, Callable[[CronField], str]] = {
        "day of month": _day_field_words,
        "month": lambda field: _listed(_MONTH_NAMES[month - 1] for month in field.values),
        "day of week": lambda field: _listed(_nth_names(field) or _weekday_names(field)),
    }
    size = {"second": 60, "minute": 60, "hour": 24, "day of month": 31, "month": 12}
    if len(field.values) == size.get(field.name, 7):
        return f"every {'day' if field.name.startswith('day') else field.name}"
    if field.name in special:
        return special[field.name](field)
    return f"{field.name} {_listed(_ranges(field.values))}"


def _day_field_words(field: CronField) -> str:
    days = f"day of month {_listed(_ranges(field.values))}" if field.values else ""
    last = "the last day of the month" if field.passing.has_last else ""
    return " and ".join(part for part in (days, last) if part)


def _ranges(values: Sequence[int]) -> list[str]:
    """Return values with ranges: ``0``, ``5–9``, ``30``."""
    runs: list[list[int]] = []
    for value in values:
        if runs and value == runs[-1][-1] + 1:
            runs[-1].append(value)
        else:
            runs.append([value])
    parts = []
    for run in runs:
        parts += [f"{run[0]}–{run[-1]}"] if len(run) > 2 else [str(value) for value in run]
    return parts


def _listed(words: Iterable[str], last: str = "and") -> str:
    listed = list(words)
    if len(listed) < 2:
        return "".join(listed)
    return f"{', '.join(listed[:-1])} {last} {listed[-1]}"
