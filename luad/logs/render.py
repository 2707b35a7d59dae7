"""Renders fields as a line: JSON, text for a terminal, or a datagram for the journal.

Rule: any fields give exactly one line; nothing raises.

One call of the C encoder renders the usual line. Only a line that the encoder refuses (NaN, unknown
objects, keys that are not text), that is long, or that may hold a secret is converted field by field.
"""

from __future__ import annotations

import json
import re
import struct
import sys
import time
import traceback
import uuid
from abc import ABC, abstractmethod
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final

from luad.clock import wall_ms

if TYPE_CHECKING:
    from collections.abc import Mapping, MutableMapping

    from luad.logs.redact import Redactor

FIELD_LIMIT: Final = 16 * 1024  # characters of one field; further ones are only counted
LINE_LIMIT: Final = 64 * 1024  # characters of all fields together
DEPTH_LIMIT: Final = 8

_PRIORITIES: Final = {"debug": 7, "info": 6, "warning": 4, "error": 3, "critical": 2}
_COLOURS: Final = {"debug": "2", "info": "32", "warning": "33", "error": "31", "critical": "1;31"}
_OWN_KEYS: Final = ("ts", "level")
_LABELS: Final = {"debug": "DEBUG  ", "info": "INFO   ", "warning": "WARNING", "error": "ERROR  "}
_CODE: Final = {"pathname": "CODE_FILE", "lineno": "CODE_LINE", "func_name": "CODE_FUNC"}
_MESSAGE_IDS: Final = uuid.UUID("5d0d9a0c-0f4a-4c57-9a51-6c7561640001")

# Controls (except the tab), line and paragraph separators, direction overrides, lone surrogates: they
# could end a line, move the cursor or make one text look like another.
_UNPRINTABLE: Final = re.compile(
    "[\x00-\x08\x0a-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff\ud800-\udfff]"
)
_OWN_WORDS: Final = frozenset(
    {
        "ts", "level", "event", "job", "run_id", "attempt", "status", "state", "ending", "trigger",
        "stream", "handler", "code", "pid", "version", "role", "via", "took_ms", "duration_ms", "late_ms",
    }
)  # fmt: skip
"""Fields whose values are luad's own words, names and numbers; they are not masked, even if a secret has
the same spelling."""

_PLAIN_WORD: Final = re.compile(r"[\w.,:;/@+*%-]+")  # needs no quotes


class Renderer(ABC):
    """The last structlog processor of the chain, which turns fields into one line of bytes."""

    def __init__(self, redactor: Redactor) -> None:
        self.redactor = redactor

    def __call__(self, _logger: object, level: str, fields: MutableMapping[str, Any], /) -> bytes:
        """Return the line for any *fields*; the call changes them."""
        try:
            for key in _OWN_KEYS:
                if key in fields:
                    fields[f"{key}_"] = fields.pop(key)
            return self.render(level, fields)
        except Exception as error:  # noqa: BLE001 - foreign objects may raise anything anywhere
            name = type(error).__name__
            return self.render("error", {"event": "log.unrenderable", "error": name})

    @abstractmethod
    def render(self, level: str, fields: MutableMapping[str, Any]) -> bytes:
        """Return the line; may raise any exception of a value's own methods."""


class JsonLines(Renderer):
    """One JSON object a line: ``ts``, ``level``, ``event``, then the fields in their order."""

    def render(self, level: str, fields: MutableMapping[str, Any]) -> bytes:
        """Return the line with its newline."""
        if "exc_info" in fields:
            _write_out_exception(fields)
        head = {"ts": timestamp(wall_ms()), "level": level, "event": fields.pop("event", "")}
        try:
            line = _encode({**head, **fields})
        except Exception:  # noqa: BLE001 - NaN, bad keys, cycles, a __repr__ that raises
            return self._render_with_care(head, fields)
        if (
            len(line) > FIELD_LIMIT
            or "\\ud" in line  # it may be a lone surrogate, which most parsers refuse
            or self.redactor.occurs_in_json(line)
        ):
            return self._render_with_care(head, fields)
        return line.encode("ascii") + b"\n"

    def _render_with_care(self, head: dict[str, object], fields: Mapping[str, object]) -> bytes:
        return _encode(_plain({**head, **fields}, self.redactor)).encode("ascii") + b"\n"


