"""Finds functions that ship with luad behind a handler of another name.

A module of the user may offer such a function by an assignment, a decorator, a ``partial``, a method, or an
object that keeps it. The rules of that function apply all the same, because its metadata may be a command
line. A function of the user may call one by its name; globals are not searched.

Rule: inspects objects and calls none of them. The garbage collector lists the objects that an object
refers to, so no code of the object runs.
"""

from __future__ import annotations

import gc
import sys
import weakref
from fnmatch import fnmatchcase
from types import CodeType, FrameType, FunctionType, MemberDescriptorType, ModuleType
from typing import TYPE_CHECKING, Any, Final, cast

from luad.runner.loading import Fault, HandlerError, place_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

_PACKAGE: Final = "luad.handlers."
_NO_HANDLERS: Final = frozenset({"luad.handlers.parameters"})
"""Modules beside the handlers, whose functions other handlers may use."""

_ENDS: Final = (ModuleType, CodeType, FrameType, MemberDescriptorType)
"""Types of objects that are not searched: they lead to the whole program, or hold no function to call.
A logger leads to all other loggers and to luad's own log handlers."""

_MOST: Final = 10_000
_NAMESPACE: Final[Any] = type.__dict__["__dict__"]
_BASES: Final[Any] = type.__dict__["__bases__"]


class TooManyObjectsError(Exception):
    """A handler leads to more objects than luad searches."""


def shipped_functions(handler: object) -> set[str]:
    """Return the names of the functions of `luad.handlers` that *handler* is, wraps or refers to.

    Raises `TooManyObjectsError` if it leads to too many objects.
    """
    found: set[str] = set()
    logging = sys.modules.get("logging")
    ends = _ENDS if logging is None else (*_ENDS, logging.Filterer)
    waiting, seen = (
        [handler],
        dict[int, object](),
    )  # the objects stay alive, so that no id is used twice
    while waiting:
        each = waiting.pop()
        if id(each) in seen or issubclass(type(each), ends):
            continue
        if len(seen) >= _MOST:
            raise TooManyObjectsError
        seen[id(each)] = each
        name = _shipped_name(each)
        if name is None:
            waiting += filter(_may_hold, _inside(each))
        else:
            found.add(name)
    return found


def refuse_hidden(patterns: Sequence[str], handler: str, function: object) -> None:
    """Raise `HandlerError` if *function* leads to a shipped one that matches none of *patterns*."""
    try:
        names = sorted(shipped_functions(function))
    except TooManyObjectsError:
        problem = f"refers to more than {_MOST:,} objects, the most that luad searches for its own functions"
        raise _refused(handler, function, problem) from None
    for name in names:
        if not any(fnmatchcase(name, each) for each in patterns):
            problem = f"leads to `{name}`, which `dynamic.handlers` does not allow"
            raise _refused(handler, function, problem)


def _refused(handler: str, function: object, problem: str) -> HandlerError:
    return HandlerError(
        Fault.NOT_ALLOWED,
        f"`{handler}` {problem}",
        hint="a job made at run time, or with metadata sent over TCP, may not call it under "
        f"another name; `{handler}` in dynamic.handlers allows it",
        place=place_of(function),
    )


def _shipped_name(each: object) -> str | None:
    if type(each) is not FunctionType:
        return None
    module = str(each.__globals__.get("__name__", ""))
    is_shipped = module.startswith(_PACKAGE) and module not in _NO_HANDLERS
    return f"{module}:{each.__code__.co_name}" if is_shipped else None


def _may_hold(each: object) -> bool:
    """Return False for texts, numbers and containers of those, which hold no function."""
    return gc.is_tracked(each)


def _inside(each: object) -> Iterable[object]:
    """Return the objects to which *each* may pass a call."""
    kind, value = type(each), cast("Any", each)
    if kind is FunctionType:
        return _of_function(value)
    if issubclass(kind, type):
        return _of_type(value)
    if issubclass(kind, weakref.ref):
        return (*gc.get_referents(each), weakref.ref.__call__(value))
    if issubclass(kind, dict) and _is_of_module(each):
        return ()
    return gc.get_referents(each)  # including its type, unless that is written in C


def _of_function(function: Any) -> Iterator[object]:
    """Yield the objects that a function refers to, except its globals."""
    yield from function.__closure__ or ()
    yield from function.__defaults__ or ()
    yield from (function.__kwdefaults__ or {}).values()
    yield from function.__dict__.values()


def _of_type(kind: object) -> Iterator[object]:
    """Yield the objects that a class refers to, if it belongs to the user or to shipped handlers."""
    namespace = _NAMESPACE.__get__(kind)
    module = namespace.get("__module__")
    module = module if type(module) is str else ""
    top = module.partition(".")[0]
    is_luads = top == "luad" and not module.startswith(_PACKAGE)
    if not top or top in sys.stdlib_module_names or is_luads:
        return
    yield type(kind)
    yield from _BASES.__get__(kind)
    yield from namespace.values()


def _is_of_module(namespace: Any) -> bool:
    name = dict.get(namespace, "__name__")
    module = sys.modules.get(name) if type(name) is str else None
    return type(module) is ModuleType and module.__dict__ is namespace
