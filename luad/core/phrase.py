"""A moment in the words of a user: ``in 10 minutes``, ``tomorrow 09:00``, ``fri 17:00``.

Rule: pure; the zone and the present are arguments. The grammar is closed: a text that could mean two
moments is refused with the nearest phrase, and nothing is guessed.

A phrase is one of:

- ``now``
- a delay: ``10m``, ``1h 30m``, ``in 10 minutes``, ``in an hour``, ``2 days and 3 hours``. A day has 24 hours.
- a day and a time: ``today 18:00``, ``tomorrow at 9am``, ``fri 17:00``, ``friday at noon``. A day of the week
  is the first one whose time is still to come.
- a date and a time: ``2026-12-25 09:00``, with or without seconds, ``T`` and an offset.
"""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, time, timedelta
from typing import TYPE_CHECKING, Final, NamedTuple

from luad.core.model import DAY, HOUR, MINUTE, SECOND, Instant
from luad.suggestions import close_to

# At run time, zoneinfo would load threading into the process of each run (Python 3.12).
if TYPE_CHECKING:
    from zoneinfo import ZoneInfo

LONGEST: Final = 64
"""Characters of the longest text that is read."""

EXAMPLES: Final = "in 10 minutes, tomorrow 09:00, fri 17:00, 2026-12-25 09:00"

_UNITS: Final = {
    **dict.fromkeys(("s", "sec", "secs", "second", "seconds"), SECOND),
    **dict.fromkeys(("m", "min", "mins", "minute", "minutes"), MINUTE),
    **dict.fromkeys(("h", "hr", "hrs", "hour", "hours"), HOUR),
    **dict.fromkeys(("d", "day", "days"), DAY),
    **dict.fromkeys(("w", "week", "weeks"), 7 * DAY),
}
_WEEKDAYS: Final = (
    ("mon", "monday"),
    ("tue", "tues", "tuesday"),
    ("wed", "wednesday"),
    ("thu", "thur", "thurs", "thursday"),
    ("fri", "friday"),
    ("sat", "saturday"),
    ("sun", "sunday"),
)
_DAYS: Final = {name: number for number, names in enumerate(_WEEKDAYS) for name in names}
_WORDS: Final = ("today", "tomorrow", *_DAYS)
_LONGEST_DELAY: Final = 100 * 366 * DAY

_PART: Final = re.compile(r"(\d{1,9}|an?)\s*([a-z]+)\s*", re.ASCII)
_AND: Final = re.compile(r"(?:,|and\b)\s*", re.ASCII)
_CLOCK: Final = re.compile(r"(\d{1,2}):(\d{2})(?::(\d{2}))?\s*(am|pm)?", re.ASCII)
_HOUR: Final = re.compile(r"(\d{1,2})\s*(am|pm)", re.ASCII)
_DATE: Final = re.compile(r"(\d{4}-\d{2}-\d{2})(?:(?:t|\s+(?:at\s+)?)(.+))?", re.ASCII)
_OFFSET: Final = re.compile(r"(.*\d)\s*(z|[+-]\d{2}:\d{2})", re.ASCII)
_SLASHED: Final = re.compile(r"\d{1,4}[/.]\d{1,2}(?:[/.]\d{1,4})?(?:\s.*)?", re.ASCII)


class PhraseError(ValueError):
    """A text that names no moment for certain. *nearest* is what to write instead."""

    def __init__(self, message: str, nearest: str) -> None:
        super().__init__(message)
        self.message = message
        self.nearest = nearest


class Moment(NamedTuple):
    """An instant, and the words that repeat it: weekday, date, time and zone."""

    instant: Instant
    text: str


