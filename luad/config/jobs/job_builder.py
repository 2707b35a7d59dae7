"""A valid document, to a job or to the mistakes that the schema cannot find.

A wrong field is reported and keeps its default, so that one pass finds all mistakes.

Rule: pure; a value in, a job and mistakes out.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from hashlib import blake2b
from sys import intern
from typing import Any, Final, NamedTuple

from luad.config.jobs.handler_words import help_for_handler, is_handler
from luad.config.schema.value_words import describe_value
from luad.config.schema.violations import Mistake
from luad.config.secrets import is_masked
from luad.config.yaml.marks import Path
from luad.core.cron.search import CronError, ZoneError, compile_cron, load_zone
from luad.core.model import (
    JSON,
    SECOND,
    AlertCause,
    AlertPolicy,
    CatchUp,
    Cron,
    Instant,
    Interval,
    Isolation,
    Job,
    Limits,
    Once,
    OnLost,
    Overlap,
    Retry,
    Schedule,
)
from luad.wire import (
    InstantGapError,
    NaiveInstantError,
    example_instant,
    format_duration_ms,
    parse_duration_ms,
    parse_instant,
    parse_size,
)

NO_TIMEOUT: Final = "none"
_encode: Final = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode
_MIN_INTERVAL_MS: Final = SECOND
_MIN_MEMORY: Final = 16 << 20  # Python cannot start with less

Mistakes = list[Mistake]


class Stored(NamedTuple):
    """The known revision and definition of a document from the store."""

    revision: str
    definition: Mapping[str, JSON]


def build_job(
    document: Mapping[str, Any],
    timezone: str,
    mistakes: Mistakes,
    *,
    keep: bool = False,
    stored: Stored | None = None,
) -> Job:
    """Return the job that *document* declares; it must obey the schema.

    *timezone* applies to schedules without a zone. Mistakes are appended to *mistakes*; then the
    job must not be used. *keep* is not a key of the schema, because a file cannot declare it: the
    definition of a dynamic job that stays after its success has it as one more key, which readers
    of a definition remove first. With *stored* nothing is hashed again.
    """
    fields: dict[str, Any] = {}
    for key, value in document.items():
        convert = _CONVERT.get(key)
        if convert is not None:
            convert(value, fields, mistakes)
        elif key in _AS_IT_IS:
            fields[key] = value
    fields["schedule"] = schedule = build_schedule(document["schedule"], timezone, mistakes)
    _check_together(fields, mistakes)
    if stored is not None:
        return Job(**fields, keep=keep, revision=stored.revision, definition=stored.definition)
    definition = _self_contained(document, schedule)
    if keep:
        definition = {**definition, "keep": True}
    return Job(**fields, keep=keep, revision=revision_of(definition), definition=definition)


def revision_of(definition: Mapping[str, JSON]) -> str:
    """Return the hash of a definition, regardless of layout and the order of keys."""
    return blake2b(_encode(definition).encode("utf-8", "surrogatepass")).hexdigest()[:12]


def _self_contained(document: Mapping[str, JSON], schedule: Schedule) -> Mapping[str, JSON]:
    """Return the definition with the default zone written out.

    The zone of the settings is part of the job's meaning. If the setting changes, the job has
    changed; and a job that is restored from the store must not depend on an older setting.
    """
    if isinstance(schedule, Interval) or "timezone" in document["schedule"]:
        return document
    return {**document, "schedule": {**document["schedule"], "timezone": schedule.timezone}}


# --- the schedule ------------------------------------------------------------------------------


def build_schedule(value: Mapping[str, Any], timezone: str, mistakes: Mistakes) -> Schedule:
    """Return the schedule of *value*; mistakes are appended, as in `build_job`."""
    zone = _zone(value.get("timezone"), mistakes)
    named = value.get("timezone", timezone)
    match value["type"]:
        case "cron":
            return Cron(_expression(value["expression"], mistakes), intern(named))
        case "interval":
            start = _instant(value.get("start_at"), "start_at", zone, mistakes)
            return Interval(_distance(value, mistakes), start)
        case _:
            at = _instant(value["execute_at"], "execute_at", zone, mistakes)
            return Once(at or 0, intern(named))


def _zone(name: str | None, mistakes: Mistakes) -> object:
    """Return the zone; None without one, or for a wrong one, which is reported."""
    if name is None:
        return None
    try:
        return load_zone(name)
    except ZoneError as error:
        mistakes.append(Mistake(("schedule", "timezone"), "LU205", error.message, error.help))
        return None


def _expression(text: str, mistakes: Mistakes) -> str:
    expression = text.strip()
    try:
        compile_cron(expression)
    except CronError as error:
        code = "LU203" if error.never_fires else "LU201" if error.field else "LU204"
        lead = len(text) - len(text.lstrip())
        mistakes.append(
            Mistake(
                ("schedule", "expression"),
                code,
                error.message,
                error.help,
                within=(lead + error.start, lead + error.end),
                note=error.note,
            )
        )
    return expression


def _distance(value: Mapping[str, object], mistakes: Mistakes) -> int:
    key = "every" if "every" in value else "seconds"
    every_ms = _duration(("schedule", key), value[key], mistakes)
    if every_ms is None:
        return _MIN_INTERVAL_MS
    if every_ms < _MIN_INTERVAL_MS:
        mistakes.append(
            Mistake(
                ("schedule", key),
                "LU202",
                f"an interval of {format_duration_ms(every_ms)} is too short",
                "at least 1 s",
            )
        )
    return every_ms


def _instant(text: str | None, key: str, zone: Any, mistakes: Mistakes) -> Instant | None:
    if text is None:
        return None
    path = ("schedule", key)
    try:
        return parse_instant(text, zone)
    except NaiveInstantError:
        if not any(each.code == "LU205" for each in mistakes):  # the wrong zone is reported
            mistakes.append(
                Mistake(
                    path,
                    "LU206",
                    f"`{text}` has no offset, so the instant is not known",
                    f"write  {key}: {text.replace(' ', 'T')}Z  for UTC, or add `timezone`",
                )
            )
    except InstantGapError as error:
        mistakes.append(Mistake(path, "LU206", str(error), "choose a time that exists"))
    except ValueError as error:
        message = str(error).partition("; write")[0]
        mistakes.append(Mistake(path, "LU206", message, f"write  {key}: {example_instant()}"))
    return None


# --- the other fields --------------------------------------------------------------------------

Fields = dict[str, Any]
_Convert = Callable[[Any, Fields, Mistakes], None]


def _duration(path: Path, value: object, mistakes: Mistakes) -> int | None:
    try:
        return parse_duration_ms(value)
    except ValueError as error:
        mistakes.append(Mistake(path, "LU104", str(error)))
        return None


def _duration_field(key: str) -> _Convert:
    def convert(value: object, fields: Fields, mistakes: Mistakes) -> None:
        duration_ms = _duration((key,), value, mistakes)
        if duration_ms is not None:
            fields[f"{key}_ms"] = duration_ms

    return convert


def _timeout(value: object, fields: Fields, mistakes: Mistakes) -> None:
    if value == NO_TIMEOUT:
        fields["timeout_ms"] = None
        return
    timeout_ms = _duration(("timeout",), value, mistakes)
    if timeout_ms is None:
        return
    if timeout_ms <= 0:
        shown = format_duration_ms(timeout_ms)
        hint = "write how long a run may take, or  timeout: none  for no limit"
        mistakes.append(Mistake(("timeout",), "LU104", f"`timeout` cannot be {shown}", hint))
    fields["timeout_ms"] = timeout_ms


def _handler(value: str, fields: Fields, mistakes: Mistakes) -> None:
    fields["handler"] = value
    if is_handler(value):
        return
    message = f"{describe_value(value)} is not the name of a handler"
    mistakes.append(Mistake(("handler",), "LU304", message, help_for_handler(value)))


def _retry(value: Mapping[str, Any], fields: Fields, _mistakes: Mistakes) -> None:
    default = Retry()
    fields["retry"] = Retry(
        int(value.get("max_attempts", default.max_attempts)),
        round(value.get("backoff_seconds", 0) * SECOND),
        float(value.get("backoff_multiplier", default.multiplier)),
        round(value.get("max_backoff_seconds", default.max_backoff_ms // SECOND) * SECOND),
    )


def _limits(value: Mapping[str, Any], fields: Fields, mistakes: Mistakes) -> None:
    memory = None
    if "memory" in value:
        try:
            memory = parse_size(value["memory"])
        except ValueError as error:
            mistakes.append(Mistake(("limits", "memory"), "LU104", str(error)))
        if memory is not None and memory < _MIN_MEMORY:
            mistakes.append(
                Mistake(
                    ("limits", "memory"), "LU104", "`memory` in `limits` is too small for Python",
                    "at least 16M",
                )
            )  # fmt: skip
    counts = {key: int(count) for key, count in value.items() if key != "memory"}
    fields["limits"] = Limits(memory_bytes=memory, **counts)


def _env(value: Mapping[str, str], fields: Fields, mistakes: Mistakes) -> None:
    for key, text in value.items():
        if "\0" in text:  # impossible in a file, possible in an API body
            mistakes.append(Mistake(("env", key), "LU104", f"`{key}` in `env` cannot contain NUL"))
        if is_masked(text):
            message = f"`{key}` in `env` is the mask of a secret, not the secret"
            help_text = (
                "write the value, or pass a variable of luad's own with pass_env in luad.yaml"
            )
            mistakes.append(Mistake(("env", key), "LU104", message, help_text))
    fields["env"] = tuple(value.items())


def _alert(value: Mapping[str, object], fields: Fields, _mistakes: Mistakes) -> None:
    fields["alert"] = build_alert(value)


def build_alert(value: Mapping[str, Any]) -> AlertPolicy:
    """Return the policy of an `alert` of a job or of the settings. 0 means never."""
    default = AlertPolicy(())
    return AlertPolicy(
        to=tuple(value["to"]),
        after_failures=int(value.get("after_failures", default.after_failures or 0)) or None,
        failures_in_24h=int(value.get("or_failures_in_24h", 0)) or None,
        recovery=value.get("recovery", default.recovery),
        also=tuple(AlertCause(each) for each in value.get("also", ())),
    )


def _put(key: str, make: Callable[[Any], object]) -> _Convert:
    def convert(value: object, fields: Fields, _mistakes: Mistakes) -> None:
        fields[key] = make(value)

    return convert


_CONVERT: Final[dict[str, _Convert]] = {
    "handler": _handler,
    "timeout": _timeout,
    "retry": _retry,
    "overlap": _put("overlap", Overlap),
    "max_running": _put("max_running", int),
    "catch_up": _put("catch_up", CatchUp),
    "catch_up_window": _duration_field("catch_up_window"),
    "jitter": _duration_field("jitter"),
    "on_lost": _put("on_lost", OnLost),
    "isolation": _put("isolation", Isolation),
    "pause_after_failures": _put("pause_after_failures", int),
    "tags": _put("tags", tuple),
    "env": _env,
    "nice": _put("nice", int),
    "warm": _put("warm", bool),
    "log_level": _put("log_level", str),
    "limits": _limits,
    "alert": _alert,
}
_AS_IT_IS: Final = frozenset(("name", "description", "enabled", "user", "metadata", "queue"))


_SHELL: Final = "luad.handlers.shell:"
_NOT_SHARED: Final = {
    "env": "all runs of a shared process have one environment; pass values in `metadata`",
    "nice": "the niceness is that of the whole process",
    "limits": "the system limits the whole process, not one run",
}


def _check_isolation(fields: Fields, mistakes: Mistakes) -> None:
    """Refuse what a run in a shared process cannot have."""
    if fields.get("isolation") is not Isolation.SHARED:
        return
    help_text = "delete it, or write  isolation: process"
    for key, reason in _NOT_SHARED.items():
        if fields.get(key) not in {None, (), 0, Limits()}:
            message = f"`{key}` cannot be combined with `isolation: shared`: {reason}"
            mistakes.append(Mistake((key,), "LU208", message, help_text, is_key=True))
    if fields["handler"].startswith(_SHELL):
        message = (
            "`luad.handlers.shell` cannot be combined with `isolation: shared`: it starts a process for each "
            "run anyway, and that process could not be limited or ended with its run"
        )
        help_text = "delete  isolation: shared"
        mistakes.append(Mistake(("isolation",), "LU208", message, help_text))


def _check_together(fields: Fields, mistakes: Mistakes) -> None:
    _check_isolation(fields, mistakes)
    schedule, jitter_ms = fields["schedule"], fields.get("jitter_ms", 0)
    if isinstance(schedule, Interval) and jitter_ms >= schedule.every_ms and not mistakes:
        mistakes.append(
            Mistake(
                ("jitter",),
                "LU207",
                f"jitter ({format_duration_ms(jitter_ms)}) must be below the interval "
                f"({format_duration_ms(schedule.every_ms)})",
            )
        )
