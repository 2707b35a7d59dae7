"""Documents of jobs and users, each with its verdict: the least and the most that a field may hold, and
what lies just beyond. `test_schema_mutants` judges the schemas by them.
"""

from __future__ import annotations

from functools import cache
from typing import Any, Final, TypeAlias

from luad.config.schema.validator import SchemaName

Values: TypeAlias = tuple[list[Any], list[Any]]  # those that obey, those that do not


def number(low: int, high: int) -> Values:
    return [low, high], [low - 1, high + 1, None]


def text(low: int, high: int) -> Values:
    return ["x" * low, "x" * high], ["x" * (low - 1)] * bool(low) + ["x" * (high + 1), None]


def word(first: str, rest: str, most: int) -> Values:
    """Text of up to *most* characters, of which the first of *rest* may not stand in front."""
    return [first, first + rest, first * most], ["", rest, first + "!", first * (most + 1), 1]


def items(good: list[str]) -> Values:
    """Lists of all but the last of *good*; not of one more, and of none twice."""
    return [[], good[:-1]], [good, [good[0]] * 2, "x", [1]]


def keys(good: Values, most: int) -> Values:
    many = [{f"A{number}": "x" for number in range(most + more)} for more in (0, 1)]
    return [{}, many[0], *({each: "x"} for each in good[0])], [
        *(many[1], "x", {"A": 1}),
        *({each: "x"} for each in good[1] if each != 1),
    ]


# fmt: off
DURATION: Final = [0, 3153600000, "5", "0.5", "1d2h3m4.5s", "1" * 32], [-1, 3153600001, "", "x", "1" * 33, None]
SIZE: Final = [0, 1 << 50, "5", "1.5MiB", "1" * 32], [-1, (1 << 50) + 1, "", "x", "1" * 33, None]
SWITCH: Final = [True, False], [None, "yes", 1]
MANY: Final = [f"a{number}" for number in range(65)]
MAILS: Final = [f"{each}@x" for each in MANY]
PHONES: Final = [str(number) for number in range(100, 121)]
ID: Final = word("a", ".Z9_@+-", 128)
CRON: Final = {"type": "cron", "expression": "* * * * *"}
GRID: Final = {"type": "interval", "every": "1h"}
ONCE: Final = {"type": "once", "execute_at": "2026-12-25"}
JOB: Final = {"name": "a", "handler": "m:f", "schedule": CRON, "alert": {"to": []}}
KINDS: Final = CRON, GRID, ONCE
USER: Final = {"id": "ann", "channels": [{"type": "webhook"}]}

