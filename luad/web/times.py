"""Instants and durations in words, in the zone that the browser has chosen.

Rule: pure; each absolute time names its zone in the element's title.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cache
from typing import TYPE_CHECKING, Final
from zoneinfo import ZoneInfo, available_timezones

from markupsafe import Markup, escape

if TYPE_CHECKING:
    from datetime import tzinfo

_MINUTE: Final = 60
_HOUR: Final = 3600
_DAY: Final = 86_400


@cache
def _zones() -> frozenset[str]:
    """Return the names of all zones; finding them walks through files, so it is done once."""
    return frozenset(available_timezones())


def zone_of(name: str, default: str) -> str:
    """Return *name* where it is a known zone, else *default*."""
    return name if name in _zones() else default


def parse(text: str) -> datetime:
    """Return the instant of an RFC 3339 text."""
    return datetime.fromisoformat(text)


@dataclass(frozen=True, slots=True)
class Times:
    """Writes instants as of *now*, in *zone*."""

    now: datetime
    zone: str

    @property
    def tz(self) -> tzinfo:
        """The zone itself."""
        return ZoneInfo(self.zone)

    def local(self, text: str) -> datetime:
        """Return an instant in the zone."""
        return parse(text).astimezone(self.tz)

    def at(self, text: str | None) -> Markup:
        """Return an instant as an element: the time of day, with the date where it is not today."""
        return self._element(text, self.short(text) if text else "")

    def since(self, text: str | None) -> Markup:
        """Return an instant as an element: how long ago, or how long until."""
        return self._element(text, self.relative(text) if text else "", is_relative=True)

    def full(self, text: str | None) -> Markup:
        """Return an instant as an element: date, time and zone."""
        if not text:
            return Markup("")
        return self._element(text, self.local(text).strftime("%a %-d %b %Y, %H:%M:%S %Z"))

    def short(self, text: str) -> str:
        """Return the time of day, with the date where it is not today."""
        local, today = self.local(text), self.now.astimezone(self.tz)
        if local.date() == today.date():
            return local.strftime("%H:%M:%S" if local.second else "%H:%M")
        if local.year == today.year:
            return local.strftime("%-d %b %H:%M")
        return local.strftime("%-d %b %Y")

    def clock(self, text: str) -> str:
        """Return the time of day to the millisecond."""
        return self.local(text).strftime("%H:%M:%S.%f")[:-3]

    def relative(self, text: str) -> str:
        """Return how long ago an instant was, or how long until it is."""
        seconds = (parse(text) - self.now).total_seconds()
        if seconds >= 0:
            return f"in {duration(seconds)}"
        return f"{duration(-seconds)} ago"

    def until(self, text: str) -> str:
        """Return how long it is until an instant; "now" when it is past."""
        seconds = (parse(text) - self.now).total_seconds()
        return duration(seconds) if seconds > 0 else "now"

    def _element(self, text: str | None, words: str, *, is_relative: bool = False) -> Markup:
        if not text:
            return Markup("")
        title = f"{self.local(text):%a %-d %b %Y, %H:%M:%S %Z} · {text} · {self.relative(text)}"
        mark = Markup(" data-relative") if is_relative else Markup("")
        return Markup('<time datetime="{}" title="{}"{}>{}</time>').format(text, title, mark, words)


def duration(seconds: float) -> str:
    """Return a duration with two units at most."""
    if seconds < 1:
        return f"{seconds * 1000:.0f} ms" if seconds < 0.1 else f"{seconds:.1f} s"
    if seconds < 10 and seconds != int(seconds):
        return f"{seconds:.1f} s"
    whole = timedelta(seconds=round(seconds))
    total = int(whole.total_seconds())
    if total < _MINUTE:
        return f"{total} s"
    if total < _HOUR:
        minutes, rest = divmod(total, _MINUTE)
        return f"{minutes} min" + (f" {rest} s" if rest and minutes < 10 else "")
    if total < _DAY:
        hours, rest = divmod(total, _HOUR)
        return f"{hours} h" + (f" {rest // _MINUTE} min" if rest >= _MINUTE else "")
    days, rest = divmod(total, _DAY)
    return f"{days} d" + (f" {rest // _HOUR} h" if rest >= _HOUR else "")


def duration_ms(value: int | None) -> str:
    """Return a duration of milliseconds; a dash without one."""
    return "–" if value is None else duration(value / 1000)


def count(number: int, one: str, many: str = "") -> str:
    """Return a number with its noun."""
    return f"{number:,} {one if number == 1 else many or one + 's'}"


def shown(value: object) -> Markup:
    """Return text with control and bidirectional characters made visible."""
    text = "".join(_visible(char) for char in str(value))
    return escape(text)


def _visible(char: str) -> str:
    code = ord(char)
    if char in "\n\t" or (code >= 0x20 and code not in _HIDDEN and code != 0x7F):
        return char
    return chr(0x2400 + code) if code < 0x20 else f"[U+{code:04X}]"


_HIDDEN: Final = frozenset(
    [*range(0x80, 0xA0), 0x061C, 0x200E, 0x200F, *range(0x202A, 0x202F), *range(0x2066, 0x206A), 0xFEFF]
)  # fmt: skip
