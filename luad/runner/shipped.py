"""Whether a handler is, in truth, a function that ships with luad under another name.

A module of the user may hand on such a function: by an assignment, a decorator, a ``partial``, a method. The
rules of that function hold for it all the same, for its metadata may be a command line.

Room rule: looks at objects and calls none of them.
"""

from __future__ import annotations

from contextlib import suppress
from fnmatch import fnmatchcase
from types import FunctionType
from typing import TYPE_CHECKING, Any, Final

from luad.runner.loading import Fault, HandlerError, place_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

_PACKAGE: Final = "luad.handlers."
_LINKS: Final = ("__wrapped__", "func", "__func__", "__self__", "__call__")
"""Where wrappers, partials, methods and callable objects keep what they call."""

_NO_HANDLERS: Final = frozenset({"luad.handlers.parameters"})
"""Modules beside the handlers, whose functions other handlers may use."""

_MOST: Final = 200  # no handler that is meant has so many layers


def shipped_functions(handler: object) -> set[str]:
    """Return the functions of `luad.handlers` that *handler* is, wraps or is bound to, by name."""
    found: set[str] = set()
    waiting, seen = [handler], set[int]()
    while waiting and len(seen) < _MOST:
        each = waiting.pop()
        if each is None or id(each) in seen:
            continue
        seen.add(id(each))
        if isinstance(each, FunctionType):
            module = str(each.__globals__.get("__name__", ""))
            if module.startswith(_PACKAGE) and module not in _NO_HANDLERS:
                found.add(f"{module}:{each.__code__.co_name}")
        waiting += _inside(each)
    return found


def refuse_hidden(patterns: Sequence[str], handler: str, function: object) -> None:
    """Raise `HandlerError` when *function* leads to one that ships with luad and no pattern matches."""
    for name in sorted(shipped_functions(function)):
        if not any(fnmatchcase(name, each) for each in patterns):
            raise HandlerError(
                Fault.NOT_ALLOWED,
                f"`{handler}` leads to `{name}`, which `dynamic.handlers` does not allow",
                hint="a job made at run time, or with metadata sent over TCP, may not call it under "
                f"another name; `{handler}` in dynamic.handlers allows it",
                place=place_of(function),
            )


def _inside(each: object) -> Iterator[Any]:
    """Yield what *each* may pass a call on to. Looked up without running code of its own."""
    kept = _kept(each)
    yield from (kept[name] for name in _LINKS if name in kept)
    if isinstance(each, FunctionType):
        yield from _closed_over(each)
        return
    for name in ("func", "__func__", "__self__"):  # slots and members of types written in C
        member = _static(type(each), name)
        if hasattr(type(member), "__get__") and not isinstance(member, FunctionType | property):
            yield _read(member, each)
    if not isinstance(each, type):
        yield _static(type(each), "__call__")


def _closed_over(function: FunctionType) -> Iterator[Any]:
    for cell in function.__closure__ or ():
        with suppress(ValueError):  # an empty one
            if callable(cell.cell_contents):
                yield cell.cell_contents


def _kept(each: object) -> dict[str, Any]:
    try:
        found = object.__getattribute__(each, "__dict__")
    except AttributeError:
        return {}
    return found if isinstance(found, dict) else {}


def _static(kind: type, name: str) -> object:
    for base in kind.__mro__:
        if name in base.__dict__:
            found: object = base.__dict__[name]
            return found
    return None


def _read(member: Any, each: object) -> object:
    try:
        found: object = member.__get__(each, type(each))
    except Exception:  # noqa: BLE001 - whatever a descriptor does, it leads nowhere then
        return None
    return found
