"""Names of time zones in the spelling of other programs, with IANA names of the same places.

Rule: tables without zone data. The place of an abbreviation is a guess, so luad only suggests it.
"""

from __future__ import annotations

import re
from typing import Final

_PLACES: Final[dict[str, tuple[str, ...]]] = {
    "PST": ("America/Los_Angeles",), "PDT": ("America/Los_Angeles",), "PT": ("America/Los_Angeles",),
    "MDT": ("America/Denver",), "MT": ("America/Denver",),
    "CST": ("America/Chicago", "Asia/Shanghai"), "CDT": ("America/Chicago",), "CT": ("America/Chicago",),
    "EDT": ("America/New_York",), "ET": ("America/New_York",), "EST5": ("America/New_York",),
    "AST": ("America/Halifax",), "ADT": ("America/Halifax",), "NST": ("America/St_Johns",),
    "AKST": ("America/Anchorage",), "AKDT": ("America/Anchorage",), "BRT": ("America/Sao_Paulo",),
    "BST": ("Europe/London",), "IST": ("Asia/Kolkata", "Europe/Dublin"), "WEST": ("Europe/Lisbon",),
    "CEST": ("Europe/Berlin",), "MEZ": ("Europe/Berlin",), "MESZ": ("Europe/Berlin",),
    "EEST": ("Europe/Athens",), "MSK": ("Europe/Moscow",), "TRT": ("Europe/Istanbul",),
    "GST": ("Asia/Dubai",), "PKT": ("Asia/Karachi",), "ICT": ("Asia/Bangkok",),
    "SGT": ("Asia/Singapore",), "HKT": ("Asia/Hong_Kong",), "JST": ("Asia/Tokyo",),
    "KST": ("Asia/Seoul",), "AWST": ("Australia/Perth",), "ACST": ("Australia/Adelaide",),
    "AEST": ("Australia/Sydney",), "AEDT": ("Australia/Sydney",), "NZST": ("Pacific/Auckland",),
    "NZDT": ("Pacific/Auckland",), "SAST": ("Africa/Johannesburg",), "Z": ("UTC",),
    "PACIFIC": ("America/Los_Angeles",), "MOUNTAIN": ("America/Denver",),
    "CENTRAL": ("America/Chicago",), "EASTERN": ("America/New_York",),
    "W. EUROPE": ("Europe/Berlin",), "CENTRAL EUROPE": ("Europe/Budapest",),
    "CENTRAL EUROPEAN": ("Europe/Warsaw",), "ROMANCE": ("Europe/Paris",), "INDIA": ("Asia/Kolkata",),
    "CHINA": ("Asia/Shanghai",), "TOKYO": ("Asia/Tokyo",), "AUS EASTERN": ("Australia/Sydney",),
    "GMT STANDARD": ("Europe/London",),
}  # fmt: skip
_BY_OFFSET: Final = {
    -600: "Pacific/Honolulu", -540: "America/Anchorage", -480: "America/Los_Angeles",
    -420: "America/Denver", -360: "America/Chicago", -300: "America/New_York", -240: "America/Halifax",
    -210: "America/St_Johns", -180: "America/Sao_Paulo", 60: "Europe/Berlin", 120: "Europe/Athens",
    180: "Europe/Istanbul", 210: "Asia/Tehran", 240: "Asia/Dubai", 270: "Asia/Kabul", 300: "Asia/Karachi",
    330: "Asia/Kolkata", 345: "Asia/Kathmandu", 360: "Asia/Dhaka", 390: "Asia/Yangon", 420: "Asia/Bangkok",
    480: "Asia/Singapore", 540: "Asia/Tokyo", 570: "Australia/Darwin", 600: "Australia/Sydney",
    660: "Pacific/Noumea", 720: "Pacific/Auckland",
}  # fmt: skip
_OFFSET: Final = re.compile(
    r"(?:UTC|GMT|Z)?\s*([+-])\s*([0-9]{1,2})(?::?([0-9]{2}))?", re.IGNORECASE
)
_WINDOWS: Final = re.compile(r"\s+(?:Standard|Daylight)?\s*Time(?:\s*\(.*\))?", re.IGNORECASE)
_OF_MACHINE: Final = frozenset({"local", "localtime", "system", "default", "auto", "machine"})


def places_of(name: str) -> tuple[str, ...]:
    """Return the likely IANA names of an abbreviation or a Windows name."""
    word = name.strip().upper()
    if word.startswith("GMT STANDARD"):
        word = "GMT STANDARD"
    return _PLACES.get(word) or _PLACES.get(_WINDOWS.sub("", word), ())


def help_for(name: str) -> str:
    """Return help for an offset or the machine's own zone; empty for other names."""
    if name.strip().lower() in _OF_MACHINE:
        return "write the zone's name, such as Europe/London; `timedatectl` shows the machine's"
    found = _OFFSET.fullmatch(name.strip())
    if found is None:
        return ""
    hours, rest = int(found[2]), int(found[3] or 0)
    minutes = (hours * 60 + rest) * (1 if found[1] == "+" else -1)
    if minutes == 0:
        return "write UTC"
    place = _BY_OFFSET.get(minutes, "Europe/London")
    if rest or hours > 12:
        return f"write a place, such as {place}"
    turned = "-" if found[1] == "+" else "+"
    return (
        f"write a place, such as {place}, which follows summer time; the fixed offset is "
        f"Etc/GMT{turned}{hours}, with the sign turned round"
    )


def place_of(name: str) -> str:
    """Return the place of an abbreviation or an offset, as an example."""
    if places := places_of(name):
        return places[0]
    found = _OFFSET.fullmatch(name)
    hours = (
        (int(found[2]) * 60 + int(found[3] or 0)) * (1 if found[1] == "+" else -1) if found else 0
    )
    return _BY_OFFSET.get(hours, "Europe/London")


def is_like_a_zone(word: str) -> bool:
    """Return whether *word* looks like a zone in any spelling: `Europe/London`, `UTC+2`, `PST`."""
    if _OFFSET.fullmatch(word) and word[0].isalpha():
        return True
    if re.fullmatch(r"[A-Za-z]+(?:/[A-Za-z_+-]+)+[0-9]*", word):
        return word[0].isupper()
    return word.upper() in {"UTC", "GMT", "EST", "MST", "HST", "CET", "EET", "MET", "WET"} or bool(
        word.isupper() and word in _PLACES
    )
