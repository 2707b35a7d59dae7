"""The part of a request that says when a job is due.

A text that is neither a plain duration nor an instant is a phrase: ``tomorrow 09:00``, ``fri
17:00``. The daemon reads it by its own clock, in the zone of `timezone`, else of the user, else of
luad.

Rule: as in `luad.sdk.job`: steps, which yield requests.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import date, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

from luad.sdk.ask import Ask
from luad.sdk.checking import duration, refuse, shown, spoken_delay, zone_text
from luad.sdk.exceptions import InvalidSchedule
from luad.sdk.keywords import WHEN
from luad.sdk.values import Cron, Every, Once, instant_text
from luad.wire import parse_duration_ms

if TYPE_CHECKING:
    from luad.json_text import JsonObject
    from luad.sdk.ask import Steps

_CIVIL: Final = r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d(?::\d\d(?:\.\d{1,9})?)?"
_WITH_OFFSET: Final = re.compile(_CIVIL + r" ?(?:[Zz]|[+-]\d\d:?\d\d)", re.ASCII)
_WITHOUT: Final = re.compile(_CIVIL, re.ASCII)
_MS: Final = 1_000
_UNTIL: Final = "until"


def when_steps(words: Mapping[str, Any], user: str | None) -> Steps[JsonObject]:
    """Return ``in`` or ``schedule`` of a request body. Raises `InvalidSchedule`."""
    zone = zone_text(words.get("timezone"))
    given = [key for key in WHEN if words.get(key) is not None]
    if len(given) != 1:
        what = "none of them is given" if not given else f"{' and '.join(given)} exclude each other"
        hint = "write exactly one of at=, in_=, every=, cron=, schedule="
        raise InvalidSchedule(f"the call must say when the job is due: {what}", hint=hint)
    kind, value = given[0], words[given[0]]
    if kind == "in_" and not (isinstance(value, str) and is_phrase(value)):
        _refuse_zone(kind, zone)
        return {"in": duration(value, "in_", InvalidSchedule)}
    if kind in {"at", "in_"}:
        at = yield from instant_steps(value, zone, user, kind)
        return {"schedule": {"type": "once", "execute_at": at} | _zone(zone)}
    if kind == "cron":
        return {"schedule": {"type": "cron", "expression": value} | _zone(zone)}
    _refuse_zone(kind, zone)
    if kind == "every":
        value = Every(value)
    schedule = yield from _schedule_steps(value, user)
    return {"schedule": schedule}


def _zone(zone: str | None) -> dict[str, str]:
    return {} if zone is None else {"timezone": zone}


def _refuse_zone(kind: str, zone: str | None) -> None:
    if zone is not None:
        raise InvalidSchedule(
            f"timezone= has no effect on {kind}=",
            hint="leave it out; it belongs to at= and cron=, and a schedule= has its own",
        )


def _schedule_steps(value: object, user: str | None) -> Steps[dict[str, object]]:
    """Return the JSON of a `Cron`, `Every` or `Once`, or of a dict as in a job file."""
    said = _said(value)
    zone = zone_text(said.get("timezone"))
    schedule = {key: each for key, each in said.items() if each is not None}
    if zone is not None:
        schedule["timezone"] = zone
    for key in ("every", "seconds"):
        if key in schedule:
            schedule[key] = duration(schedule[key], key, InvalidSchedule)
    if isinstance(schedule.get("seconds"), str):
        schedule["seconds"] = parse_duration_ms(schedule["seconds"]) / _MS
    for key in ("execute_at", "start_at"):
        if key in schedule:
            schedule[key] = yield from instant_steps(schedule[key], zone, user, key)
    return schedule


def _said(value: object) -> dict[str, object]:
    """Return the members of a schedule, with the values of the caller."""
    match value:
        case Cron():
            said: dict[str, object] = {"type": "cron", "expression": value.expression}
            said["timezone"] = value.timezone
        case Every():
            is_text = isinstance(value.distance, str)
            said = {"type": "interval", "every" if is_text else "seconds": value.distance}
            said["start_at"] = value.start_at
        case Once():
            said = {"type": "once", "execute_at": value.at, "timezone": value.timezone}
        case Mapping():
            said = {str(key): each for key, each in value.items()}
        case _:
            hint = (
                "pass Cron, Every, Once, or a dict as in a job file; a text goes into cron= or at="
            )
            refuse("schedule", f"{shown(value)} is not a schedule", hint, InvalidSchedule)
    return said


# --- an instant --------------------------------------------------------------------------------


def is_phrase(text: str) -> bool:
    """Return whether *text* is a phrase: neither a duration nor an instant."""
    return spoken_delay(text, "in_", InvalidSchedule) is None and not _is_duration(text)


def _is_duration(text: str) -> bool:
    try:
        parse_duration_ms(text)
    except ValueError:
        return False
    return True


def instant_steps(value: Any, zone: str | None, user: str | None, place: str) -> Steps[str]:
    """Return the text of an instant; *value* is a datetime, ISO text, a phrase, or a delay.

    Raises `InvalidSchedule`.
    """
    if isinstance(value, str):
        is_iso = _WITH_OFFSET.fullmatch(value) or (zone is not None and _WITHOUT.fullmatch(value))
        if is_iso:
            return value
        if user is None and _WITHOUT.fullmatch(value):
            reason = f"{value} has no time zone, so the instant is not known"
            hint = "pass timezone=, or write an offset such as Z or +01:00"
            refuse(place, reason, hint, InvalidSchedule)
        answer = yield from _explain(value, zone, user, place)
        return answer
    if isinstance(value, timedelta):
        text = f"in {int(value.total_seconds())} seconds"
        answer = yield from _explain(text, zone, user, place)
        return answer
    if isinstance(value, date) and not isinstance(value, datetime):
        reason = f"{value.isoformat()} has no time of day"
        refuse(
            place, reason, f'write "{value.isoformat()} 09:00", or pass a datetime', InvalidSchedule
        )
    has_zone = zone is not None or user is not None
    return instant_text(value, has_zone=has_zone)


def _explain(phrase: str, zone: str | None, user: str | None, place: str) -> Steps[str]:
    body: JsonObject = {"phrase": phrase} | _zone(zone)
    if user is not None:
        body["user"] = user
    answer = yield Ask("POST", "/explain", body)
    if answer["problems"]:
        first = answer["problems"][0]
        refuse(place, first["detail"], first.get("hint", ""), InvalidSchedule)
    at: str = answer["next"][0]["at"]
    return at


def until_steps(value: object, user: str | None, zone: str | None = None) -> Steps[object]:
    """Return the end of a pause as the API reads it: a duration, or an instant with an offset."""
    if isinstance(value, str):
        if _is_duration(value):
            return value
        if (delay_ms := spoken_delay(value, _UNTIL, InvalidSchedule)) is not None:
            return delay_ms / _MS
        if not _WITH_OFFSET.fullmatch(value):
            at = yield from _explain(value, zone, user, _UNTIL)
            return at
    elif isinstance(value, int | float | timedelta):
        return duration(value, _UNTIL, InvalidSchedule)
    at = yield from instant_steps(value, None, None, _UNTIL)
    return at


def snooze_steps(path: str, until: object) -> Steps[Any]:
    """Postpone the job at *path* until *until*; return its view.

    A `once` job gets another instant, in its own time zone. Any other job is paused.
    """
    if until is None:
        refuse("until", "it is missing", 'write "1h", or "tomorrow 09:00"', InvalidSchedule)
    view = yield Ask("GET", path)
    schedule = view["schedule"]
    end = yield from until_steps(until, view.get("user_id"), schedule.get("timezone"))
    if schedule["type"] != "once":
        body = {"reason": "snoozed", "until": end}
        return (yield Ask("POST", f"{path}/deactivate", body))
    if not isinstance(end, str) or _is_duration(end):
        return (yield Ask("PATCH", path, {"in": end}))
    schedule = {key: schedule[key] for key in ("type", "timezone") if schedule.get(key)}
    return (yield Ask("PATCH", path, {"schedule": {**schedule, "execute_at": end}}))