class ConsoleLines(Renderer):
    """Lines such as ``09:30:00 INFO    run.started job=backup``, with colours if wanted."""

    def __init__(self, redactor: Redactor, *, has_colour: bool) -> None:
        super().__init__(redactor)
        self._has_colour = has_colour

    def render(self, level: str, fields: MutableMapping[str, Any]) -> bytes:
        """Return the line with its newline; a traceback follows on indented lines."""
        now = time.strftime("%H:%M:%S", time.localtime(wall_ms() // 1000))
        _write_out_exception(fields)
        values = _plain(fields, self.redactor)
        event, trace = printable(str(values.pop("event", ""))), str(values.pop("exception", ""))
        label = _LABELS.get(level, level.upper())
        if self._has_colour:
            label = f"\x1b[{_COLOURS.get(level, '0')}m{label}\x1b[0m"
            event = f"\x1b[1m{event}\x1b[0m"
        text = f"{now} {label} {event} {_pairs(values)}".rstrip()
        for line in trace.splitlines():
            text += f"\n  {printable(line)}"
        return text.encode("utf-8", "backslashreplace") + b"\n"


class JournalDatagrams(Renderer):
    """A datagram of the journal's native protocol, so that ``journalctl LUAD_JOB=x`` works."""

    def render(self, level: str, fields: MutableMapping[str, Any]) -> bytes:
        """Return the datagram."""
        _write_out_exception(fields)
        code = {name: fields.pop(key) for key, name in _CODE.items() if key in fields}
        values = _plain(fields, self.redactor)
        event = str(values.pop("event", ""))
        entry = {
            "MESSAGE": _journal_message(event, values),
            "PRIORITY": _PRIORITIES.get(level, 3),
            "SYSLOG_IDENTIFIER": "luad",
            "MESSAGE_ID": message_id(event),
            "LUAD_EVENT": event,
            **code,
        }
        for key, value in values.items():
            entry.setdefault(
                _journal_name(key), value if isinstance(value, str) else _encode(value)
            )
        return _journal_entry(entry)


def timestamp(at_ms: int) -> str:
    """Return RFC 3339 in UTC with milliseconds: ``2026-11-22T09:35:00.042Z``."""
    seconds, milliseconds = divmod(at_ms, 1000)
    return f"{_second(seconds)}.{milliseconds:03d}Z"


@lru_cache(maxsize=4)
def _second(seconds: int) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds))


@lru_cache(maxsize=512)
def message_id(event: str) -> str:
    """Return the journal's MESSAGE_ID of an event, which is the same on every machine."""
    return uuid.uuid5(_MESSAGE_IDS, event).hex


def printable(text: str) -> str:
    """Return *text* as one line without control characters, which are written as escapes."""
    return text if text.isprintable() else _UNPRINTABLE.sub(_spell, text)


def _spell(match: re.Match[str]) -> str:
    code = ord(match.group())
    return {10: "\\n", 13: "\\r"}.get(code) or (
        f"\\x{code:02x}" if code < 256 else f"\\u{code:04x}"
    )


_encode = json.JSONEncoder(
    ensure_ascii=True, allow_nan=False, check_circular=True, separators=(",", ":"), default=repr
).encode


def _plain(fields: Mapping[str, object], redactor: Redactor) -> dict[str, object]:
    """Return the fields as JSON values of limited depth and length, without secrets."""
    plain: dict[str, object] = {}
    characters_left, left_out = LINE_LIMIT, 0
    for key, value in fields.items():
        if characters_left <= 0:
            left_out += 1
            continue
        is_own = key in _OWN_WORDS
        name = str(key) if is_own else _cut(_no_surrogates(redactor.mask(str(key))), 256)
        safe = _json_value(value, DEPTH_LIMIT)
        safe = safe if is_own else redactor.mask_value(safe)
        if isinstance(safe, str):
            safe = _cut(safe, FIELD_LIMIT)
        elif isinstance(safe, dict | list) and len(text := _encode(safe)) > FIELD_LIMIT:
            safe = _cut(text, FIELD_LIMIT)
        plain[name] = safe
        characters_left -= len(safe) if isinstance(safe, str) else 64
    if left_out:
        plain["fields_left_out"] = left_out
    return plain


