"""Words of other schedulers, and luad's words for the same things.

Job files, the HTTP API, the SDK and the command line use these tables.

Rule: tables; no knowledge of YAML.
"""

from __future__ import annotations

import json
import re
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

from luad.core.cron.search import compile_cron
from luad.core.model import JSON, SECOND
from luad.wire import example_instant, parse_duration_ms, parse_instant

_EVERY: Final = re.compile(r"every: \d([mhd])$")
_LONGEST: Final = 64
_MANY_SECONDS: Final = 10**9
_HUMP: Final = re.compile(r"(?<=[a-z0-9])(?=[A-Z])", re.ASCII)

_RENAMED: Final[dict[str, dict[str, tuple[str, ...]]]] = {
    "": {
        "handler": (
            *("function", "func", "callable", "task", "target", "entrypoint", "entry_point"),
            *("execute", "fn", "callback", "action"),
        ),
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
        "metadata": (
            *("params", "parameters", "args", "kwargs", "data", "payload", "config", "with"),
            *("arguments", "job_data", "input", "context"),
        ),
        "tags": ("labels", "tag", "groups"),
        "retry": ("retry_policy",),
        "pause_after_failures": ("max_failures", "pause_on_failure"),
        "nice": ("priority",),
        "user": ("user_id", "for_user", "recipient"),
        "alert": ("alerts", "notify", "notifications"),
        # keys of requests and calls, not of files
        "in": ("countdown", "delay", "in_", "after", "wait"),
        "activate": ("is_active",),
        "if_exists": ("replace_existing", "upsert", "overwrite", "on_conflict", "replace"),
        "idempotency_key": ("task_id", "unique_key", "idempotency"),
        "revision": ("version", "version_id"),
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
_RETRIES: Final = ("max_retries", "retries", "retry_count", "retry_limit", "backoff_limit")
_ALIASES: Final[dict[str, dict[str, str]]] = {
    container: {word: key for key, words in renamed.items() for word in words}
    for container, renamed in _RENAMED.items()
}

# Words for more than one key: the key that is no longer missing, and what to write.
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
            ("at", "when", "run_at", "execute_at", "run_date", "eta", "countdown", "delay"),
            ("schedule", "write  schedule: {type: once, execute_at: INSTANT}"),
        ),
        **dict.fromkeys(
            ("timezone", "tz", "time_zone"), ("", "the key is `timezone`, inside `schedule`")
        ),
        **dict.fromkeys(
            ("disabled", "suspend", "suspended", "paused", "active", "activate"),
            ("", "the key is `enabled`: write  enabled: true  or  enabled: false"),
        ),
        "trigger": (
            "schedule",
            'the key is `schedule`, such as {type: cron, expression: "0 9 * * *"}',
        ),
        "replace_existing": (
            "",
            "delete it: a file always replaces the earlier job of its name",
        ),
        "jobs": ("", "write each job as a document; separate two with a line `---`"),
    },
    "schedule": {
        "minutes": ("every", "write  every: 5m"),
        "hours": ("every", "write  every: 2h"),
        "days": ("every", "write  every: 1d"),
    },
}


# Keywords of calls: those of the keys of a job above, and these.
_KEYWORDS: Final[dict[str, tuple[str, ...]]] = {
    "at": ("execute_at", "run_date", "eta", "run_at", "when", "date", "next_run_time"),
    "in_": ("delay", "countdown", "in", "after", "wait"),
    "every": ("interval", "seconds", "period", "minutes", "hours", "days", "every_seconds"),
    "cron": ("pattern", "expression", "crontab", "cron_expression", "cron_string"),
    "schedule": ("trigger",),
    "retry": (*_RETRIES, "max_attempts", "backoff_seconds", "retry_backoff", "backoff"),
    "activate": ("is_active", "active"),
    "timezone": ("tz", "time_zone", "zone"),
    "user": ("user_id", "for_user", "recipient"),
}

