"""Errors for assignments without effect, and for attribute names of other schedulers.

Rule: imported only when there is an error to raise.
"""

from __future__ import annotations

from typing import Any, Final, NoReturn

from luad.config.schema.foreign_words import name_meant, snake_case
from luad.sdk.exceptions import NoAttribute
from luad.sdk.keywords import CHANGEABLE

_JOB: Final = {
    "metadata": "job.update_metadata(key=value)",
    "name": "Jobs.create(name=...)",
    "id": "Jobs.create(name=...)",
    "user_id": "job.update(user=...)",
    "user": "job.update(user=...)",
    "next_run_at": "job.snooze(...)",
    "status": "job.pause() or job.resume()",
    "active": "job.pause() or job.resume()",
    "revision": "job.restore(revision)",
}
"""The method to call instead, by the assigned attribute. Keys of a definition use `job.update`."""

_MORE: Final = {"handler", "schedule", "description", "tags"}


def refuse_assignment(thing: object, kind: str, name: str, known: frozenset[str]) -> None:
    """Raise `NoAttribute` if *name* is an attribute of luad or of another scheduler.

    The caller may use all other names. *known* are the attributes that instances have.
    """
    if kind == "user" and name != "data":  # `user.save()` writes an assigned `data`
        _refuse_user(thing, name)
    if kind != "job":
        return
    word = snake_case(name)
    is_own = word in known or hasattr(type(thing), word)
    meant = "" if is_own else name_meant("job", name).removeprefix("job.")
    if not is_own and not meant and word not in CHANGEABLE:
        return
    method = _JOB.get(word)
    if method is None and (word in CHANGEABLE or word in _MORE):
        method = f"job.update({word}=...)"
    if method is None and meant:
        is_method = callable(getattr(type(thing), meant, None))
        method = _JOB.get(meant) or (f"job.{meant}(...)" if is_method else None)
    method = method or "job.refresh()"
    raise NoAttribute(
        f"job.{name} cannot be assigned: luad would not store the value",
        hint=f"call {_lead(thing)}{method}",
    )


def _refuse_user(thing: object, name: str) -> NoReturn:
    method = f"{_lead(thing)}user.update({name}=...)"
    hint = f"call {method}, which writes it to user.data"
    meant = name_meant("user", name)
    if name in {"id", "profile", "channels"} or meant.startswith("user.profile"):
        hint += "; the profile and the channels change in users.d, or by luad users"
    message = f"user.{name} cannot be assigned: luad would not store the value"
    raise NoAttribute(message, hint=hint)


def _lead(thing: Any) -> str:
    """Return ``await`` if the methods of *thing* must be awaited."""
    return "" if thing._is_blocking else "await "  # noqa: SLF001 - the SDK among itself


def missing(thing: object, kind: str, name: str) -> AttributeError:
    """Return the error for an attribute that *thing*, a *kind*, does not have.

    If *name* is the word of another scheduler, the error names luad's word.
    """
    word, meant = snake_case(name), name_meant(kind, name)
    if not meant and word != name and hasattr(thing, word):
        meant = f"{kind}.{word}"
    if not meant:
        return NoAttribute(f"{kind} has no attribute `{name}`")
    message = f"{kind} has no attribute `{name}`; luad's word is `{meant}`"
    return NoAttribute(message, hint=f"write {meant}")