TABLES: Final[list[tuple[SchemaName, dict[str, Any], dict[str, Values]]]] = [
    ("job", JOB, {
        "": ([], [{key: JOB[key] for key in JOB if key != each} for each in ("name", "handler", "schedule")] + [None, "x"]),
        "other": ([], [1]),
        "name": word("a", ".9_-", 63),
        "description": text(0, 4096),
        "handler": text(1, 255),
        "schedule": ([*KINDS, {"type": "interval", "seconds": 1}], [
            None, {}, "x", {"type": "cron"}, {"type": "interval"}, {"type": "once"}, GRID | {"seconds": 1},
            *(each | {"type": "x"} for each in KINDS), *(each | {"other": 1} for each in KINDS),
            {"expression": "* * * * *"}, {"every": "1h"}, {"execute_at": "2026-12-25"}]),
        "schedule.expression": text(1, 256),
        "schedule.timezone": text(1, 64),
        **dict.fromkeys(("enabled", "warm", "alert.recovery"), SWITCH),
        **dict.fromkeys(("timeout", "catch_up_window", "jitter"), DURATION),
        **dict.fromkeys(("retry", "limits"), ([{}], [None, "x", {"other": 1}])),
        "alert": ([{"to": ["a"]}], [None, "x", {}, {"other": 1}]),
        "retry.max_attempts": number(1, 100),
        "retry.backoff_seconds": number(0, 86400),
        "retry.backoff_multiplier": number(1, 100),
        "retry.max_backoff_seconds": number(0, 604800),
        "overlap": (["skip", "queue", "replace", "allow"], ["x", None]),
        "max_running": number(1, 1000),
        "catch_up": (["latest", "all", "none"], ["x", None]),
        "on_lost": (["fail", "retry"], ["x", None]),
        "isolation": (["process", "shared"], ["x", None]),
        "queue": word("a", ".9_-", 63),
        "pause_after_failures": number(1, 10000),
        "tags": items(MANY[:33]),
        "tags.0": word("a", ".Z9_:/-", 63),
        "env": keys(word("_", "9Za", 128), 256),
        "env.A": text(0, 32768),
        "nice": number(0, 19),
        "log_level": (["debug", "info", "warning", "error", "critical"], ["x", None]),
        "limits.memory": SIZE,
        "limits.cpu_seconds": number(1, 31536000),
        "limits.open_files": number(16, 1048576),
        "limits.processes": number(1, 4194304),
        "user": ID,
        "alert.to": items(MANY),
        "alert.to.0": ID,
        "alert.other": ([], [1]),
        "alert.after_failures": number(0, 10000),
        "alert.or_failures_in_24h": number(0, 100),
        "alert.also": items(["timeout", "delivery_failed", "missed", "stale_config", "x"]),
        "metadata": ([{}, {"a": 1}], [None, "x"]),
    }),
    ("job", JOB | {"schedule": GRID}, {
        "schedule.every": DURATION, "schedule.start_at": text(10, 64), "schedule.timezone": text(1, 64)}),
    ("job", JOB | {"schedule": {"type": "interval"}}, {"schedule.seconds": number(1, 3153600000)}),
    ("job", JOB | {"schedule": ONCE}, {
        "schedule.execute_at": text(10, 64), "schedule.timezone": text(1, 64)}),
    ("users", USER, {
        "": ([], [{"full_name": "x"}, None, "x"]),
        "other": ([], [1]),
        "id": ID,
        "full_name": text(0, 200),
        "emails": items(MAILS[:21]),
        "emails.0": (["a@b", "a" * 128 + "@" + "b" * 253], ["a", "@b", "a@", "a" * 129 + "@b", "a@" + "b" * 254]),
        "phones": items(PHONES),
        "phones.0": (["123", "+1 (2)./-", "1" * 40, "+" + "1" * 40], ["12", "++12", "1" * 41, "x"]),
        "timezone": text(1, 64),
        "channels": ([["log"] * 20], [[], ["log"] * 21, "log", None]),
        "channels.0": (["inbox", "log"], ["x", "webhook", None, {}]),
        "channels.0.type": (["inbox", "log", "webhook", "apprise"], ["x", None]),
        "channels.0.other": ([], [1]),
        "channels.0.name": word("a", "_9-", 40),
        "channels.0.url": text(1, 2000),
        "channels.0.headers": keys((["Z9-a", "-", "a" * 64], ["", "_", "a" * 65]), 20),
        "channels.0.headers.A": text(0, 2000),
        "channels.0.timeout": DURATION,
        "channels.0.allow_private": SWITCH,
    }),
]
# fmt: on


def put(base: Any, steps: list[str], value: Any) -> Any:
    if not steps:
        return value
    if steps[0] == "0":
        return [put(base[0] if base else {}, steps[1:], value)]
    return base | {steps[0]: put(base.get(steps[0], {}), steps[1:], value)}


@cache
def told(name: SchemaName) -> list[tuple[str, Any, bool]]:
    """The documents of the tables: place, document, verdict."""
    return [
        (place, put(base, place.split(".") if place else [], value), verdict)
        for schema, base, table in TABLES
        if schema == name
        for place, both in table.items()
        for verdict, values in ((True, both[0]), (False, both[1]))
        for value in values
    ]
