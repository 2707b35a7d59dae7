"""Text forms that every part of luad shares: durations, sizes, instants, and paths of the socket.

Rule: the standard library only, and little of it, because each command imports this module first.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta, tzinfo
from typing import TYPE_CHECKING, Final

from luad.clock import wall_ms
from luad.core.model import DAY, HOUR, MINUTE, SECOND

if TYPE_CHECKING:
    from collections.abc import Mapping

    from luad.core.model import Instant

# --- durations ---------------------------------------------------------------------------------

DURATION_PATTERN: Final = r"^((0|[1-9][0-9]*)(\.[0-9]+)?|(?=[0-9])([0-9]+w)?([0-9]+d)?([0-9]+h)?([0-9]+m)?([0-9]+(\.[0-9]+)?s)?)$"
"""The form of a duration as text; the schemas hold the same expression."""

MAX_DURATION_MS: Final = 36_500 * DAY
"""A century. A longer value is a typing error, and the limit keeps every sum inside 64 bits."""

_DURATION: Final = re.compile(
    r"(?=\d)(?:(\d+)w)?(?:(\d+)d)?(?:(\d+)h)?(?:(\d+)m)?(?:(\d+(?:\.\d+)?)s)?", re.ASCII
)
_SECONDS: Final = re.compile(r"\d+(?:\.\d+)?", re.ASCII)
_MAX_TEXT: Final = 32  # a longer text is not a duration; bounds the arithmetic below


def parse_duration_ms(value: object) -> int:
    """Return *value* in milliseconds; it is a number of seconds, or text such as ``1h30m``.

    Raises ``ValueError`` with a message for the user. Fractions are rounded to a millisecond.
    """
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise ValueError("a duration is a number of seconds, or text such as 90s, 10m or 1h30m")  # noqa: TRY004 - callers catch one class
    if isinstance(value, str):
        return _parse_duration_text(value)
    if not 0 <= value <= MAX_DURATION_MS // SECOND:  # refuses NaN as well
        raise ValueError(f"a duration is between 0 s and 100 years, not {value} s")
    return round(value * SECOND)


def _parse_duration_text(text: str) -> int:
    if len(text) <= _MAX_TEXT and _SECONDS.fullmatch(text):
        return parse_duration_ms(float(text))
    found = _DURATION.fullmatch(text) if len(text) <= _MAX_TEXT else None
    if found is None:
        raise ValueError(f"{text[:_MAX_TEXT]!r} is not a duration; write 90s, 10m, 1h30m, 2d or 1w")
    weeks, days, hours, minutes, seconds = found.groups()
    total = (
        (7 * int(weeks or 0) + int(days or 0)) * DAY
        + int(hours or 0) * HOUR
        + int(minutes or 0) * MINUTE
    )
    total += round(float(seconds or 0) * SECOND)
    if total > MAX_DURATION_MS:
        raise ValueError(f"{text} is longer than 100 years")
    return total


def format_duration_ms(duration_ms: int) -> str:
    """Return a duration in the form that `parse_duration_ms` reads: ``1h30m``, ``1m30s``."""
    rest, parts = duration_ms, []
    for unit_ms, letter in ((DAY, "d"), (HOUR, "h"), (MINUTE, "m")):
        count, rest = divmod(rest, unit_ms)
        if count:
            parts.append(f"{count}{letter}")
    if rest or not parts:
        parts.append(f"{rest / SECOND:.3f}".rstrip("0").rstrip(".") + "s")
    return "".join(parts)


# --- sizes -------------------------------------------------------------------------------------

SIZE_PATTERN: Final = r"^[0-9]+(\.[0-9]+)?[KMGTkmgt]?(i?[Bb])?$"
"""The form of a size as text; the schemas hold the same expression."""

_SIZE: Final = re.compile(r"(\d+(?:\.\d+)?)([KMGT]?)(?:I?B)?", re.ASCII)
_SIZE_UNITS: Final = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40}
_MAX_SIZE: Final = 1 << 50


def parse_size(value: object) -> int:
    """Return *value* in bytes; it is a number, or text such as ``512M`` (powers of 1024).

    Raises ``ValueError`` with a message for the user.
    """
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise ValueError("a size is a number of bytes, or text such as 512K, 64M or 1G")  # noqa: TRY004 - callers catch one class
    if isinstance(value, str):
        found = _SIZE.fullmatch(value.upper()) if len(value) <= _MAX_TEXT else None
        if found is None:
            raise ValueError(f"{value[:_MAX_TEXT]!r} is not a size; write bytes, 512K, 64M or 1G")
        size = float(found[1]) * _SIZE_UNITS[found[2]]
    else:
        size = value
    if not 0 <= size <= _MAX_SIZE:
        raise ValueError(f"a size is between 0 and 1024T, not {value}")
    return int(size)


# --- examples ----------------------------------------------------------------------------------


def example_date(now: Instant | None = None) -> str:
    """Return the next 25 December after *now* (default: the wall clock).

    Hints and help show it, so that an example that a user copies is in the future.
    """
    today = datetime.fromtimestamp((wall_ms() if now is None else now) / SECOND, UTC).date()
    year = today.year if (today.month, today.day) < (12, 25) else today.year + 1
    return f"{year:04}-12-25"


def example_instant(now: Instant | None = None) -> str:
    """Return 09:00 UTC of `example_date`."""
    return f"{example_date(now)}T09:00:00Z"


# --- instants ----------------------------------------------------------------------------------

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND: Final = timedelta(milliseconds=1)
_INSTANT: Final = re.compile(
    r"(\d{4})-(\d\d)-(\d\d)[Tt ](\d\d):(\d\d)(?::(\d\d)(?:\.(\d{1,9}))?)?"
    r"(?: ?([Zz])| ?([+-])(\d\d):?(\d\d))?",
    re.ASCII,
)


class NaiveInstantError(ValueError):
    """The text has no offset, and no time zone was given to read it in."""


class InstantGapError(ValueError):
    """The clocks of the zone skip this civil time."""


def parse_instant(text: str, zone: tzinfo | None = None) -> Instant:
    """Return the instant that *text* names: ``2026-12-25T09:00:00Z``, with ``T`` or a space.

    Text without an offset is read in *zone*; where an hour occurs twice, the first one is taken.
    Raises ``NaiveInstantError``, ``InstantGapError`` or plain ``ValueError``, with messages for the user.
    """
    found = _INSTANT.fullmatch(text)
    if found is None:
        raise ValueError(f"{text[:64]!r} is not a date and time; write {example_instant()}")
    year, month, day, hour, minute, second, fraction, zulu, sign, off_hours, off_minutes = (
        found.groups()
    )
    microsecond = int((fraction or "")[:6].ljust(6, "0"))
    try:
        civil = datetime(  # noqa: DTZ001 - the lines below add the zone
            int(year), int(month), int(day), int(hour), int(minute), int(second or 0), microsecond
        )
        if zulu or sign:
            aware = civil.replace(tzinfo=UTC) - _offset(sign, off_hours, off_minutes)
        else:
            aware = _in_zone(civil, zone)
        return (aware - _EPOCH) // _MILLISECOND
    except (NaiveInstantError, InstantGapError):
        raise
    except (ValueError, OverflowError) as error:
        reason = "outside the calendar" if isinstance(error, OverflowError) else error
        raise ValueError(f"{text} is not a date and time: {reason}") from None


def _offset(sign: str | None, hours: str | None, minutes: str | None) -> timedelta:
    if not sign:
        return timedelta()
    offset = timedelta(hours=int(hours or 0), minutes=int(minutes or 0))
    if offset >= timedelta(hours=24) or int(minutes or 0) >= 60:
        raise ValueError(f"an offset of {sign}{hours}:{minutes} does not exist")
    return -offset if sign == "-" else offset


def _in_zone(civil: datetime, zone: tzinfo | None) -> datetime:
    if zone is None:
        raise NaiveInstantError(f"{civil.isoformat()} has no offset, and no time zone is set")
    aware = civil.replace(tzinfo=zone).astimezone(UTC)
    if aware.astimezone(zone).replace(tzinfo=None) != civil:
        raise InstantGapError(f"{civil.isoformat()} does not exist in {zone}: the clocks skip it")
    return aware


def format_instant(instant: Instant) -> str:
    """Return RFC 3339 in UTC; milliseconds are shown only if they are not zero."""
    moment = _EPOCH + timedelta(milliseconds=instant)
    spec = "milliseconds" if instant % SECOND else "seconds"
    return moment.isoformat(timespec=spec).replace("+00:00", "Z")


def format_in_zone(instant: Instant, zone: tzinfo) -> str:
    """Return RFC 3339 with the offset of *zone* at that instant.

    It is in UTC where the offset has seconds (local mean time), which RFC 3339 cannot express.
    """
    moment = (_EPOCH + timedelta(milliseconds=instant)).astimezone(zone)
    if (moment.utcoffset() or timedelta()) % timedelta(minutes=1):
        return format_instant(instant)
    return moment.isoformat(timespec="milliseconds" if instant % SECOND else "seconds")


# --- the socket --------------------------------------------------------------------------------

SYSTEM_SOCKET: Final = "/run/luad/luad.sock"
SYSTEM_STATE: Final = "/var/lib/luad"
"""The socket and the state folder of the system's service."""

