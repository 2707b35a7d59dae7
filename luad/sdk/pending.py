"""Calls that must be awaited, and that notice a missing `await`.

`awaited` turns an ``async def`` into such a call. It returns a `Pending`, which asyncio accepts
like a coroutine. Any other use raises `NotAwaited` at once, and so does a call whose value is
discarded. `end_run` returns an error for the calls of a run that nothing has awaited. A process that
executes several runs at once has `Calls` for each of them.

Rule: cheap to import, because every handler's process pays for it.
"""

from __future__ import annotations

import sys

TYPE_CHECKING = False  # `typing` costs 9 ms, which every handler's process would pay
if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Generator
    from types import FrameType
    from typing import Any, NoReturn, ParamSpec, TypeVar

    from luad.sdk.exceptions import NotAwaited

    P = ParamSpec("P")
    T = TypeVar("T")


_serial = 0


class Calls:
    """The calls of one run that nothing has awaited yet: name and place, by serial number."""

    __slots__ = ("is_over", "open")

    def __init__(self) -> None:
        self.open: dict[int, tuple[str, str]] = {}
        self.is_over = (
            False  # the handler has returned: a call that is cancelled later was not awaited
        )

    def error(self) -> NotAwaited | None:
        """Return the error if a call was not awaited."""
        calls = list(self.open.values())
        return _error(*calls[0], others=len(calls) - 1) if calls else None


_calls: Calls | None = None
_find: Callable[[], Calls | None] | None = None


def find_calls_by(find: Callable[[], Calls | None] | None) -> None:
    """Let *find* return the calls of the current run, where a process has several; None undoes it."""
    global _find  # noqa: PLW0603 - set once, by the runner
    _find = find


def _current_calls() -> Calls | None:
    return _calls if _find is None else _find()


def begin_run() -> None:
    """Start to record calls that nothing awaits."""
    global _calls  # noqa: PLW0603 - the run of a process of its own
    _calls = Calls()


def close_run() -> None:
    """Record that the handler has returned."""
    if _calls is not None:
        _calls.is_over = True


def end_run() -> NotAwaited | None:
    """Return the error if a call of the run was not awaited, and stop recording."""
    global _calls
    calls, _calls = _calls, None
    return None if calls is None else calls.error()


def _error(call: str, place: str, others: int = 0) -> NotAwaited:
    from luad.sdk.exceptions import NotAwaited

    where = f" ({place})" if place else ""
    more = (
        f", and {others} more {'call was' if others == 1 else 'calls were'} not" if others else ""
    )
    hint = "write `await` in front of it, in an `async def`"
    if call.startswith(("Jobs.", "User.")):
        hint += f"; in a plain function call luad.sync.{call}"
    return NotAwaited(f"{call}(...) was not awaited{where}{more}: it has done nothing", hint=hint)


class Pending:
    """A coroutine that has not begun."""

    __slots__ = (
        "__weakref__",
        "_call",
        "_calls",
        "_coroutine",
        "_is_begun",
        "_make",
        "_place",
        "_serial",
    )

    def __init__(self, make: Callable[[], Coroutine[Any, Any, Any]], call: str, place: str) -> None:
        self._make = make  # called later, because Python warns of a coroutine that never begins
        self._coroutine: Coroutine[Any, Any, Any] | None = None
        self._call = call
        self._place = place
        self._is_begun = False
        global _serial  # noqa: PLW0603 - as above
        self._serial = _serial = _serial + 1
        self._calls = _current_calls()
        if self._calls is not None:
            self._calls.open[_serial] = call, place

    # --- as a coroutine ---

    def __await__(self) -> Generator[Any, Any, Any]:
        return self._begin().__await__()

    def send(self, value: Any) -> Any:
        """Continue to the next suspension."""
        return self._begin().send(value)

    def throw(self, *error: Any) -> Any:
        """Raise inside the coroutine. One that had not begun ends without any work."""
        if self._calls is not None and self._calls.is_over and not self._is_begun:
            self._is_begun = True  # asyncio ends this task because the handler has returned
            raise error[0]
        return self._begin().throw(*error)

    def close(self) -> None:
        """Close the coroutine, which then counts as awaited."""
        self._begin().close()

    def abandon(self) -> None:
        """Keep the call recorded as not awaited, so that an `except` cannot hide it."""
        self._is_begun = True

    def _begin(self) -> Coroutine[Any, Any, Any]:
        if not self._is_begun:
            self._is_begun = True
            if self._calls is not None:
                self._calls.open.pop(self._serial, None)
        if self._coroutine is None:
            self._coroutine = self._make()
        return self._coroutine

    def __repr__(self) -> str:
        return f"<{self._call}(...), to be awaited>"

    def __del__(self) -> None:
        is_outside = self._calls is None and _current_calls() is None  # a run reports it otherwise
        if not self._is_begun and is_outside:
            import warnings

            text = f"{self._call}(...) was never awaited ({self._place})"
            warnings.warn(text, RuntimeWarning, stacklevel=2, source=self)

    # --- uses as a value, which are mistakes ---

    def __getattr__(self, name: str) -> Any:
        if name.startswith("cr_") and self._coroutine is not None:  # asyncio reads these
            return getattr(self._coroutine, name)
        if name in {"__name__", "__qualname__"}:
            return self._call
        if name.startswith(("__", "cr_", "gi_")):
            raise AttributeError(name)
        raise _error(self._call, self._place)

    def _refuse(self, *_: Any) -> NoReturn:
        raise _error(self._call, self._place)

    __bool__ = __iter__ = __len__ = __getitem__ = __contains__ = _refuse


