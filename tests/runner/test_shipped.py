"""A function that ships with luad is known under every name that a user's module gives it."""

from __future__ import annotations

import functools
from collections.abc import Callable
from types import MethodType
from typing import Any

import pytest

from luad.config.allowed import DEFAULT_PATTERNS
from luad.handlers import http, shell
from luad.runner.loading import HandlerError
from luad.runner.shipped import refuse_hidden, shipped_functions

RUN = "luad.handlers.shell:run"


def wrapped(function: Callable[[Any], Any]) -> Callable[[Any], Any]:
    @functools.wraps(function)
    def inner(job: Any) -> Any:
        return function(job)

    return inner


def closed_over(function: Callable[[Any], Any]) -> Callable[[Any], Any]:
    def inner(job: Any) -> Any:
        return function(job)

    return inner


class Called:
    __call__ = shell.run  # type: ignore[assignment]
    method = shell.run
    static = staticmethod(shell.run)


class Wrapper:
    def __init__(self, function: Any) -> None:
        self.__wrapped__ = function

    def __call__(self, job: Any) -> None: ...


class Slotted:
    __slots__ = ("func",)

    def __init__(self, function: Any) -> None:
        self.func = function

    def __call__(self, job: Any) -> None: ...


class Evasive:
    """Its attributes are not what they say when asked."""

    def __init__(self, function: Any) -> None:
        object.__setattr__(self, "__wrapped__", function)

    def __getattribute__(self, name: str) -> Any:
        raise AttributeError(name)

    def __call__(self, job: Any) -> None: ...


@pytest.mark.parametrize(
    "handler",
    [
        shell.run,
        wrapped(shell.run),
        wrapped(wrapped(shell.run)),
        closed_over(shell.run),
        functools.partial(shell.run),
        functools.partial(functools.partial(wrapped(shell.run))),
        functools.lru_cache(shell.run),
        functools.singledispatch(shell.run),
        MethodType(shell.run, object()),
        shell.run.__call__,  # type: ignore[operator]
        Called(),
        Called().method,
        Called.static,
        staticmethod(shell.run),
        Wrapper(shell.run),
        Slotted(shell.run),
        Evasive(shell.run),
    ],
)
def test_it_is_found(handler: object) -> None:
    assert shipped_functions(handler) == {RUN}
    with pytest.raises(HandlerError, match=f"leads to `{RUN}`"):
        refuse_hidden(DEFAULT_PATTERNS, "crm:run", handler)
    refuse_hidden((RUN,), "crm:run", handler)


def own(job: Any) -> Any:
    return shell.run(job)


@pytest.mark.parametrize(
    "handler", [own, wrapped(own), functools.partial(own), print, Wrapper(own)]
)
def test_a_function_of_the_user_is_the_users_own(handler: object) -> None:
    refuse_hidden((), "crm:own", handler)


def test_one_that_is_allowed_may_have_another_name() -> None:
    assert shipped_functions(wrapped(http.check)) == {"luad.handlers.http:check"}
    refuse_hidden(DEFAULT_PATTERNS, "crm:look", wrapped(http.check))


def test_objects_that_lead_round_in_circles_end() -> None:
    first, second = Wrapper(None), Wrapper(None)
    first.__wrapped__, second.__wrapped__ = second, first
    assert shipped_functions(first) == set()
