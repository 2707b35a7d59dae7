"""A crontab in a job folder: its first line as a job, and notes on the other lines.

Rule: pure; text in, words out.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import PurePosixPath
from typing import Final, NamedTuple

from luad.core.cron.cronline import read_line
from luad.core.cron.search import CronError
from luad.core.cron.zones import ZoneError, load_zone

_LINE: Final = re.compile(r"(@[a-z]+|(?:[0-9*][0-9A-Za-z*,/-]*\s+){2}(?:\S+\s+){2}\S+)\s+(\S.*)")
_ASSIGNMENT: Final = re.compile(r"([A-Za-z_]\w*)\s*=\s*(.*)")
_USER: Final = re.compile(r"^(?:root|www-data|nobody)\s+")
_DISCARDED: Final = re.compile(r"(?:\s*(?:(?:[12]?>>?|&>)\s*/dev/null|2>&1))+\s*$")
_SEPARATOR: Final = re.compile(r"&&|\|\||[;|]")
_PREPARES: Final = frozenset(
    ("cd", "pushd", "sleep", "source", ".", "export", "set", "umask", "test", "[", "mkdir")
)
_WRAPS: Final = frozenset(
    ("sudo", "nice", "ionice", "env", "exec", "time", "nohup", "chronic", "command", "setsid")
)
_WRAPS_WITH_WORD: Final = frozenset(("flock", "timeout", "chroot"))
_INTERPRETS: Final = re.compile(r"(?:ba|da|z|k)?sh|python[0-9.]*|perl|ruby|php[0-9.]*|node")
_TAKES_VALUE: Final = re.compile(r"-[a-zA-Z]")
_OF_CRON: Final = frozenset(("MAILTO", "MAILFROM", "CRON_TZ", "TZ"))


class Crontab(NamedTuple):
    """The first job of a crontab, and *notes* on lines that the job does not express."""

    name: str
    expression: str
    command: str
    timezone: str
    notes: tuple[str, ...]


def read_crontab(lines: Iterable[str]) -> Crontab | None:
    """Return the crontab that *lines* are, without comments; None for other text."""
    variables: dict[str, str] = {}
    for line in lines:
        if assigned := _ASSIGNMENT.fullmatch(line):
            variables[assigned[1]] = assigned[2].strip().strip("\"'")
            continue
        found = _LINE.fullmatch(line)
        if found is None:
            return None
        if found[1] == "@reboot":
            continue
        try:
            expression = read_line(" ".join(found[1].split())).expression
        except CronError:
            return None
        command = _USER.sub("", found[2]).replace(r"\%", "%")
        zone = _zone(variables)
        return Crontab(
            _name(command), expression, _without_discard(command), zone, _notes(variables, zone)
        )
    return None


def _without_discard(command: str) -> str:
    found = _DISCARDED.search(command)
    if found is None or "/dev/null" not in found[0]:
        return command
    return command[: found.start()] or command


def _zone(variables: dict[str, str]) -> str:
    zone = variables.get("CRON_TZ") or variables.get("TZ") or ""
    try:
        load_zone(zone)
    except ZoneError:
        return ""
    return zone


def _notes(variables: dict[str, str], zone: str) -> tuple[str, ...]:
    notes = []
    if not zone:
        notes.append(
            "cron takes the machine's time zone, luad UTC: add `timezone` to the schedule, or to "
            "luad.yaml"
        )
    if variables.get("MAILTO"):
        notes.append("for MAILTO add  alert: {to: [USER]}")
    if others := [name for name in variables if name not in _OF_CRON]:
        notes.append(f"write {', '.join(others)} into `env`")
    return tuple(notes)


def _name(command: str) -> str:
    """Return the name of the main program, without its wrappers."""
    first = ""
    for part in _SEPARATOR.split(command):
        program = _program(part.split())
        if program and program not in _PREPARES:
            return program
        first = first or program
    return first or "my-job"


def _program(words: list[str]) -> str:
    rest = list(words)
    while rest:
        word = rest.pop(0)
        name = word.rpartition("/")[2]
        if re.match(r"[A-Za-z_]\w*=", word) or re.match(r"[0-9&]?[<>]", word):
            continue
        is_interpreter = _INTERPRETS.fullmatch(name) is not None
        if name in _WRAPS or name in _WRAPS_WITH_WORD or (is_interpreter and rest):
            is_module = "-m" in rest[:2]
            _drop_options(rest, has_values=not is_interpreter)
            if name in _WRAPS_WITH_WORD and rest:
                rest.pop(0)
            if is_interpreter and rest:
                script = rest[0].strip("\"'").rpartition("/")[2]
                return script if is_module else PurePosixPath(script).stem
            continue
        return PurePosixPath(name.strip("\"'(")).stem
    return ""


def _drop_options(words: list[str], *, has_values: bool) -> None:
    while words and words[0].startswith("-"):
        option = words.pop(0)
        is_value = bool(words) and re.fullmatch(r"[0-9]+|[a-z_-]+", words[0]) is not None
        if has_values and _TAKES_VALUE.fullmatch(option) and is_value and len(words) > 1:
            is_number = words[0].isdigit()
            if is_number or option in {"-u", "-g"}:
                words.pop(0)