def _json_value(value: object, depth: int) -> object:
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, str):
        return _no_surrogates(str.__str__(value))
    if isinstance(value, int):
        return int(value) if value.bit_length() < 1024 else hex(value)  # str() of more may raise
    if isinstance(value, float):
        return float(value) if value - value == 0 else repr(float(value))
    if depth and isinstance(value, dict):
        return {
            _no_surrogates(_safe_repr(key, str)): _json_value(each, depth - 1)
            for key, each in list(value.items())
        }
    if depth and isinstance(value, list | tuple | set | frozenset):
        return [_json_value(each, depth - 1) for each in list(value)]
    return _no_surrogates(_safe_repr(value, repr))


def _safe_repr(value: Any, show: Any) -> str:
    try:
        return str(show(value))
    except Exception as error:  # noqa: BLE001 - whatever a foreign __repr__ raises
        return f"<{type(value).__name__} that cannot be shown: {type(error).__name__}>"


def _no_surrogates(text: str) -> str:
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


def _cut(text: str, limit: int) -> str:
    if len(text) <= limit:
        return text
    return f"{text[:limit]}… ({len(text) - limit} more characters)"


def _write_out_exception(fields: MutableMapping[str, Any]) -> None:
    """Replace ``exc_info`` (True, an exception, or a triple) by the text ``exception``."""
    given = fields.pop("exc_info", None)
    if not given:
        return
    try:
        error = given[1] if isinstance(given, tuple) else given
        error = error if isinstance(error, BaseException) else sys.exc_info()[1]
        if error is not None:
            fields["exception"] = "".join(traceback.format_exception(error)).rstrip()
    except Exception as failure:  # noqa: BLE001 - an exception whose __str__ raises
        fields["exception"] = f"<traceback that cannot be shown: {type(failure).__name__}>"


def _pairs(values: Mapping[str, object]) -> str:
    """Return ``message``, then ``key=value`` for the other fields, quoted if necessary."""
    words = [printable(str(values["message"]))] if "message" in values else []
    words += [f"{printable(k)}={_word(v)}" for k, v in values.items() if k != "message"]
    return " ".join(words)


def _word(value: object) -> str:
    if type(value) is int:
        return str(value)
    if not isinstance(value, str):
        return printable(_encode(value))  # JSON needs no quotes
    text = value
    if _PLAIN_WORD.fullmatch(text):
        return text
    return printable(json.dumps(text, ensure_ascii=False))


def _journal_message(event: str, values: Mapping[str, object]) -> str:
    if event == "run.output":  # only the handler's output; job and run are fields
        return printable(str(values.get("message", "")))
    pairs = _pairs({key: value for key, value in values.items() if key != "exception"})
    return f"{printable(event)} {pairs}".rstrip()


@lru_cache(maxsize=512)
def _journal_name(key: str) -> str:
    """Return LUAD_ and the key in capitals; ``run_id`` is LUAD_RUN, which is short to type."""
    name = "RUN" if key == "run_id" else re.sub(r"[^A-Z0-9_]", "_", key.upper())
    return f"LUAD_{name}"[:64]


def _journal_entry(entry: Mapping[str, object]) -> bytes:
    """Return ``NAME=value`` lines; a value with newlines follows its length instead."""
    lines, blocks = [], []
    for name, value in entry.items():
        text = value if isinstance(value, str) else str(value)
        if "\n" in text:
            data = text.encode("utf-8", "backslashreplace")
            blocks.append(b"%s\n%s%s\n" % (name.encode(), struct.pack("<Q", len(data)), data))
        else:
            lines.append(f"{name}={text}\n")
    return "".join(lines).encode("utf-8", "backslashreplace") + b"".join(blocks)
