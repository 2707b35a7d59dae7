"""Time zones: by name, and their wall clocks at an instant.

Rule: knows zones, not cron. The zone data come from ``zoneinfo`` (of the machine, or of the ``tzdata`` package);
the module reads nothing else of the machine.
"""

from __future__ import annotations

import io
import os
import re
import zoneinfo
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Final, NamedTuple

from luad.core.cron.zonehints import help_for, places_of
from luad.core.model import Instant
from luad.suggestions import close_to

BEGIN: Final[Instant] = -62_135_000_000_000
"""Early in the year 1: the first instant of a search."""

END: Final[Instant] = 253_339_000_000_000
"""Late in the year 9997: later instants are never due. ``datetime`` ends two years later."""

_STEP_BITS: Final = 28
# 3.1 days between two looks at a zone's offset. No zone has ever gone there and back faster than
# within 3.98 days (Freetown, September 1939); a test holds the data against this number.
_BLOCK_BITS: Final = 34  # 199 days are looked at together, and remembered

_NAME: Final = re.compile(r"[A-Za-z0-9_+-]+(?:/[A-Za-z0-9_+-]+)*", re.ASCII)
_NO_PLACE: Final = ("localtime", "posixrules", "posix", "right", "Factory")
_ZERO: Final = timedelta(0)
_MS: Final = timedelta(milliseconds=1)


class ZoneError(ValueError):
    """A time zone that does not exist, or that luad does not accept.

    *suggestions* are valid names; *help* says what to write instead.
    """

    def __init__(
        self,
        message: str,
        suggestions: tuple[str, ...] = (),
        help_text: str = "IANA names look like Europe/London",
    ) -> None:
        super().__init__(message)
        self.message = message
        self.suggestions = suggestions
        near = " or ".join(f"`{each}`" for each in suggestions)
        self.help = f"did you mean {near}?" if near else help_text


class Stretch(NamedTuple):
    """From *start* to before *end*, the zone's wall clock is *offset* ahead of UTC, all in ms.

    *reached*: the latest civil time before *start*. It is after ``start + offset`` if the clock was turned back
    there.
    """

    start: Instant
    end: Instant
    offset: int
    reached: int


def load_zone(name: str) -> zoneinfo.ZoneInfo:
    """Return the IANA zone *name*. Raises ZoneError, with suggestions, for other names.

    Only proper names reach ``zoneinfo``: no paths, no zone of the machine's own (``localtime``), and no spelling
    that only some file systems accept.
    """
    is_name = len(name) <= 64 and _NAME.fullmatch(name)
    if is_name and name.partition("/")[0] not in _NO_PLACE:
        try:
            return _load(name)
        except ZoneError:
            raise
        except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError, ImportError):
            pass  # missing, or a folder: an unknown name
    shown = name if len(name) <= 64 else f"{name[:60]}…"
    if not _known_names():
        message = f"time zone `{shown}` cannot be looked up: this machine has no zone data"
        raise ZoneError(message, help_text="run: pip install tzdata")
    message = f"unknown time zone `{shown}`"
    if hint := help_for(name):
        raise ZoneError(message, help_text=hint)
    raise ZoneError(message, places_of(name) or _suggestions(name))


@lru_cache(maxsize=1024)
def _load(name: str) -> zoneinfo.ZoneInfo:
    """Return a zone after a check of its data.

    ``zoneinfo`` reads a truncated file for ever, and raises errors of every kind for damaged data. So this function
    first reads the bytes from a stream that raises an error at its end.
    """
    data = _data_of(name)
    if not data.startswith(b"TZif"):
        raise zoneinfo.ZoneInfoNotFoundError(name)
    try:
        zoneinfo.ZoneInfo.from_file(_Bytes(data), key=name)
    except Exception as error:
        message = f"the data of time zone `{name}` are damaged on this machine"
        raise ZoneError(message, help_text="install the machine's package tzdata again") from error
    return zoneinfo.ZoneInfo(name)


class _Bytes(io.BytesIO):
    def read(self, size: int | None = -1) -> bytes:
        data = super().read(size)
        if size and not data:
            raise EOFError
        return data


def _data_of(name: str) -> bytes:
    """Return the bytes that ``zoneinfo`` would read: of the machine, or else of the package."""
    for folder in zoneinfo.TZPATH:
        path = os.path.join(folder, name)  # noqa: PTH118 - as zoneinfo does
        if os.path.isfile(path):  # noqa: PTH113
            with open(path, "rb") as stream:  # noqa: PTH123
                return stream.read()
    from importlib import resources  # noqa: PLC0415 - only where the machine has no data of its own

    return resources.files("tzdata").joinpath("zoneinfo", *name.split("/")).read_bytes()


@lru_cache(maxsize=1)
def _known_names() -> dict[str, str]:
    names = (name for name in zoneinfo.available_timezones() if name not in _NO_PLACE)
    return {name.casefold(): name for name in sorted(names)}


def _suggestions(name: str) -> tuple[str, ...]:
    wanted = re.sub(r"\s+", "_", name.strip()).casefold()[:64]
    known = _known_names()
    if not wanted:
        return ()
    if wanted in known:
        return (known[wanted],)
    cities = [known[full] for full in known if full.rpartition("/")[2] == wanted and "/" in full]
    near = close_to(wanted, known, 3)
    return tuple(dict.fromkeys([*cities, *(known[full] for full in near)]))[:3]


# --- the wall clock ----------------------------------------------------------------------------


def stretch_at(zone: zoneinfo.ZoneInfo, at: Instant) -> Stretch:
    """Return the stretch of the wall clock around *at*, which is between `BEGIN` and `END`.

    The ends of a stretch need not be changes of the clock, because long stretches come in parts.
    """
    stretches = _block(zone, at >> _BLOCK_BITS)
    for stretch in stretches:
        if at < stretch.end:
            return stretch
    raise AssertionError("a block covers all of its instants")


@lru_cache(maxsize=8192)
def _block(zone: zoneinfo.ZoneInfo, number: int) -> tuple[Stretch, ...]:
    """Return the stretches of one block of time, found from the offsets at many instants."""
    begin, end = number << _BLOCK_BITS, (number + 1) << _BLOCK_BITS
    step = 1 << _STEP_BITS
    # One step earlier, because a clock that was turned back shortly before still runs behind.
    start = seen = begin - step
    offset = _offset(zone, seen)
    reached = start + offset
    found: list[Stretch] = []
    while seen < end:
        seen += step
        later = _offset(zone, seen)
        if later != offset:
            change = _change(zone, seen - step, seen)
            found.append(Stretch(start, change, offset, reached))
            reached = max(reached, change + offset)
            start, offset = change, later
    found.append(Stretch(start, end, offset, reached))
    return tuple(
        stretch._replace(start=max(stretch.start, begin), end=min(stretch.end, end))
        for stretch in found
        if stretch.start < end and stretch.end > begin
    )


def _offset(zone: zoneinfo.ZoneInfo, at: Instant) -> int:
    at = min(max(at, BEGIN), END)
    return (datetime.fromtimestamp(at // 1000, zone).utcoffset() or _ZERO) // _MS


def _change(zone: zoneinfo.ZoneInfo, low: Instant, high: Instant) -> Instant:
    """Return the second in (low, high] at which the offset changes; there is exactly one."""
    before = _offset(zone, low)
    first, last = low // 1000, high // 1000
    while last - first > 1:
        middle = (first + last) // 2
        if _offset(zone, middle * 1000) == before:
            first = middle
        else:
            last = middle
    return last * 1000