# Names of functions, methods and attributes, by the object on which users look for them.
_NAMES: Final[dict[str, dict[str, tuple[str, ...]]]] = {
    "luad": {
        "luad.Jobs": (
            "LuaJob",
            "JobsApi",
            "Scheduler",
            "BackgroundScheduler",
            "AsyncIOScheduler",
            "Celery",
        ),
        "luad.Job": ("JobInstance", "Task"),
        "luad.Cron": ("CronTrigger", "crontab"),
        "luad.Every": ("IntervalTrigger", "Interval"),
        "luad.Once": ("DateTrigger", "At"),
        "luad.Jobs.create": ("create_job", "add_job", "schedule", "scheduled_job", "periodic_task"),
        "luad.User": ("UserInstance", "Users"),
        "luad.connect": ("configure", "init", "Client"),
    },
    "Jobs": {
        "Jobs.create": (
            *("create_job", "add_job", "add", "new", "schedule", "scheduled_job", "enqueue"),
            *("apply_async", "send_task", "delay", "save"),
        ),
        "Jobs.get": ("get_job", "find", "find_job", "lookup", "fetch", "AsyncResult", "get_by_id"),
        "Jobs.get_all": ("get_jobs", "list", "all", "list_jobs", "find_all", "print_jobs"),
        "job.delete": ("delete", "delete_job", "remove", "remove_job", "revoke"),
        "job.pause": ("pause", "pause_job", "deactivate", "deactivate_job"),
        "job.resume": ("resume", "resume_job", "activate", "activate_job"),
        "job.trigger": ("trigger", "trigger_job", "run", "run_job", "execute"),
        "job.update": ("update", "update_job", "modify_job", "reschedule_job", "reschedule"),
        "job.runs": ("executions", "get_executions", "history"),
        "job.update_metadata": ("update_metadata",),
    },
    "User": {
        "User.get": (
            "find",
            "get_user",
            "get_by_id",
            "get_by_email",
            "get_by_phone",
            "fetch",
            "current",
        ),
    },
    "job": {
        "job.update_metadata": ("set_metadata", "set_data", "merge_metadata"),
        "job.metadata": ("data", "args", "kwargs", "payload", "params", "get_metadata"),
        "job.delete": ("remove", "destroy", "revoke", "forget"),
        "job.trigger": ("run", "execute", "start", "run_now", "apply_async", "fire", "retry"),
        "job.pause": ("stop", "disable", "suspend", "cancel"),
        "job.resume": ("enable", "unpause", "publish"),
        "job.update": ("modify", "reschedule", "edit", "configure", "set_schedule", "save"),
        "job.snooze": ("postpone", "put_off"),
        "job.runs": ("executions", "get_executions", "history", "last_execution"),
        "job.revisions": ("versions", "get_versions", "version_history"),
        "job.restore": ("deploy", "publish_version", "rollback", "activate_version"),
        "job.revision": ("active_version", "active_version_id", "version", "version_id"),
        "job.to_dict": ("to_json", "as_dict", "dict", "serialize"),
        "job.id": ("job_id", "task_id"),
        "job.run_id": ("execution_id", "request_id"),
        "job.last_run": ("last_run_at", "last_result", "prev_run_time"),
        "job.next_run_at": ("next_run_time", "next_run", "next_execution"),
        "job.active": ("is_active", "enabled", "is_enabled"),
        "job.handler": ("func", "function", "task", "func_ref", "callable"),
        "job.schedule": ("trigger_config", "cron", "interval", "execute_at", "run_date"),
        "job.user": ("get_user", "recipient"),
        "job.log": ("logger", "console"),
        "job.attempt": ("retries", "retry_count", "request_retries"),
        "job.refresh": ("reload", "fetch"),
    },
    "user": {
        "user.profile": ("lua_profile", "get_profile"),
        "user.profile.user_id": ("user_id", "uid"),
        "user.profile.full_name": ("full_name", "name", "display_name", "first_name"),
        "user.profile.emails": ("email", "emails", "email_addresses", "mail"),
        "user.profile.phones": ("phone", "phones", "mobile_numbers", "mobile", "phone_numbers"),
        "user.update": ("set", "set_data", "update_data", "assign", "merge"),
        "user.patch": ("unset", "remove", "delete_key"),
        "user.data": ("get_data", "to_json", "values", "attributes"),
        "user.send": ("send_message", "notify", "message", "tell", "reply"),
        "user.messages": ("get_messages", "chat_history", "get_chat_history", "history"),
    },
}

