"""The options that say when a dynamic job is due, as the schedule of a request.

A time that is not ISO, `HH:MM` or a duration is a phrase. The daemon reads a phrase with its own clock.

Rule: it asks the daemon for phrases and for the zone of a user; it creates nothing.
"""

from __future__ import annotations

import re
from datetime import datetime
from typing import TYPE_CHECKING, Final

from luad.cli.terminal.failure import CommandError
from luad.cli.terminal.times import parse_duration, parse_when, rfc3339
from luad.clock import machine_zone
from luad.core.phrase import PhraseError, read_delay, read_phrase
from luad.errors import NotFoundError
from luad.wire import parse_duration_ms

if TYPE_CHECKING:
    from zoneinfo import ZoneInfo

    from luad.cli.session import Session
    from luad.client import Client
    from luad.json_text import JsonObject

WHEN: Final = {"wait": "--in", "at": "--at", "every": "--every", "cron": "--cron"}
_CLOCK: Final = re.compile(r"\d{2}:\d{2}(:\d{2})?", re.ASCII)


def schedule_of(session: Session, client: Client, options: JsonObject) -> JsonObject:
    """Return the keys of the request that say when the job is due. Raises `CommandError` (usage)."""
    given = [key for key in WHEN if options.get(key) is not None]
    flags = " and ".join(WHEN[key] for key in given)
    if len(given) != 1:
        raise CommandError(
            f"{flags} exclude each other" if given else "no option says when the job is due",
            code="usage",
            hint="use one of " + ", ".join(flag for key, flag in WHEN.items() if key in options),
        )
    kind, zone = given[0], options.get("timezone")
    text: str = options[kind]
    delay = _delay(text) if kind == "wait" else None
    if zone is not None and (kind == "every" or delay is not None):
        raise CommandError(f"{flags} has no time zone", code="usage", hint="omit --timezone")
    if delay is not None:
        return {"in": delay}
    if kind == "every":
        return {"schedule": {"type": "interval", "every": _length(text)}}
    if kind == "cron":
        rule = {"type": "cron", "expression": text}
        return {"schedule": rule if zone is None else {**rule, "timezone": zone}}
    return {"schedule": _once(session, client, text, zone, options.get("user"))}


def _delay(text: str) -> str | float | None:
    """Return a delay as the request takes it; None for a phrase."""
    try:
        parse_duration_ms(text)
    except ValueError:
        delay_ms = _spoken(text)
        return None if delay_ms is None else delay_ms / 1_000
    return text


def _length(text: str) -> str:
    """Return a duration as the request takes it. Raises `CommandError` (usage)."""
    delay = _delay(text)
    if delay is None:
        parse_duration(text)
    return text if isinstance(delay, str) else f"{delay:g}s"


def _spoken(text: str) -> int | None:
    try:
        return read_delay(text)
    except PhraseError as error:
        raise CommandError(error.message, code="usage", hint=error.nearest) from error


def _once(
    session: Session, client: Client, text: str, zone: str | None, user: str | None
) -> JsonObject:
    """Return a schedule of type `once`, with the zone in which *text* was read.

    The daemon shows its answer in that zone.
    """
    name = zone or session.tz or ("UTC" if session.utc else None)
    if not is_plain(text):
        return {"type": "once", "execute_at": read_by_daemon(client, text, name, user)} | (
            {"timezone": name} if name else {}
        )
    if name is None and user and not _says_instant(text):
        name = _zone_of(client, user)
    read_in = named(name) if name else session.zone
    at = rfc3339(parse_when(text, read_in, session.now))
    name = name or machine_zone()
    return {"type": "once", "execute_at": at} | ({"timezone": name} if name else {})


def is_plain(text: str) -> bool:
    """Return True for `now`, `HH:MM`, an ISO date or time, and a duration; they need no daemon."""
    if text == "now" or _CLOCK.fullmatch(text):
        return True
    try:
        if "-" in text:
            datetime.fromisoformat(text)
        else:
            parse_duration_ms(text)
    except ValueError:
        return False
    return True


def _says_instant(text: str) -> bool:
    """Return True if *text* means the same instant in every time zone."""
    if _CLOCK.fullmatch(text):
        return False
    return "-" not in text or datetime.fromisoformat(text).tzinfo is not None


def named(name: str) -> ZoneInfo:
    """Return the time zone *name*. Raises `CommandError` (usage)."""
    from luad.cli.session import named_zone
    from luad.core.cron.zones import load_zone

    named_zone(name)
    return load_zone(name)


def read_here(text: str, zone_name: str, now: int) -> int:
    """Return the instant of a phrase by the clock of this machine. Raises `CommandError` (usage)."""
    try:
        return read_phrase(text, named(zone_name), now).instant
    except PhraseError as error:
        raise CommandError(error.message, code="usage", hint=error.nearest) from error


def read_by_daemon(client: Client, text: str, zone: str | None, user: str | None) -> str:
    """Return the instant of a phrase by the daemon's clock. Raises `CommandError` (usage)."""
    body = {"phrase": text, "timezone": zone, "user": user}
    answer = client.post("/explain", {key: each for key, each in body.items() if each is not None})
    if answer["problems"]:
        first = answer["problems"][0]
        raise CommandError(first["detail"], code="usage", hint=first.get("hint", ""))
    return str(answer["next"][0]["at"])


def _zone_of(client: Client, user: str) -> str | None:
    from luad.client import segment

    try:
        return client.get(f"/users/{segment(user)}").get("timezone") or None
    except NotFoundError:
        return None  # the daemon reports it when it creates the job
