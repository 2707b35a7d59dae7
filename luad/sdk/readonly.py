"""JSON values that cannot be changed in place.

These are real dicts and lists, so ``json.dumps``, ``==``, ``**`` and ``isinstance`` work as
expected. A change would be lost at the end of the run, and is therefore refused.

Rule: imports nothing of luad but an error.
"""

from __future__ import annotations

TYPE_CHECKING = False  # `typing` costs 9 ms, which every handler's process would pay
if TYPE_CHECKING:
    from typing import Any, NoReturn

_HINT = (
    "job.metadata is read-only: a change would be lost when the run ends. "
    "For a value that the next run needs, call job.update_metadata(key=value) (with await in an `async def`); "
    "job.metadata.copy() is a copy to work with"
)


def _refuse(*_args: object, **_kwargs: object) -> NoReturn:
    from luad.sdk.exceptions import ReadOnly

    raise ReadOnly(_HINT)


def freeze(value: object) -> object:
    """Return a read-only copy of a JSON *value*, at all levels."""
    if isinstance(value, dict):
        return ReadOnlyDict({key: freeze(item) for key, item in value.items()})
    if isinstance(value, list):
        return ReadOnlyList(freeze(item) for item in value)
    return value


def thaw(value: object) -> Any:
    """Return an ordinary copy of a JSON *value*, at all levels."""
    if isinstance(value, dict):
        return {key: thaw(item) for key, item in value.items()}
    if isinstance(value, list):
        return [thaw(item) for item in value]
    return value


class ReadOnlyDict(dict[str, "Any"]):
    """A dict whose modifying methods raise `ReadOnly` (a ``TypeError``) with a hint."""

    __slots__ = ()
    __setitem__ = __delitem__ = __ior__ = _refuse
    clear = pop = popitem = setdefault = update = _refuse

    def copy(self) -> dict[str, Any]:
        """Return an ordinary dict, changeable at all levels."""
        copied: dict[str, Any] = thaw(self)
        return copied

    def __deepcopy__(self, _memo: object) -> dict[str, Any]:
        return self.copy()

    def __reduce__(self) -> tuple[Any, ...]:
        return dict, (self.copy(),)


class ReadOnlyList(list["Any"]):
    """A list whose modifying methods raise `ReadOnly` (a ``TypeError``) with a hint."""

    __slots__ = ()
    __setitem__ = __delitem__ = __iadd__ = __imul__ = _refuse
    append = extend = insert = pop = remove = clear = sort = reverse = _refuse

    def copy(self) -> list[Any]:
        """Return an ordinary list, changeable at all levels."""
        copied: list[Any] = thaw(self)
        return copied

    def __deepcopy__(self, _memo: object) -> list[Any]:
        return self.copy()

    def __reduce__(self) -> tuple[Any, ...]:
        return list, (self.copy(),)
