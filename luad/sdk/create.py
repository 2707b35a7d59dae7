"""What `Jobs.create` is asked for becomes the body of a request, or is refused here and now.

Room rule: whatever would only fail later, when the job runs, fails at creation: with the reason, and the
way out.
"""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, NoReturn

from luad.errors import ValidationError
from luad.sdk.errors import HandlerNotImportable, InvalidSchedule
from luad.sdk.values import Cron, Every, Once, Retry, instant_text

CURRENT: Any = type("_Current", (), {"__repr__": lambda _self: "CURRENT"})()
"""The user of the run that asks, if it is one."""

REQUIRED: Any = type("_Required", (), {"__repr__": lambda _self: "REQUIRED"})()
"""Stands where a handler has to be said."""

_FOREIGN = {
    "execute": "handler",
    "executeAt": "at",
    "execute_at": "at",
    "user_id": "user",
    "userId": "user",
    "maxAttempts": "retry",
    "max_attempts": "retry",
    "maxRetries": "retry",
    "max_retries": "retry",
    "backoffSeconds": "retry",
    "pattern": "cron",
    "expression": "cron",
    "seconds": "every",
    "interval": "every",
    "delay": "in_",
    "idempotencyKey": "idempotency_key",
}


def refuse_foreign(names: Mapping[str, Any], handler: Any) -> None:
    """Raise `TypeError` for keywords that luad does not have, naming the one it has, and without a
    *handler*: who says ``execute=`` instead is to hear that, and not that a word is missing."""
    for name in names:
        if name in _FOREIGN:
            raise TypeError(f"Jobs.create has no `{name}`; luad's word is `{_FOREIGN[name]}`")
        raise TypeError(f"Jobs.create has no `{name}`")
    if handler is REQUIRED:
        raise TypeError("Jobs.create needs handler=: a function, or 'module:function'")


def create_body(
    *,
    handler: str | Callable[..., Any],
    name: str | None,
    at: datetime | str | None,
    in_: timedelta | float | str | None,
    every: timedelta | float | str | None,
    cron: str | None,
    schedule: Cron | Every | Once | Mapping[str, Any] | None,
    timezone: str | None,
    description: str,
    metadata: Mapping[str, Any] | None,
    user: str | None,
    timeout: timedelta | float | str | None,
    retry: Retry | int | Mapping[str, Any] | None,
    tags: Sequence[str],
    activate: bool,
    keep: bool,
    if_exists: str,
) -> dict[str, Any]:
    """Return the body of ``POST /v1/jobs``."""
    body: dict[str, Any] = {"handler": handler_name(handler), "if_exists": if_exists}
    body |= _when(at, in_, every, cron, schedule, timezone)
    if name is not None:
        body["name"] = name
    if description:
        body["description"] = description
    if metadata:
        body["metadata"] = json_object(metadata, "metadata")
    if user is not None:
        body["user"] = user
    if timeout is not None:
        body["timeout"] = timeout.total_seconds() if isinstance(timeout, timedelta) else timeout
    if retry is not None:
        body["retry"] = _retry(retry)
    if tags:
        # a text is a sequence of letters, which nobody means
        body["tags"] = [tags] if isinstance(tags, str) else list(tags)
    if not activate:
        body["activate"] = False
    if keep:
        body["keep"] = True
    return body


def _retry(retry: Retry | int | Mapping[str, Any]) -> dict[str, Any]:
    if isinstance(retry, Retry):
        return retry.to_dict()
    return {"max_attempts": retry} if isinstance(retry, int) else json_object(retry, "retry")


def _when(
    at: datetime | str | None,
    in_: timedelta | float | str | None,
    every: timedelta | float | str | None,
    cron: str | None,
    schedule: Cron | Every | Once | Mapping[str, Any] | None,
    timezone: str | None,
) -> dict[str, Any]:
    said = {"at": at, "in_": in_, "every": every, "cron": cron, "schedule": schedule}
    given = [key for key, value in said.items() if value is not None]
    if len(given) != 1:
        what = "nothing says when" if not given else f"{' and '.join(given)} say it twice"
        hint = "say one of at=, in_=, every=, cron=, schedule="
        raise InvalidSchedule(f"when the job is due is not clear: {what}", hint=hint)
    if timezone is not None and at is None and cron is None:
        raise InvalidSchedule(
            f"timezone= says nothing about {given[0]}=",
            hint="it goes with at= and cron=; a schedule= has its own",
        )
    if in_ is not None:
        return {"in": in_.total_seconds() if isinstance(in_, timedelta) else in_}
    if at is not None:
        zone = {} if timezone is None else {"timezone": timezone}
        text = instant_text(at, has_zone=timezone is not None)
        return {"schedule": {"type": "once", "execute_at": text, **zone}}
    if every is not None:
        return {"schedule": Every(every).to_dict()}
    if cron is not None:
        return {"schedule": Cron(cron, timezone).to_dict()}
    assert schedule is not None, "it is the one that was given"
    return {"schedule": dict(schedule) if isinstance(schedule, Mapping) else schedule.to_dict()}