def awaited(call: str, *aliases: str) -> Callable[[Callable[P, Coroutine[Any, Any, T]]], Any]:
    """Return a decorator that makes an ``async def``, called *call*, notice a missing `await`.

    The call raises `NotAwaited` at once if its value is discarded. *aliases* are other names of
    the method.
    """

    def make(function: Callable[P, Coroutine[Any, Any, T]]) -> Callable[P, Coroutine[Any, Any, T]]:
        names = {function.__name__, *aliases}

        def calling(*args: P.args, **kwargs: P.kwargs) -> Any:
            frame = _caller()
            place = "" if frame is None else f"{frame.f_code.co_filename}:{frame.f_lineno}"
            pending = Pending(lambda: function(*args, **kwargs), call, place)
            if frame is not None and _is_thrown_away(frame, names):
                pending.abandon()
                raise _error(call, place)
            return pending

        for name in ("__module__", "__name__", "__qualname__", "__doc__", "__annotations__"):
            setattr(calling, name, getattr(function, name))
        calling.__wrapped__ = function  # type: ignore[attr-defined]
        _mark(calling)
        return calling

    return make


def _caller() -> FrameType | None:
    """Return the frame of the caller's caller, or None at the start of a thread."""
    try:
        return sys._getframe(2)  # noqa: SLF001 - the documented way
    except ValueError:
        return None


def _mark(function: Any) -> None:
    """Make `iscoroutinefunction` true for *function*, if a mock could ask for it.

    Only modules that are already loaded are used.
    """
    if sys.version_info >= (3, 12):
        if (inspect := sys.modules.get("inspect")) is not None:
            inspect.markcoroutinefunction(function)
    elif (coroutines := sys.modules.get("asyncio.coroutines")) is not None:
        function._is_coroutine = coroutines._is_coroutine  # noqa: SLF001 - what Python 3.11 has for it


def _is_thrown_away(frame: FrameType, names: set[str]) -> bool:
    """Return whether *frame* calls one of *names* and certainly discards the value."""
    import opcode

    code, at = frame.f_code.co_code, frame.f_lasti + 2
    while at < len(code) and code[at] == 0:  # the cache entries after the call
        at += 2
    if at < 0 or at >= len(code) or code[at] != opcode.opmap["POP_TOP"]:
        return False
    return _called_attribute(frame) in names


def _called_attribute(frame: FrameType) -> str:
    """Return the attribute that *frame* is calling; empty if it is not certain.

    A call and its function begin at the same position of the source. This distinguishes code that
    a C function calls (``list(map(...))``) from the caller of that function.
    """
    import dis

    steps = [each for each in dis.get_instructions(frame.f_code) if each.offset <= frame.f_lasti]
    place = steps[-1].positions if steps else None
    if place is None or place.col_offset is None:
        return ""
    for each in reversed(steps[:-1]):
        there = each.positions
        if there is None or each.opname not in {"LOAD_ATTR", "LOAD_METHOD"}:
            continue
        if (there.lineno, there.col_offset) == (place.lineno, place.col_offset):
            return str(each.argval)
    return ""