def read_phrase(text: str, zone: ZoneInfo, now: Instant) -> Moment:
    """Return the moment that *text* names in *zone*. Raises `PhraseError` with the nearest phrase."""
    words = " ".join(text.split()).lower()
    if len(text) > LONGEST or not words:
        raise PhraseError("this is not a phrase for a moment", f"write one like {EXAMPLES}")
    here = datetime.fromtimestamp(now // SECOND, zone)
    instant = _read(words, here, now)
    return Moment(instant, show_moment(instant, zone))


def read_delay(text: str) -> int | None:
    """Return the milliseconds of ``10 minutes`` or ``in 1h 30m``; None for any other text.

    Raises `PhraseError` for more than 100 years.
    """
    words = " ".join(text.split()).lower() if len(text) <= LONGEST else ""
    return _delay_of(words.removeprefix("in "))


def show_moment(instant: Instant, zone: ZoneInfo) -> str:
    """Write *instant* with weekday, date, time and zone: ``Fri 4 Dec 2026 17:00 GMT (Europe/London)``."""
    at = datetime.fromtimestamp(instant // SECOND, zone)
    seconds = f":{at:%S}" if at.second else ""
    return f"{at:%a} {at.day} {at:%b} {at.year} {at:%H:%M}{seconds} {at:%Z} ({zone.key})"


def _read(words: str, here: datetime, now: Instant) -> Instant:
    if words == "now":
        return now
    found = _DATE.fullmatch(words)
    if found:
        return _dated(found[1], found[2], here)
    if _SLASHED.fullmatch(words):
        raise _refusal(
            f"`{words}` may be a day and a month or a month and a day",
            f"{_next_day(here)} 09:00",
            "write the date as year-month-day, such as",
        )
    if _time_of(words) is not None or _CLOCK.fullmatch(words):
        raise _bare(words, here)
    first, _, rest = words.partition(" ")
    if first in _WORDS:
        return _on_day(first, rest.removeprefix("at "), here)
    if first == "next" and rest.partition(" ")[0] in _DAYS:
        raise _refusal(f"`{words}` may be this week's day or next week's", rest, "write")
    delay = _delay_of(words.removeprefix("in "))
    if delay is not None:
        return now + delay
    raise PhraseError(f"`{words}` is not a phrase for a moment", _advice(words, first, rest))


# --- a delay ------------------------------------------------------------------------------------


def _delay_of(words: str) -> int | None:
    total, place, last = 0, 0, _LONGEST_DELAY
    while place < len(words):
        joint = _AND.match(words, place) if place else None
        part = _PART.match(words, joint.end() if joint else place)
        unit = _UNITS.get(part[2]) if part else None
        if part is None or unit is None or unit >= last:
            return None  # an unknown unit, or units that are not in order
        total += unit * (1 if part[1].startswith("a") else int(part[1]))
        place, last = part.end(), unit
    if total > _LONGEST_DELAY:
        raise PhraseError(f"`{words}` is more than 100 years", "write a shorter delay")
    return total if place else None


# --- a day and a time ---------------------------------------------------------------------------


def _on_day(word: str, clock: str, here: datetime) -> Instant:
    if not clock:
        raise _refusal(f"`{word}` does not say at which time", f"{word} 09:00", "write")
    at = _time_of(clock)
    if at is None:
        raise _refusal(f"`{clock}` is not a time", f"{word} {_near_time(clock)}", "write")
    if word in _DAYS:
        ahead = (_DAYS[word] - here.weekday()) % 7
        if ahead == 0 and at <= here.time():
            ahead = 7
    else:
        ahead = int(word == "tomorrow")
    day = here.date() + timedelta(days=ahead)
    instant = _resolve(day, at, here)
    if word == "today" and instant < int(here.timestamp()) * SECOND:
        raise _refusal(f"`today {clock}` has passed", f"tomorrow {clock}", "write")
    return instant


def _dated(day_text: str, clock: str | None, here: datetime) -> Instant:
    try:
        day = date.fromisoformat(day_text)
    except ValueError as error:
        raise _refusal(
            f"`{day_text}` is not a date: {error}", f"{_next_day(here)} 09:00", "write one like"
        ) from None
    if clock is None:
        raise _refusal(f"`{day_text}` does not say at which time", f"{day_text} 09:00", "write")
    offset = _OFFSET.fullmatch(clock)
    at = _time_of(offset[1].strip() if offset else clock)
    if at is None:
        raise _refusal(f"`{clock}` is not a time", f"{day_text} {_near_time(clock)}", "write")
    if offset is None:
        return _resolve(day, at, here)
    sign = "+00:00" if offset[2] == "z" else offset[2]
    try:
        moment = datetime.fromisoformat(f"{day.isoformat()}T{at.isoformat()}{sign}")
        return round(moment.timestamp()) * SECOND
    except (ValueError, OverflowError) as error:
        raise PhraseError(
            f"`{clock}` is not a time: {error}", "write an offset like +01:00"
        ) from None


def _time_of(clock: str) -> time | None:
    """Return the time that *clock* names for certain; None for ``5:00``, which may be 17:00."""
    if clock == "noon":
        return time(12)
    found = _CLOCK.fullmatch(clock) or _HOUR.fullmatch(clock)
    if found is None:
        return None
    half = found[found.lastindex or 0] if found.re is _HOUR else found[4]
    hour, minute = int(found[1]), int(found[2]) if found.re is _CLOCK else 0
    second = int(found[3] or 0) if found.re is _CLOCK else 0
    if half is None and len(found[1]) == 1:
        return None
    if half is not None:
        if not 1 <= hour <= 12:
            return None
        hour = hour % 12 + (12 if half == "pm" else 0)
    return time(hour, minute, second) if hour < 24 and minute < 60 and second < 60 else None


def _resolve(day: date, at: time, here: datetime) -> Instant:
    """Return the instant of a civil time, which has to exist exactly once."""
    zone = here.tzinfo
    assert zone is not None
    civil = datetime.combine(day, at)
    first, second = (civil.replace(tzinfo=zone, fold=fold) for fold in (0, 1))
    try:
        instants = [int(each.timestamp()) for each in (first, second)]
    except (ValueError, OverflowError):
        raise _refusal(
            f"`{civil}` is outside the calendar", f"{_next_day(here)} 09:00", "write one like"
        ) from None
    if instants[0] == instants[1]:
        return instants[0] * SECOND
    shown = [
        each.astimezone(UTC).astimezone(zone).isoformat(" ", "minutes") for each in (first, second)
    ]
    is_gap = first.astimezone(UTC).astimezone(zone).replace(tzinfo=None) != civil
    reason = "does not exist: the clocks skip it" if is_gap else "exists twice: the clocks go back"
    raise _refusal(f"`{civil:%Y-%m-%d %H:%M}` {reason}", " or ".join(sorted(set(shown))), "write")


# --- refusals -----------------------------------------------------------------------------------


def _refusal(message: str, nearest: str, lead: str) -> PhraseError:
    return PhraseError(message, f"{lead}  {nearest}")


def _bare(words: str, here: datetime) -> PhraseError:
    near = _near_time(words)
    day = "today" if near > here.strftime("%H:%M") else "tomorrow"
    return _refusal(f"`{words}` does not say on which day", f"{day} {near}", "write")


def _near_time(clock: str) -> str:
    found = re.match(r"(\d{1,2})(?::?(\d{2}))?", clock, re.ASCII)
    at = _time_of(clock)
    if at is not None:
        return at.strftime("%H:%M")
    if clock == "midnight":
        return "00:00"
    if found is None or int(found[1]) > 23 or int(found[2] or 0) > 59:
        return "09:00"
    return f"{int(found[1]):02}:{found[2] or '00'}"


def _next_day(here: datetime) -> str:
    return (here.date() + timedelta(days=1)).isoformat()


def _advice(words: str, first: str, rest: str) -> str:
    close = close_to(first, _WORDS)
    if close and rest:
        return f"write  {close[0]} {_near_time(rest.removeprefix('at '))}"
    number = re.search(r"\d{1,6}", words)
    for word in re.findall(r"[a-z]+", words):
        unit = close_to(word, [each for each in _UNITS if len(each) > 3])
        if unit and number:
            return f"write  in {number[0]} {unit[0]}"
    return f"write one like  {EXAMPLES}"
