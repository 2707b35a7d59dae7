"""Inspects a handler's callable, and detects returned work that was not done.

Rule: inspects callables and their return values; calls none of them.
"""

from __future__ import annotations

import functools
import inspect
from types import FunctionType, GeneratorType
from typing import TYPE_CHECKING, Any, Final

from luad.sdk.not_retryable import NotRetryable
from luad.sdk.pending import Pending

if TYPE_CHECKING:
    from collections.abc import Callable

_MOST_LAYERS: Final = 100  # of nested wrappers; a wrapper may wrap itself


class NotRunError(NotRetryable):
    """A handler returned a coroutine, task or generator instead of doing its work."""


def called_function(function: object) -> FunctionType | None:
    """Return the Python function that runs when *function* is called; None if there is none."""
    for _ in range(_MOST_LAYERS):
        if isinstance(function, FunctionType):
            return function
        if isinstance(function, functools.partial):
            function = function.func
        elif inspect.ismethod(function) or isinstance(function, staticmethod | classmethod):
            function = function.__func__
        else:
            function = inspect.getattr_static(type(function), "__call__", None)
            if not isinstance(function, FunctionType | staticmethod | classmethod):
                return None
    return None


def is_async(function: Callable[..., object]) -> bool:
    """Return True if *function*, and each function that it wraps, is a coroutine function."""
    layer: object = function
    for _ in range(_MOST_LAYERS):
        called = called_function(layer)
        if called is None or not (
            inspect.iscoroutinefunction(called) or inspect.iscoroutinefunction(layer)
        ):
            return False
        wrapped = getattr(called, "__wrapped__", None)
        if wrapped is None:
            return True
        layer = wrapped
    return False


def is_generator(function: Callable[..., object]) -> bool:
    """Return True if *function* contains `yield`, so that a call runs none of its code."""
    called = called_function(function)
    if called is None or called.__code__.co_flags & inspect.CO_ITERABLE_COROUTINE:
        return False
    return inspect.isgeneratorfunction(called) or inspect.isasyncgenfunction(called)


def check_is_done(value: Any) -> None:
    """Raise `NotRunError` if *value* is a coroutine, task or generator that has not run."""
    if isinstance(value, Pending) or inspect.iscoroutine(value):
        value.close()
        raise NotRunError(
            "the handler returned a coroutine that nothing awaits, so its work is not done; "
            "write `return await ...`"
        )
    if _is_future(value) and not value.done():
        raise NotRunError(
            "the handler returned a task that has not ended, so its work is not done; "
            "write `return await ...`"
        )
    is_fresh = isinstance(value, GeneratorType) and (
        inspect.getgeneratorstate(value) == inspect.GEN_CREATED
        and value.gi_code.co_name != "<genexpr>"
    )
    if is_fresh or inspect.isasyncgen(value):
        raise NotRunError(
            "the handler returned a generator, and none of it has run; "
            "loop over it in the handler, or remove the `yield`"
        )


def _is_future(value: object) -> bool:
    return getattr(type(value), "_asyncio_future_blocking", None) is not None
