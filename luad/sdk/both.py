"""Jobs and users for handlers that may await their calls, or may not.

luad cannot tell before the call whether a plain function awaits: it may pass its job on to an
``async def``. A method has done its work when it returns, and its value can be awaited as well.
The event loop of such a handler is blocked during each request.

Rule: the methods are those of `luad.sdk.blocking`; only their return values differ.
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
    """A value that is known already, and can be awaited."""

    def __await__(self) -> Generator[Any, None, object]:
        yield from ()
        return self._value()

    def _value(self) -> object:
        return self


class _Ready(_Awaitable):
    """An awaitable that `asyncio.run` and tasks accept as a coroutine."""

    def send(self, _: None) -> object:
        raise StopIteration(self._value())

    def throw(self, *error: Any) -> Any:
        raise error[0]

    def close(self) -> None:
        """Do nothing, because the work is done."""


class _Nothing(_Ready):
    """The return value of methods without a result; false like None."""

    def _value(self) -> object:
        return None

    def __bool__(self) -> bool:
        return False

    def __repr__(self) -> str:
        return "None"


class _List(_Ready, list[Any]):
    """A list that can be awaited."""


class _Run(_Ready, Run):
    """A run that can be awaited."""

    __module__, __qualname__ = "luad", "Run"  # the name in messages


class _Delivery(_Ready, Delivery):
    """The outcome of a message, which can be awaited."""

    __module__, __qualname__ = "luad", "Delivery"


def _ready(value: object) -> object:
    """Return *value* in a form that can be awaited."""
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


def _both(plain: Callable[..., object]) -> Callable[..., object]:
    def method(*args: object, **kwargs: object) -> object:
        return _ready(plain(*args, **kwargs))

    method.__name__, method.__doc__ = plain.__name__, plain.__doc__
    return method


class User(_Awaitable, blocking.User, AsyncUser):
    """A user, for a handler that may await or not."""


class Job(_Awaitable, blocking.Job, aio.Job):
    """A job, for a handler that may await or not."""


for _face, _plain in ((User, blocking.User), (Job, blocking.Job)):
    for _name, _method in vars(_plain).items():
        if not _name.startswith("_") and callable(_method):
            setattr(_face, _name, _both(_method))