_COMMANDS: Final[dict[str, tuple[str, ...]]] = {
    "serve": ("start", "up", "daemon", "server", "beat", "scheduler"),
    "check": ("validate", "lint", "compile", "verify", "config"),
    "run": ("trigger", "execute", "exec", "invoke", "call", "fire", "kick"),
    "history": ("executions", "runs", "ps"),
    "revisions": ("versions", "version-history"),
    "restore": ("deploy", "publish", "rollback"),
    "show": ("view", "get", "inspect", "describe", "info", "cat"),
    "list": ("jobs", "tasks", "crontab"),
    "create": ("add", "add-job", "schedule", "enqueue", "submit", "at"),
    "delete": ("remove", "rm", "purge", "revoke", "destroy", "unschedule"),
    "pause": ("disable", "suspend", "stop-job", "hold"),
    "resume": ("enable", "unpause", "unsuspend"),
    "cancel": ("kill", "stop", "abort", "terminate"),
    "edit": ("update", "modify", "change", "reschedule", "set"),
    "snooze": ("postpone", "defer", "delay"),
    "logs": ("log", "tail", "journal"),
    "next": ("upcoming", "forecast", "list-timers"),
    "reload": ("refresh", "sync", "push", "apply"),
    "remind": ("reminder", "remember"),
    "send": ("message", "notify", "tell"),
    "users": ("user", "people", "contacts"),
    "token": ("tokens", "auth", "login"),
    "doctor": ("diagnose", "health", "healthcheck"),
    "status": ("ping", "stats", "stat"),
}
_KEYWORD_OF: Final = {word: key for key, words in _KEYWORDS.items() for word in words}
_NAME_OF: Final = {
    kind: {word: name for name, words in names.items() for word in words}
    for kind, names in _NAMES.items()
}
_COMMAND_OF: Final = {word: name for name, words in _COMMANDS.items() for word in words}


def keyword_meant(name: str) -> str:
    """Return the keyword of `Jobs.create` for a word of another system; empty for none."""
    word = snake_case(name)
    return _KEYWORD_OF.get(word) or _ALIASES[""].get(word) or ("" if word == name else word)


def name_meant(kind: str, name: str) -> str:
    """Return luad's name for *name* of a ``job``, a ``user``, ``Jobs`` or ``luad``; empty for none."""
    names = _NAME_OF[kind]
    return names.get(name) or names.get(snake_case(name.strip("_")), "")


def command_meant(name: str) -> str:
    """Return luad's command for a command of another system; empty for none."""
    return _COMMAND_OF.get(snake_case(name).replace("_", "-"), "")


@dataclass(frozen=True, slots=True)
class Foreign:
    """The advice for a word of another system.

    *settles* is the key that is no longer missing with that change. *key* is the key that can
    replace the word unchanged. Both may be empty.
    """

    settles: str
    help: str
    key: str = ""


def snake_case(key: str) -> str:
    """Return ``maxAttempts`` as ``max_attempts``; hyphens and spaces too."""
    return _HUMP.sub("_", key[:64]).replace("-", "_").replace(" ", "_").lower()


def alias_of(container: str, key: str) -> str:
    """Return luad's key for *key*, a word of another system, in *container*; empty for none."""
    return _ALIASES.get(container, {}).get(snake_case(key), "")


def find_foreign(container: str, key: str, value: JSON, keys: frozenset[str]) -> Foreign | None:
    """Return the advice for *key* of *container* (empty at the root), where *keys* are allowed."""
    word = snake_case(key)
    if word in keys and word != key:
        return Foreign(word, f"the key is `{word}`", key=word)
    if word in _RETRIES and container in {"", "retry"}:
        return _attempts(container, value)
    if word == "coalesce" and isinstance(value, bool) and "catch_up" in keys:
        return Foreign("catch_up", f"write  catch_up: {'latest' if value else 'all'}")
    if word == "concurrency_policy" and value == "Forbid" and "overlap" in keys:
        return Foreign("overlap", "write  overlap: skip")
    meant = _ALIASES.get(container, {}).get(word)
    if meant is not None and meant in keys:
        return Foreign(meant, f"the key is `{meant}`", key=meant)
    if advice := _ADVICE.get(container, {}).get(word):
        settles, text = advice
        return Foreign(settles, _with_value(text, value))
    return None


def _with_value(text: str, value: JSON) -> str:
    """Return the advice *text* with the user's own *value* in place of the example."""
    with suppress(ValueError):
        if isinstance(value, str) and len(value) <= _LONGEST:
            if '"0 9 * * *"' in text:
                compile_cron(value)
                return text.replace("0 9 * * *", value)
            if "INSTANT" in text:
                parse_instant(value)
                return text.replace("INSTANT", json.dumps(value))
            if "every: 15m" in text and parse_duration_ms(value) >= SECOND:
                return text.replace("15m", value)
        elif type(value) is int and 0 < value < _MANY_SECONDS:
            if example := _EVERY.search(text):
                return text.replace(example[0], f"every: {value}{example[1]}")
            return text.replace("every: 15m", f"seconds: {value}")
    return text.replace("INSTANT", example_instant())


def _attempts(container: str, value: JSON) -> Foreign:
    """Return the advice to count attempts, which include the first try, instead of retries."""
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