SOCKET_FOLDER: Final = ".luad-socket"
"""The folder for the socket in a folder that other users may write; the socket's path links into it."""


def socket_candidates(environ: Mapping[str, str], state_dir: str | None = None) -> list[str]:
    """Return the paths at which the daemon's socket may be, in the order that a client tries them.

    If `$LUAD_SOCKET` is set, it is the only path. *state_dir*, if a client knows it, adds the last path.
    """
    if chosen := environ.get("LUAD_SOCKET"):
        return [chosen]
    found = [*_systemd_socket(environ), SYSTEM_SOCKET]
    if user_runtime := environ.get("XDG_RUNTIME_DIR"):
        found.append(f"{user_runtime}/luad/luad.sock")
    if state_dir is not None:
        found.append(f"{state_dir}/luad.sock")
    return found


def socket_to_bind(environ: Mapping[str, str], uid: int, state_dir: str) -> str:
    """Return the path at which a daemon of *uid* binds its socket: the first that it may create."""
    candidates = socket_candidates(environ, state_dir)
    if uid != 0 and not environ.get("LUAD_SOCKET"):
        # Only root, or systemd through RUNTIME_DIRECTORY, may write below /run.
        candidates = [
            path for path in candidates if path != SYSTEM_SOCKET or path in _systemd_socket(environ)
        ]
    return candidates[0]


def _systemd_socket(environ: Mapping[str, str]) -> list[str]:
    runtime = environ.get("RUNTIME_DIRECTORY", "")
    return [f"{runtime.split(':')[0]}/luad.sock"] if runtime else []  # it may list several
