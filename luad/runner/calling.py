"""Inspects a handler's callable, and detects returned work that was not done.

Rule: inspects callables and their return values; calls none of them.
"""

from __future__ import annotations

import functools
import inspect
from types import AsyncGeneratorType, CoroutineType, FunctionType, GeneratorType, MethodType
from typing import TYPE_CHECKING, Any, Final

from luad.sdk.not_retryable import NotRetryable
from luad.sdk.params import ATTRIBUTE
from luad.sdk.pending import Pending

if TYPE_CHECKING:
    from collections.abc import Callable

_PLAIN: Final = {ATTRIBUTE}  # attributes that wrap no other function
_WITHOUT_WORK: Final = frozenset({type(None), bool, int, float, str, bytes, dict, list, tuple})
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
        elif isinstance(function, MethodType | staticmethod | classmethod):
            function = function.__func__
        else:
            function = inspect.getattr_static(type(function), "__call__", None)
            if not isinstance(function, FunctionType | staticmethod | classmethod):
                return None
    return None


def is_async(function: Callable[..., object]) -> bool:
    """Return True if *function*, and each function that it wraps, is a coroutine function."""
    if type(function) is FunctionType and function.__dict__.keys() <= _PLAIN:
        # The usual case touches few objects: a fork copies each page of memory that it touches.
        return bool(function.__code__.co_flags & inspect.CO_COROUTINE)
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


def must_be_awaited(value: object) -> bool:
    """Return True if *value*, which a handler has returned, is an awaitable."""
    return type(value) not in _WITHOUT_WORK and inspect.isawaitable(value)


def check_is_done(value: Any) -> None:
    """Raise `NotRunError` if *value* is a coroutine, task or generator that has not run."""
    if type(value) in _WITHOUT_WORK:
        return
    if isinstance(value, Pending | CoroutineType):
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
    if is_fresh or isinstance(value, AsyncGeneratorType):
        raise NotRunError(
            "the handler returned a generator, and none of it has run; "
            "loop over it in the handler, or remove the `yield`"
        )


def _is_future(value: object) -> bool:
    return getattr(type(value), "_asyncio_future_blocking", None) is not None
