"""A function that ships with luad is known under every name that a user's module gives it."""

from __future__ import annotations

import collections
import dataclasses
import functools
import logging
import threading
import weakref
from collections.abc import Callable
from types import MappingProxyType, MethodType, SimpleNamespace
from typing import Any

import pytest
import sqlalchemy

from luad.config.settings.allowed_handlers import DEFAULT_PATTERNS
from luad.handlers import files, http, shell
from luad.runner.loading import HandlerError
from luad.runner.shipped_handlers import refuse_hidden, shipped_functions

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


class Logged:
    def __init__(self, f: Any) -> None:
        self.f = f

    def __call__(self, job: Any) -> Any:
        return self.f(job)

    def go(self, job: Any) -> Any:
        return self.f(job)


class Child(Logged):
    def __call__(self, job: Any) -> Any:
        return super().__call__(job)


class Template:
    inner: Any = None

    def __call__(self, job: Any) -> Any:
        return self.inner(job)


class Filled(Template):
    inner = staticmethod(shell.run)


class OtherSlot:
    __slots__ = ("_kept",)

    def __init__(self, function: Any) -> None:
        self._kept = function

    def __call__(self, job: Any) -> Any:
        return self._kept(job)


class SlotBelow(OtherSlot):
    __slots__ = ("other",)


class Weak:
    def __init__(self, function: Any) -> None:
        self.function = weakref.ref(function)

    def __call__(self, job: Any) -> Any:
        function: Any = self.function()
        return function(job)


class Table(dict[str, Any]):
    def __call__(self, job: Any) -> Any:
        return self["sh"](job)


@dataclasses.dataclass(frozen=True, slots=True)
class Data:
    step: Any

    def __call__(self, job: Any) -> Any:
        return self.step(job)


def by_default(function: Any) -> Any:
    def inner(job: Any, f: Any = function) -> Any:
        return f(job)

    return inner


def by_keyword(function: Any) -> Any:
    def inner(job: Any, *, f: Any = function) -> Any:
        return f(job)

    return inner


def by_attribute(function: Any) -> Any:
    def inner(job: Any) -> Any: ...

    inner.step = function  # type: ignore[attr-defined]
    return inner


def in_a_cell(held: Any) -> Any:
    def inner(_: Any) -> Any:
        return held

    return inner


def of_two(job: Any, f: Any) -> Any:
    return f(job)


RING: list[Any] = [shell.run]
RING.append(RING)

KEPT = [
    Logged(shell.run),
    Logged(shell.run).go,
    Logged(shell.run).__call__,
    Logged(Logged(Logged(shell.run))),
    Child(shell.run),
    Filled(),
    OtherSlot(shell.run),
    SlotBelow(shell.run),
    Data(shell.run),
    Weak(shell.run),
    Table(sh=shell.run),
    functools.partial(of_two, f=shell.run),
    functools.partial(lambda f, job: f(job), shell.run),
    functools.partial(of_two, f=functools.partial(shell.run)),
    functools.partial(of_two, f=Logged(shell.run)),
    functools.partialmethod(of_two, f=shell.run),
    by_default(shell.run),
    by_keyword(shell.run),
    by_attribute(shell.run),
    in_a_cell((shell.run,)),
    in_a_cell([shell.run]),
    in_a_cell({"sh": shell.run}),
    in_a_cell({shell.run: "sh"}),
    in_a_cell({shell.run}),
    in_a_cell(frozenset({shell.run})),
    in_a_cell(collections.deque([shell.run])),
    in_a_cell(collections.ChainMap({}, {"sh": shell.run})),
    in_a_cell(MappingProxyType({"sh": shell.run})),
    in_a_cell(SimpleNamespace(steps=[{"sh": (shell.run,)}])),
    in_a_cell(Logged({"a": [(by_default(Data({"b": by_keyword([shell.run])})),)]})),
    in_a_cell(RING),
    in_a_cell(Filled),
    in_a_cell(iter([shell.run])),
    Logged([shell.run]),
    by_default((shell.run,)),
    functools.partial(of_two, f=[shell.run]),
    {"sh": shell.run}.get,
]


@pytest.mark.parametrize("handler", KEPT)
def test_it_is_found_where_an_object_keeps_it(handler: object) -> None:
    assert shipped_functions(handler) == {RUN}
    with pytest.raises(HandlerError, match=f"leads to `{RUN}`"):
        refuse_hidden(DEFAULT_PATTERNS, "crm:run", handler)
    refuse_hidden((RUN,), "crm:run", handler)


def test_every_function_is_found_that_an_object_keeps() -> None:
    names = {RUN, "luad.handlers.http:check", "luad.handlers.files:prune"}
    assert shipped_functions(Logged([http.check, {"a": files.prune}, shell.run])) == names


def test_what_leads_to_too_many_objects_is_refused() -> None:
    deep: Any = own
    for _ in range(12_000):
        deep = Logged(deep)
    for handler in (deep, in_a_cell([[own] for _ in range(12_000)])):
        with pytest.raises(HandlerError, match=r"more than 10,000 objects.*`crm:run` in dynamic"):
            refuse_hidden((RUN,), "crm:run", handler)


@pytest.mark.parametrize(
    "held",
    [
        logging.getLogger("crm"),
        threading.Event(),
        shell,
        globals(),
        sqlalchemy.create_engine("sqlite://"),
        ["a text"] * 20_000,
        dict.fromkeys(range(20_000), 1.5),
    ],
)
def test_ordinary_things_that_a_handler_keeps_are_no_hindrance(held: object) -> None:
    refuse_hidden((), "crm:own", in_a_cell(held))
    refuse_hidden((), "crm:own", Logged(held))


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
