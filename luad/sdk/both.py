"""The face that works both ways: its methods have done their work when they return, and may be awaited.

For handlers of which nobody can say before the call whether they await: plain functions, which may hand their job
on to an ``async def``. The event loop of such a handler waits while luad is asked.

Room rule: the methods are those of `luad.sdk.blocking`; only what they return can be awaited as well.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from luad.sdk import blocking
from luad.sdk import job as aio
from luad.sdk.user import User as AsyncUser
from luad.sdk.values import Delivery, Run

if TYPE_CHECKING:
    from collections.abc import Callable, Generator


class _Awaitable:
    """Has its value already."""

    def __await__(self) -> Generator[Any, None, Any]:
        yield from ()
        return self._value()

    def _value(self) -> Any:
        return self


class _Ready(_Awaitable):
    """A coroutine to asyncio: `asyncio.run` and tasks take it as well."""

    def send(self, _: None) -> Any:
        raise StopIteration(self._value())

    def throw(self, *error: Any) -> Any:
        raise error[0]

    def close(self) -> None:
        """There is nothing left to end."""


class _Nothing(_Ready):
    """What a method returns that has nothing to tell; it is false, as None is."""

    def _value(self) -> Any:
        return None

    def __bool__(self) -> bool:
        return False

    def __repr__(self) -> str:
        return "None"


class _List(_Ready, list[Any]):
    """A list, also when it is awaited."""


class _Run(_Ready, Run):
    """A run, also when it is awaited."""

    __module__, __qualname__ = "luad", "Run"  # as messages name it


class _Delivery(_Ready, Delivery):
    """What became of a message, also when it is awaited."""

    __module__, __qualname__ = "luad", "Delivery"


def _ready(value: Any) -> Any:
    """Return *value* as something that can be awaited, too."""
    match value:
        case _Awaitable():
            return value
        case None:
            return _Nothing()
        case list():
            return _List(value)
        case Run():
            return _Run(value.to_dict())
        case Delivery():
            return _Delivery(value.to_dict())
        case blocking.User():
            return User(value.to_dict())
    return value


def _both(plain: Callable[..., Any]) -> Callable[..., Any]:
    def method(*args: Any, **kwargs: Any) -> Any:
        return _ready(plain(*args, **kwargs))

    method.__name__, method.__doc__ = plain.__name__, plain.__doc__
    return method


class User(_Awaitable, blocking.User, AsyncUser):
    """A person, for a handler that may await or not."""


class Job(_Awaitable, blocking.Job, aio.Job):
    """A job, for a handler that may await or not."""


for _face, _plain in ((User, blocking.User), (Job, blocking.Job)):
    for _name, _method in vars(_plain).items():
        if not _name.startswith("_") and callable(_method):
            setattr(_face, _name, _both(_method))