# --- the handler -------------------------------------------------------------------------------


def handler_name(handler: str | Callable[..., Any]) -> str:
    """Return ``module:function``. Raises `HandlerNotImportable` for what could not be imported later.

    A module of the folder ``handlers`` that was imported as ``handlers.name`` is called ``name``:
    that is how luad finds it.
    """
    if isinstance(handler, str):
        return handler
    module = getattr(handler, "__module__", None)
    path = getattr(handler, "__qualname__", None)
    if not callable(handler):
        _refuse_handler(repr(handler), "is no function", "pass a function, or 'module:function'")
    if module is None or path is None or isinstance(handler, type):
        _refuse_handler(repr(handler)[:80], "is no plain function", "write a function that does it")
    _check_place(handler, module, path)
    found = getattr(sys.modules.get(module), path, None)
    if found is not handler:
        _refuse_handler(
            f"{module}:{path}",
            "is something else by that name",
            "give the function its own name at module level",
        )
    return f"{module.removeprefix('handlers.')}:{path}"


def _check_place(handler: Any, module: str, path: str) -> None:
    outside = "move it to module level and pass data with metadata={...}"
    if path.endswith("<lambda>"):
        _refuse_handler(f"{module}:{path}", "is a lambda, which has no name to import", outside)
    if "<locals>" in path:
        reason = "is inside another function, so luad cannot import it later"
        _refuse_handler(path, reason, outside)
    if getattr(handler, "__self__", None) is not None:
        reason = "is bound to an object, which is gone when the job runs"
        _refuse_handler(path, reason, outside)
    if "." in path:
        _refuse_handler(path, "is inside a class, so luad cannot import it", outside)
    if module == "__main__":
        _refuse_handler(
            path,
            "is in the script that was started, and luad cannot import that",
            "put it into a module, such as handlers/reminders.py",
        )


def _refuse_handler(what: str, reason: str, hint: str) -> NoReturn:
    raise HandlerNotImportable(f"handler `{what}` {reason}.", hint=hint)


# --- JSON --------------------------------------------------------------------------------------

_FIXES = {
    "datetime": "write .isoformat()",
    "date": "write .isoformat()",
    "UUID": "write str(…)",
    "Decimal": "write str(…) or float(…)",
    "set": "write sorted(…)",
    "frozenset": "write sorted(…)",
    "bytes": "write .decode() or base64",
    "tuple": "write list(…)",
}


def json_object(value: Any, path: str) -> dict[str, Any]:
    """Return *value* as a dict. Raises `ValidationError` for what is no JSON object."""
    if not isinstance(value, Mapping):
        reason = f"a {type(value).__name__} is no object"
        _refuse_json(path, reason, f"pass a dict, such as {path}={{...}}")
    check_json(value, path)
    return dict(value)


def check_json(value: Any, path: str, above: tuple[int, ...] = ()) -> None:
    """Raise `ValidationError` for what is no JSON, naming its place and the fix."""
    if value is None or isinstance(value, bool | int | str):
        return
    if isinstance(value, float):
        if not math.isfinite(value):
            _refuse_json(path, f"{value} is no JSON", "use None, or leave the key out")
        return
    if isinstance(value, Mapping | list):
        if id(value) in above:
            _refuse_json(path, "it contains itself", "break the circle")
        inside = (*above, id(value))
        if isinstance(value, list):
            for number, each in enumerate(value):
                check_json(each, f"{path}[{number}]", inside)
            return
        for key, each in value.items():
            if not isinstance(key, str):
                _refuse_json(path, f"the key {key!r} is no text", "write str(…)")
            check_json(each, f"{path}[{json.dumps(key)}]", inside)
        return
    name = type(value).__name__
    _refuse_json(path, f"a {name} is no JSON", _FIXES.get(name, "pass numbers, texts and lists"))


def _refuse_json(path: str, reason: str, hint: str) -> NoReturn:
    item = {"pointer": path, "code": "value", "detail": reason, "hint": hint}
    raise ValidationError(f"{path}: {reason}", hint=hint, errors=(item,))
