"""Words of other schedulers, and what luad calls the same thing.

Room rule: tables, and nothing that knows YAML.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from luad.core.model import JSON
from luad.wire import example_instant

_HUMP: Final = re.compile(r"(?<=[a-z0-9])(?=[A-Z])", re.ASCII)

_RENAMED: Final[dict[str, dict[str, tuple[str, ...]]]] = {
    "": {
        "handler": ("function", "func", "callable", "task", "target", "entrypoint", "entry_point"),
        "name": ("id", "job", "job_name", "title"),
        "description": ("desc", "comment", "summary"),
        "timeout": ("timeout_seconds", "time_limit", "active_deadline_seconds", "max_runtime"),
        "overlap": ("concurrency_policy", "concurrency", "overlap_policy"),
        "max_running": ("max_instances", "max_concurrent", "max_concurrency"),
        "catch_up": ("coalesce", "catchup", "misfire", "misfire_policy"),
        "catch_up_window": (
            "catchup_window",
            "misfire_grace_time",
            "starting_deadline_seconds",
            "grace",
        ),
        "jitter": ("splay", "random_delay", "randomized_delay_sec"),
        "env": ("environment", "env_vars", "variables"),
        "metadata": ("params", "parameters", "args", "kwargs", "data", "payload", "config", "with"),
        "tags": ("labels", "tag", "groups"),
        "retry": ("retry_policy",),
        "pause_after_failures": ("max_failures", "pause_on_failure"),
        "nice": ("priority",),
        "user": ("user_id", "for_user", "recipient"),
        "alert": ("alerts", "notify", "notifications"),
    },
    "alert": {
        "to": ("users", "user", "who", "recipients"),
        "after_failures": ("failures", "consecutive_failures", "failures_in_a_row"),
        "or_failures_in_24h": ("failures_in_24h", "failures_in_a_day"),
        "also": ("on", "causes", "when"),
    },
    "user": {
        "id": ("user_id", "user", "key"),
        "full_name": ("name", "fullname", "display_name"),
        "emails": ("email", "mail", "mails", "email_addresses"),
        "phones": ("phone", "mobile", "mobiles", "mobile_numbers", "phone_numbers", "telephone"),
        "timezone": ("tz", "time_zone", "zone"),
        "channels": ("channel", "notify", "contacts", "contact", "targets"),
    },
    "channels": {
        "type": ("kind", "channel", "service"),
        "name": ("id", "label", "tag"),
        "url": ("uri", "address", "target", "endpoint", "to", "webhook", "webhook_url"),
        "headers": ("header", "http_headers"),
        "timeout": ("time_limit", "timeout_seconds"),
        "allow_private": ("private", "allow_loopback"),
    },
    "schedule": {
        "expression": ("pattern", "cron", "crontab", "cron_expression", "expr", "spec"),
        "timezone": ("tz", "time_zone", "zone", "tzinfo"),
        "execute_at": ("at", "run_at", "date", "run_date", "when", "time", "datetime"),
        "start_at": ("start", "start_date", "start_time", "from", "anchor"),
        "every": ("interval", "period", "frequency", "delay"),
        "seconds": ("secs", "interval_seconds", "every_seconds", "period_seconds"),
        "type": ("kind",),
    },
    "retry": {
        "max_attempts": ("attempts", "tries", "max_tries"),
        "backoff_seconds": ("backoff", "delay", "delay_seconds", "initial_delay", "wait"),
        "backoff_multiplier": ("multiplier", "factor", "backoff_factor"),
        "max_backoff_seconds": ("max_delay", "maximum_delay", "max_backoff", "max_delay_seconds"),
    },
    "limits": {
        "memory": ("mem", "memory_bytes", "ram", "max_memory"),
        "cpu_seconds": ("cpu", "cpu_time"),
        "open_files": ("nofile", "files", "fds", "max_open_files"),
        "processes": ("nproc", "pids", "tasks", "max_processes"),
    },
    "log": {},
    "retention": {},
}
_ALIASES: Final[dict[str, dict[str, str]]] = {
    container: {word: key for key, words in renamed.items() for word in words}
    for container, renamed in _RENAMED.items()
}

# Words that stand for more than one key: the key they settle, and what to write.
_ADVICE: Final[dict[str, dict[str, tuple[str, str]]]] = {
    "": {
        **dict.fromkeys(
            ("command", "cmd", "script", "shell", "exec", "run"),
            ("handler", "write  handler: luad.handlers.shell:run  and  metadata: {command: ...}"),
        ),
        **dict.fromkeys(
            ("cron", "crontab", "expression", "pattern", "cron_expression"),
            ("schedule", 'write  schedule: {type: cron, expression: "0 9 * * *"}'),
        ),
        **dict.fromkeys(
            ("interval", "every", "seconds", "period"),
            ("schedule", "write  schedule: {type: interval, every: 15m}"),
        ),
        **dict.fromkeys(
            ("at", "when", "run_at", "execute_at"),
            ("schedule", "write  schedule: {type: once, execute_at: INSTANT}"),
        ),
        **dict.fromkeys(
            ("timezone", "tz", "time_zone"), ("", "the key is `timezone`, inside `schedule`")
        ),
        **dict.fromkeys(
            ("disabled", "suspend", "suspended", "paused", "active", "activate"),
            ("", "the key is `enabled`: write  enabled: true  or  enabled: false"),
        ),
        "jobs": ("", "each job is a document of its own; a line `---` stands between two"),
    },
    "schedule": {
        "minutes": ("every", "write  every: 5m"),
        "hours": ("every", "write  every: 2h"),
        "days": ("every", "write  every: 1d"),
    },
}
_RETRIES: Final = ("max_retries", "retries", "retry_count", "retry_limit", "backoff_limit")


@dataclass(frozen=True, slots=True)
class Foreign:
    """What to write instead of a word of another system.

    *settles* is the key that is no longer missing once that is done, *key* the one that can be put
    in the word's place as it is; both may be empty.
    """

    settles: str
    help: str
    key: str = ""


def snake_case(key: str) -> str:
    """``maxAttempts`` as ``max_attempts``; hyphens and spaces too."""
    return _HUMP.sub("_", key[:64]).replace("-", "_").replace(" ", "_").lower()


def find_foreign(container: str, key: str, value: JSON, keys: frozenset[str]) -> Foreign | None:
    """Say what *key* of *container* (empty at the root) means here, where *keys* are allowed."""
    word = snake_case(key)
    if word in keys and word != key:
        return Foreign(word, f"the key is `{word}`", key=word)
    if word in _RETRIES and container in {"", "retry"}:
        return _attempts(container, value)
    if advice := _ADVICE.get(container, {}).get(word):
        settles, text = advice
        return Foreign(settles, text.replace("INSTANT", example_instant()))
    meant = _ALIASES.get(container, {}).get(word)
    if meant is not None and meant in keys:
        return Foreign(meant, f"the key is `{meant}`", key=meant)
    return None


def _attempts(container: str, value: JSON) -> Foreign:
    """Retries do not count the first try, attempts do."""
    count = value if type(value) is int and 0 <= value < 100 else None
    if count is None:
        example = "so 3 retries is `max_attempts: 4`"
    else:
        noun = "1 retry" if count == 1 else f"{count} retries"
        example = f"so {noun} is `max_attempts: {count + 1}`"
    where = "" if container == "retry" else " in `retry`"
    return Foreign(
        "max_attempts", f"use `max_attempts`{where}: attempts count the first try, {example}"
    )
