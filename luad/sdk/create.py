"""The request bodies of `Jobs.create` and `job.update`.

Rule: a call that would only fail when the job runs is refused here, with the reason and a way to
correct it.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, Final, NoReturn

from luad.sdk.checking import (
    duration,
    json_object,
    plain_json,
    refuse,
    seconds,
    shown,
    user_id_of,
)
from luad.sdk.due import when_steps
from luad.sdk.exceptions import HandlerNotImportable, WrongCall
from luad.sdk.keywords import CHANGEABLE, CREATABLE, POLICIES, WHEN
from luad.sdk.values import Retry

if TYPE_CHECKING:
    from luad.sdk.ask import Steps

CURRENT: Any = type("_Current", (), {"__repr__": lambda _self: "CURRENT"})()
"""The default of *user*: the user of `luad.acting_for`, else of the run."""

REQUIRED: Any = type("_Required", (), {"__repr__": lambda _self: "REQUIRED"})()
"""The default of *handler*, which a call must replace."""

_DURATIONS: Final = ("timeout", "catch_up_window", "jitter")
_NO_TIMEOUT: Final = "none"


def refuse_foreign(
    call: str, names: Iterable[str], known: Iterable[str], also: Iterable[str] = ()
) -> None:
    """Raise `WrongCall` for the first of *names* that is not *known*, with the right keyword.

    *also* are further keywords of *call*, which the caller handles.
    """
    strange = [name for name in names if name not in known]
    if not strange:
        return
    from luad.config.schema.foreign_words import keyword_meant

    name = strange[0]
    meant = keyword_meant(name)
    if meant in {*known, *also}:
        raise WrongCall(f"{call} has no `{name}`; luad's word is `{meant}`", hint=f"write {meant}=")
    raise WrongCall(f"{call} has no `{name}`", hint=f"it has {', '.join((*known, *also))}")


def create_steps_body(
    user: str | None, words: Mapping[str, object], policies: Mapping[str, object]
) -> Steps[dict[str, object]]:
    """Return the body of ``POST /v1/jobs``."""
    refuse_foreign("Jobs.create", policies, POLICIES, CREATABLE)
    if words["handler"] is REQUIRED:
        raise WrongCall("Jobs.create needs handler=: a function, or 'module:function'")
    body: dict[str, object] = {"handler": handler_name(words["handler"])}
    body |= {"if_exists": words["if_exists"]} | (yield from when_steps(words, user))
    for key in ("name", "metadata", "timeout", "retry"):
        if words[key] is not None:
            body[key] = _member(key, words[key])
    for key in ("description", "tags"):
        if words[key] not in ("", (), []):
            body[key] = _member(key, words[key])
    if user is not None:
        body["user"] = user
    if words["activate"] is not True:
        body["activate"] = words["activate"]
    if words["keep"] is not False:
        body["keep"] = words["keep"]
    return body | {key: _member(key, each) for key, each in policies.items() if each is not None}


def change_steps(user: str | None, changes: Mapping[str, object]) -> Steps[dict[str, object]]:
    """Return the merge patch of ``PATCH /v1/jobs/{job}``. None resets a key to its default."""
    for key, method in (("metadata", "update_metadata"), ("activate", "resume"), ("name", "")):
        if key in changes:
            hint = f"call job.{method}(...)" if method else "create a job of the new name"
            raise WrongCall(f"job.update does not change `{key}`", hint=hint)
    refuse_foreign("job.update", changes, CHANGEABLE)
    if not changes:
        raise WrongCall("job.update has no keyword", hint="write a change, such as timeout='5m'")
    said = {key: each for key, each in changes.items() if key not in (*WHEN, "timezone")}
    body: dict[str, object] = {}
    if "user" in said:
        user = said["user"] = user_id_of(said["user"])
    for key, each in said.items():
        body[key] = None if each is None else _member(key, each)
    if any(changes.get(key) is not None for key in WHEN):
        body |= yield from when_steps(changes, user)
    elif "timezone" in changes:
        body["schedule"] = {"timezone": changes["timezone"]}
    return body


def _member(key: str, value: Any) -> Any:
    """Return the JSON of one key of a job."""
    if key == "handler":
        return handler_name(value)
    if key in _DURATIONS and value != _NO_TIMEOUT:
        return duration(value, key)
    if key == "metadata":
        return json_object(value, key)
    if key == "retry":
        return _retry(value)
    if key == "tags":
        return _tags(value)
    return plain_json(value, key)


def _tags(tags: object) -> list[Any]:
    # a text would count as a list of its letters
    if isinstance(tags, str):
        return [tags]
    if not isinstance(tags, Iterable) or isinstance(tags, Mapping):
        refuse("tags", f"{shown(tags)} is not a list of words", 'write tags=["billing"]')
    plain: list[Any] = plain_json(list(tags), "tags")
    return plain


def _retry(retry: Retry | int | Mapping[str, object]) -> dict[str, object]:
    if isinstance(retry, int) and not isinstance(retry, bool):
        return {"max_attempts": plain_json(retry, "retry")}
    said: object = retry.to_dict() if isinstance(retry, Retry) else retry
    if isinstance(said, Mapping):
        said = dict(said)
        for key in ("backoff_seconds", "max_backoff_seconds"):
            if said.get(key) is not None:
                said[key] = seconds(said[key], key)
    return json_object(said, "retry")


# --- the handler -------------------------------------------------------------------------------


def handler_name(handler: Any) -> str:
    """Return ``module:function``. Raises `HandlerNotImportable` if luad could not import it later.

    The prefix ``handlers.`` is removed, because luad imports the modules of that folder by their
    own names.
    """
    if isinstance(handler, str):
        return handler
    module: Any = getattr(handler, "__module__", None)
    path: Any = getattr(handler, "__qualname__", None)
    if not callable(handler):
        hint = "pass a function, or 'module:function'"
        _refuse_handler(shown(handler), "is not a function", hint)
    is_named = isinstance(module, str) and isinstance(path, str)
    if not is_named or isinstance(handler, type):
        _refuse_handler(shown(handler), "is not a plain function", "pass a function")
    _check_place(handler, module, path)
    found = getattr(sys.modules.get(module), path, None)
    if found is not handler:
        _refuse_handler(
            f"{module}:{path}",
            "is not the object that its module has under that name",
            "give the function its own name at module level",
        )
    return f"{str(module).removeprefix('handlers.')}:{path}"


def _check_place(handler: object, module: str, path: str) -> None:
    outside = "move it to module level, and pass data with metadata={...}"
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
