"""The query parameters of the API, each with its JSON Schema.

Rule: a bound stands here only; reading a value and describing it both take it from here.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from luad.json_text import JsonObject

MAX_LIMIT: Final = 500
MAX_OFFSET: Final = 10_000
MAX_TAIL: Final = 10_000
MAX_LINES: Final = 2_000
MAX_SKIPPED: Final = 10**12
WORD: Final[JsonObject] = {"type": "string", "maxLength": 200}
FLAG: Final[JsonObject] = {"type": "boolean"}
_INSTANT: Final[JsonObject] = {"type": "string", "format": "date-time"}


@dataclass(frozen=True, eq=False, slots=True)
class Parameter:
    """A query parameter: its name, and the JSON Schema of its value."""

    name: str
    schema: JsonObject


def _number(name: str, low: int, high: int) -> Parameter:
    return Parameter(name, {"type": "integer", "minimum": low, "maximum": high})


def _words(*names: str) -> tuple[Parameter, ...]:
    return tuple(Parameter(name, WORD) for name in names)


_LIMIT: Final = _number("limit", 1, MAX_LIMIT)
_CURSOR: Final = Parameter("cursor", WORD)
_OFFSET: Final = _number("offset", 0, MAX_OFFSET)
_COUNT: Final = Parameter("count", FLAG)
_FIELDS: Final = Parameter("fields", {"type": "string", "maxLength": 1_000})
_JOB: Final = Parameter("job", WORD)
_FROM: Final = Parameter("from", _INSTANT)
_SINCE: Final = Parameter("since", _INSTANT)
_UNTIL: Final = Parameter("until", _INSTANT)

PAGE: Final = (_LIMIT, _CURSOR)
JOBS: Final = (
    *_words("status", "health", "tag", "source", "user", "q", "prefix"),
    Parameter("include_dynamic", FLAG),
    Parameter("sort", {"enum": ["name", "next", "last", "created"]}),
    _COUNT,
    _number("recent", 0, 40),
    *_words("fields"),
    _OFFSET,
    *PAGE,
)
EXACT: Final = (Parameter("exact", FLAG),)
RUN_FILTERS: Final = (
    *_words("status", "reason", "trigger", "user", "q", "tag", "not"),
    Parameter("min_duration", WORD),
    Parameter("delivery", {"enum": ["ok", "failed"]}),
    Parameter("since", WORD),
    _UNTIL,
)
RUNS_OF_JOB: Final = (*RUN_FILTERS, _COUNT, _FIELDS, _OFFSET, *PAGE)
RUNS: Final = (_JOB, *RUNS_OF_JOB)
RUNS_OF_A_BATCH: Final = (_JOB, *RUN_FILTERS)
_LINES: Final = (
    Parameter("follow", FLAG),
    _number("tail", 0, MAX_TAIL),
    *_words("level"),
    _SINCE,
    Parameter("format", {"enum": ["ndjson", "text", "sse"]}),
)
LOG_OF_RUN: Final = (
    _number("offset", 0, MAX_SKIPPED),
    *_LINES,
    _number("before", 1, MAX_SKIPPED),
    _number("limit", 1, MAX_LINES),
    *_words("q"),
)
LOGS: Final = (_JOB, *_LINES)
NEXT: Final = (_number("n", 1, MAX_LIMIT), _FROM)
SCHEDULE: Final = (
    _FROM,
    _UNTIL,
    _LIMIT,
    _JOB,
    Parameter("include_paused", FLAG),
    Parameter("format", {"enum": ["json", "ics"]}),
)
USERS: Final = (*_words("email", "phone"), Parameter("last_delivery", FLAG), *PAGE)
STATS_OF_JOB: Final = (_number("runs", 1, 1_000),)
STATS: Final = (Parameter("since", WORD), Parameter("by", {"enum": ["status", "hour", "job"]}))
ACTIVITY: Final = (*_words("actor", "since", "status"), *PAGE)
AUDIT: Final = (_JOB, *ACTIVITY)
EVENTS: Final = _words("kinds", "every")
DELIVERIES: Final = (*_words("status", "channel", "user", "since"), *PAGE)
HANDLER: Final = _words("job")
WHY: Final = (Parameter("at", _INSTANT),)
NONE: Final = ()
