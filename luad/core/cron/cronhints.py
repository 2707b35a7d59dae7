"""Hints for schedules in the spelling of other programs.

The caller asks only about an expression that is not valid. Rule: a text that is not certainly one of these
spellings gets no hint, so that a hint never hides a precise problem.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final, NamedTuple

from luad.core.cron.notations import translate
from luad.core.cron.zonehints import is_like_a_zone, place_of


class Hint(NamedTuple):
    """A message and its help. *start* and *end*: offsets of the wrong part."""

    message: str
    help: str
    start: int
    end: int


_WORDS: Final = {
    "hourly": "@hourly", "daily": "@daily", "nightly": "@daily", "midnight": "@daily",
    "weekly": "@weekly", "monthly": "@monthly", "yearly": "@yearly", "annually": "@yearly",
    "minutely": "* * * * *", "noon": "0 12 * * *",
}  # fmt: skip
_YEAR: Final = re.compile(r"\*|(?:19|20)[0-9]{2}(?:[-/,][0-9]+)*")
_USER: Final = re.compile(r"[a-z_][a-z0-9_-]{0,31}")
_AWS: Final = re.compile(r"(cron|rate|at)\((.*)\)", re.IGNORECASE)
_SPAN: Final = re.compile(
    r"(?:every\s+)?([0-9]+|an?)?\s*(s|secs?|seconds?|m|mins?|minutes?|h|hrs?|hours?|d|days?|w|weeks?)",
    re.IGNORECASE,
)
_ISO_SPAN: Final = re.compile(r"(?:R[0-9]*/)?P(?:T)?([0-9]+)([DHMS])", re.IGNORECASE)
_CLOCK: Final = re.compile(r"[0-9]{1,2}:[0-9]{2}(?::00)?")
_ONE_INSTANT: Final = re.compile(r"(?:in|tomorrow|today|tonight|now|next|this)\b.*", re.IGNORECASE)
_ORDINAL: Final = re.compile(
    r"\b(first|second|third|fourth|fifth|last)\s+(sun|mon|tue|wed|thu|fri|sat)[a-z]*\b"
)
_NUMBERS: Final = (
    "zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten",
    "eleven", "twelve",
)  # fmt: skip
_NUMBER: Final = re.compile(rf"\b(?:{'|'.join(_NUMBERS)})\b")
_ORDINALS: Final = ("first", "second", "third", "fourth", "fifth")
_TIME: Final = re.compile(r"\b([0-9]{1,2})(?::([0-9]{2}))?\s*(am|pm)\b|\b([0-9]{1,2}):([0-9]{2})\b")
_HOUR: Final = re.compile(r"\bat\s+([0-9]{1,2})\b(?!:)")
_DATE: Final = re.compile(r"\b([0-9]{1,2})(?:st|nd|rd|th)\b|\bday\s+([0-9]{1,2})\b")
_DAYS: Final = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")
_DAY: Final = re.compile(
    r"\b(sun|mon|tue|wed|thu|fri|sat)(?:day|sday|nesday|rsday|urday)?s?\b", re.IGNORECASE
)
_FILLERS: Final = frozenset(
    (
        "every",
        "each",
        "at",
        "on",
        "of",
        "the",
        "and",
        "a",
        "an",
        "once",
        "run",
        "day",
        "days",
        "daily",
    )
) | frozenset(
    ("month", "monthly", "week", "weekly", "night", "nightly", "morning", "o'clock", "in")
)


def foreign_line(expression: str, can_read: Callable[[str], bool]) -> Hint | None:
    """Return a hint if *expression* is certainly the spelling of another program; otherwise None."""
    text = expression.strip(" ")
    start = expression.index(text) if text else 0
    whole = (start, start + len(text))
    if text.lower() in _WORDS:
        line = _WORDS[text.lower()]
        verb = "did you mean" if line.startswith("@") else "write"
        end = "?" if line.startswith("@") else ""
        return Hint(f"`{text}` is not a cron expression", f"{verb} `{line}`{end}", *whole)
    if found := _AWS.fullmatch(text):
        return _amazon(text, found[1].lower(), found[2].strip(), whole, can_read)
    if hint := _more_than_a_line(expression, can_read):
        return hint
    if translation := translate(text, can_read):
        return Hint(f"`{_short(text)}` is {translation.what}", translation.remedy, *whole)
    if hint := _systemd(text, whole):
        return hint
    words, _, last = text.rpartition(" ")
    zone = last if words and is_like_a_zone(last) else ""
    said = words if zone else text
    if remedy := _span(said) or _sentence(said, can_read):
        if zone:
            remedy += f", and  timezone: {zone if '/' in zone else place_of(zone)}"
        return Hint(f"`{_short(text)}` is not a cron expression", remedy, *whole)
    if _ONE_INSTANT.fullmatch(text):
        remedy = "write  schedule: {type: once, execute_at: ...}  with a date and a time"
        return Hint(f"`{_short(text)}` is one instant, not a cron expression", remedy, *whole)
    return None


# --- a line with something before or after it ----------------------------------------------------


def _more_than_a_line(expression: str, can_read: Callable[[str], bool]) -> Hint | None:
    tokens = [(found[0], found.start()) for found in re.finditer(r"[^ ]+", expression)]
    words = [word for word, _ in tokens]
    if len(words) > 5 and is_like_a_zone(words[0]) and can_read(" ".join(words[1:])):
        rest = " ".join(words[1:])
        return _zone(words[0], rest, 0, len(words[0]))
    for count in (1,) if words[:1] and words[0].startswith("@") else (6, 5):
        line, left = " ".join(words[:count]), words[count:]
        is_a_weekday = (
            count == 5 and len(left) == 1 and can_read(f"* * * * {left[0]}") and "?" not in line
        )
        if left and can_read(line) and not is_a_weekday:
            start, end = tokens[count][1], tokens[-1][1] + len(words[-1])
            return _rest(line, left, start, end)
    return None


def _rest(line: str, rest: list[str], start: int, end: int) -> Hint:
    """Return a hint about the words after a valid *line*."""
    first, shown = rest[0], _short(" ".join(rest))
    if first.startswith("#"):
        return Hint("a comment is not part of a cron expression", f'write "{line}"', start, end)
    if len(rest) == 1 and is_like_a_zone(first):
        return _zone(first, line, start, end)
    if len(rest) == 1 and _YEAR.fullmatch(first):
        hint = f'write "{line}"; for one date use `type: once`'
        if instant := _instant(line, first):
            hint = f"for one date write  schedule: {{type: once, execute_at: {instant}}}"
        return Hint(
            f"a cron expression does not have a field for the year (`{first}`)", hint, start, end
        )
    command = "handler: luad.handlers.shell:run  and  metadata: {command: ...}"
    if _is_user(rest):
        message = (
            f"`{first}` is the user column of a system crontab; luad runs jobs as its own user"
        )
        hint = f'write "{line}"'
        if len(rest) > 1:
            message = f"`{shown}` is the user and the command of a system crontab"
            hint = f'write "{line}", with  {command}; jobs run as luad\'s own user'
        return Hint(message, hint, start, end)
    message = f"the command `{shown}` does not belong in a cron expression"
    return Hint(message, f'write "{line}", with  {command}', start, end)


def _instant(line: str, year: str) -> str:
    """Return the one instant that a line with a year names; "" if it names more than one."""
    *_, minute, hour, day, month, weekday = line.split()
    numbers = (minute, hour, day, month, year)
    if not all(each.isdigit() for each in numbers) or weekday not in {"*", "?"}:
        return ""
    return f"{year}-{int(month):02}-{int(day):02}T{int(hour):02}:{int(minute):02}:00Z"


def _is_user(rest: list[str]) -> bool:
    first = rest[0]
    if first in _USERS or (len(rest) == 1 and _USER.fullmatch(first)):
        return True
    is_path = len(rest) > 1 and rest[1].startswith("/") and len(rest[1]) > 1
    return bool(is_path and _USER.fullmatch(first) and first not in _PROGRAMS)


_PROGRAMS: Final = frozenset(
    (
        "cd",
        "sh",
        "bash",
        "find",
        "rm",
        "cp",
        "mv",
        "python",
        "python3",
        "php",
        "node",
        "perl",
        "ruby",
    )
) | frozenset(("test", "source", "export", "exec", "nice", "sudo", "tar", "rsync", "cat", "touch"))
_USERS: Final = frozenset(
    (
        "root",
        "www-data",
        "nobody",
        "postgres",
        "mysql",
        "nginx",
        "apache",
        "ubuntu",
        "daemon",
        "git",
    )
)


def _zone(zone: str, line: str, start: int, end: int) -> Hint:
    message = f"a cron expression does not carry its time zone (`{zone}`)"
    name = zone if "/" in zone or zone in {"UTC", "GMT"} else place_of(zone)
    hint = f'write "{line}", and  timezone: {name}  beside `expression`'
    return Hint(message, hint, start, end)


def _amazon(
    text: str, kind: str, inner: str, whole: tuple[int, int], can_read: Callable[[str], bool]
) -> Hint | None:
    message = f"`{_short(text)}` is a schedule of Amazon EventBridge, not a cron expression"
    if kind == "rate" and (remedy := _span(inner)):
        return Hint(message, remedy, *whole)
    if kind == "at":
        return Hint(message, f"write  schedule: {{type: once, execute_at: {inner}Z}}", *whole)
    line = " ".join(inner.split()[:5])  # the year comes last there
    hint = "its fields are minute hour day month weekday year; leave the year out"
    if can_read(line):
        hint = f'write "{line}": the year, its last field, is left out'
    return Hint(message, f"{hint}; weekdays count from SUN 1 there, from 0 here", *whole)


# --- systemd ------------------------------------------------------------------------------------


_SYSTEMD_KEY: Final = re.compile(r"(On(?:Calendar|UnitActiveSec|UnitInactiveSec|BootSec))=(.*)")


def _systemd(text: str, whole: tuple[int, int]) -> Hint | None:
    message = f"`{_short(text)}` is a timer of systemd"
    if key := _SYSTEMD_KEY.fullmatch(text):
        value = key[2].strip()
        calendar = _calendar(value) if key[1] == "OnCalendar" else ""
        word = _WORDS.get(value.lower(), "") if key[1] == "OnCalendar" else ""
        word = "0 0 * * MON" if word == "@weekly" else word  # systemd's week begins on Monday
        remedy = calendar or (f"write `{word}`" if word else _span(f"every {value}"))
        return Hint(message, remedy or "write a cron expression, or `every:`", *whole)
    if remedy := _calendar(text):
        what = "a time of day" if _CLOCK.fullmatch(text) else "an OnCalendar of systemd"
        return Hint(f"`{text}` is {what}, not a cron expression", remedy, *whole)
    return None


def _calendar(text: str) -> str:
    """Return help for an OnCalendar of systemd; "" for other texts."""
    found = re.fullmatch(
        r"(?:([A-Za-z]{3})(?:\.\.([A-Za-z]{3}))? )?(?:\*-\*-(\*|[0-9]{1,2}) )?"
        r"(\*|[0-9]{1,2}):([0-9]{1,2})(/[0-9]+)?(?::00)?",
        text,
    )
    if found is None:
        return ""
    first, last, day, hour, minute, step = found.groups()
    weekday = f"{first}-{last}" if last else first or "*"
    minutes = f"*{step}" if step and int(minute) == 0 else f"{int(minute)}{step or ''}"
    hours = hour if hour == "*" else str(int(hour))
    return f'write "{minutes} {hours} {day or "*"} * {weekday.upper()}"'


# --- distances and sentences --------------------------------------------------------------------


def _span(text: str) -> str:
    """Return help for an interval: `every 5 minutes`, `1h`, `PT15M`; "" for other texts."""
    found, iso = _SPAN.fullmatch(text), _ISO_SPAN.fullmatch(text)
    if iso:
        count, unit = iso[1], iso[2].lower()
        if unit == "m" and "T" not in text.upper():
            return ""
    elif found and (found[1] or text.lower().startswith("every")):
        count = found[1] if found[1] and found[1].isdigit() else "1"
        unit = found[2][0].lower()
    else:
        return ""
    named = {("1", "h"): "@hourly", ("1", "d"): "@daily", ("1", "w"): "@weekly"}
    if not iso and (alias := named.get((count, unit))):
        return f"write `{alias}`"
    if unit == "w":
        count, unit = str(int(count) * 7), "d"
    return f"write  schedule: {{type: interval, every: {int(count)}{unit}}}"


def _sentence(text: str, can_read: Callable[[str], bool]) -> str:
    """Return help for words with a time of day, such as `every day at 3am`; "" for other texts."""
    rest = re.sub(r"[,;]", " ", text.lower())
    rest = rest.replace("noon", "12:00").replace("midnight", "0:00")
    rest = re.sub(r"\beveryday\b", "every day", rest)
    rest = _NUMBER.sub(lambda found: str(_NUMBERS.index(found[0])), rest)
    if not re.search(r"[a-z]{2}", text.lower()):
        return ""
    minute, hour = "0", "0"
    has_time = False
    if found := _TIME.search(rest) or _HOUR.search(rest):
        groups = found.groups()
        clock = groups[0] or (groups[3] if len(groups) > 3 else "") or "0"
        past = (groups[1] or groups[4] if len(groups) > 4 else "") or "0"
        half = groups[2] if len(groups) > 2 else None
        value = int(clock) % 12 + 12 * (half == "pm") if half else int(clock)
        minute, hour, has_time = str(int(past)), str(value), True
        rest = rest[: found.start()] + " " + rest[found.end() :]
    day, weekday, has_days, rest = _days(rest)
    if not (has_time or has_days) or set(rest.split()) - _FILLERS:
        return ""
    line = f"{minute} {hour} {day} * {weekday}"
    return f'write "{line}"' if can_read(line) else ""


def _days(rest: str) -> tuple[str, str, bool, str]:
    """Return the day of month, the weekday, if there is either, and the words that are left."""
    day, weekday = "*", "*"
    has_days = bool(re.search(r"\b(day|daily|night|nightly|month|monthly|week|weekly)\b", rest))
    if found := re.search(
        r"\bweekdays?\b|\b(?:monday|mon)\s*(?:to|-|through)\s*(?:friday|fri)\b", rest
    ):
        weekday, has_days = "MON-FRI", True
    elif found := re.search(r"\bweekends?\b", rest):
        weekday, has_days = "SAT,SUN", True
    elif found := _ORDINAL.search(rest):
        nth = found[1] != "last" and _ORDINALS.index(found[1]) + 1
        weekday = f"{found[2].upper()}#{nth}" if nth else f"L{_DAYS.index(found[2])}"
        has_days = True
    if found:
        rest = rest[: found.start()] + " " + rest[found.end() :]
    elif names := [each[:3].upper() for each in _DAY.findall(rest)]:
        weekday, has_days, rest = ",".join(names), True, _DAY.sub(" ", rest)
    elif "month" in rest:
        found = _DATE.search(rest)
        day = (found[1] or found[2]) if found else "1"
        rest = _DATE.sub(" ", rest)
    elif re.search(r"\bweek(ly)?\b", rest):
        weekday = "MON"
    return day, weekday, has_days, rest


def _short(text: str) -> str:
    return text if len(text) <= 60 else f"{text[:57]}..."
