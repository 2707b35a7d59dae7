"""Frozen dataclasses that are quick to make and to change.

The type checker refuses a change of such a value. Python itself does not: its check makes each new value up to thirty
times slower, and the engine makes some ten values for each run.

Rule: modules import `dataclass` and `replace` from here, and use them like those of `dataclasses`.
"""

from __future__ import annotations

import dataclasses
from operator import attrgetter
from typing import TYPE_CHECKING, Final, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable
    from dataclasses import dataclass, replace

__all__ = ["dataclass", "replace"]

T = TypeVar("T")

_fields_of: Final[dict[type, Callable[[object], tuple[object, ...]]]] = {}


def _dataclass(*, frozen: bool = False, slots: bool = False) -> Callable[[type[T]], type[T]]:
    """Return the decorator; a frozen dataclass with slots is frozen for the type checker only."""

    def decorate(cls: type[T]) -> type[T]:
        if not (frozen and slots):
            return dataclasses.dataclass(frozen=frozen, slots=slots)(cls)
        made = dataclasses.dataclass(slots=True, unsafe_hash=True)(cls)
        names = [field.name for field in dataclasses.fields(made)]  # type: ignore[arg-type]
        if len(names) > 1:  # the getter of one field would not return a tuple
            _fields_of[made] = attrgetter(*names)
        return made

    return decorate


def _replace(value: T, /, **changes: object) -> T:
    """Return a copy of *value* with *changes*."""
    fields_of = _fields_of.get(type(value))
    if fields_of is None:
        return dataclasses.replace(value, **changes)  # type: ignore[type-var]
    made = type(value)(*fields_of(value))
    for name, change in changes.items():
        setattr(made, name, change)
    return made


if not TYPE_CHECKING:
    dataclass, replace = _dataclass, _replace
