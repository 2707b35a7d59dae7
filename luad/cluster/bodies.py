"""Writes luad's frozen values as JSON objects, and reads them back.

Rule: fields that have their default are left out, unknown fields are ignored, and an object of an unknown kind is
refused. So nodes of neighbouring versions understand each other.
"""

from __future__ import annotations

import dataclasses
import types
import typing
from collections.abc import Callable, Mapping
from enum import StrEnum
from functools import cache
from typing import Any, Final, Literal

from luad.core.events import AttemptEnded, AttemptStarted
from luad.core.model import JSON, Run
from luad.core.requests import Created, Request

_KIND: Final = "is"
"""The field that names the class of an object."""

_Coder = Callable[[Any], Any]
_Coders = tuple[_Coder, _Coder]
"""The functions that write a value as JSON, and read it back."""


class BadBodyError(ValueError):
    """A body that no engine can take."""


_CLASSES: Final = {
    each.__name__: each
    for each in (AttemptStarted, AttemptEnded, Run, Created, *typing.get_args(Request))
}

_made: Final[dict[type, _Coders]] = {}


def write_value(value: object) -> JSON:
    """Return *value*, one of luad's values or plain JSON, as JSON; `read_value` reads it back."""
    name = type(value).__name__
    if _CLASSES.get(name) is type(value):
        return _coders_of(type(value))[0](value)
    if isinstance(value, tuple):
        return {_KIND: "tuple", "items": [write_value(each) for each in value]}
    return {_KIND: "json", "value": _plain(value)}


def read_value(body: JSON) -> Any:
    """Return the value that `write_value` wrote. Raises BadBodyError for any other body."""
    kind = body.get(_KIND) if isinstance(body, dict) else None
    try:
        match kind:
            case "json":
                return body["value"]
            case "tuple":
                return tuple(read_value(each) for each in body["items"])
            case str() if kind in _CLASSES:
                return _coders_of(_CLASSES[kind])[1](body)
    except BadBodyError:
        raise
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise BadBodyError(f"{kind} cannot be read: {type(error).__name__}: {error}") from error
    raise BadBodyError(f"{kind!r} is not a kind of body that this version knows")


def _coders_of(cls: type) -> _Coders:
    """Return the functions for a frozen dataclass."""
    known = _made.get(cls)
    if known is None:
        known = _made[cls] = _make_coders(cls)
    return known


def _make_coders(cls: Any) -> _Coders:
    hints = typing.get_type_hints(cls)
    fields = [
        (each.name, each.default, *_coders(hints[each.name]))
        for each in dataclasses.fields(cls)
        if each.init
    ]
    name = cls.__name__

    def write(value: object) -> JSON:
        found: dict[str, JSON] = {_KIND: name}
        for field, default, writer, _ in fields:
            each = getattr(value, field)
            if each is not default and each != default:
                found[field] = writer(each)
        return found

    def read(body: Mapping[str, JSON]) -> object:
        return cls(
            **{field: reader(body[field]) for field, _, _, reader in fields if field in body}
        )

    return write, read


@cache
def _coders(hint: Any) -> _Coders:
    """Return the functions for the values of a type hint."""
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin in (typing.Union, types.UnionType):
        return _coders_of_union(arguments)
    if origin is tuple:
        write, read = _coders(arguments[0])
        return (
            lambda value: [write(each) for each in value],
            lambda body: tuple(read(each) for each in body),
        )
    if origin in (Literal, Mapping) or hint is Any:
        return _plain, _same
    if dataclasses.is_dataclass(hint) and isinstance(hint, type):
        return _coders_of(hint)
    if isinstance(hint, type) and issubclass(hint, StrEnum):
        return str, hint
    return _same, _same


def _coders_of_union(arguments: tuple[Any, ...]) -> _Coders:
    members = [each for each in arguments if each is not types.NoneType]
    if len(members) == 1:
        write, read = _coders(members[0])
        return (
            lambda value: None if value is None else write(value),
            lambda body: None if body is None else read(body),
        )
    classes = {each.__name__: each for each in members}
    return (
        lambda value: _coders_of(type(value))[0](value),
        lambda body: _coders_of(classes[body[_KIND]])[1](body),
    )


def _same(value: JSON) -> JSON:
    return value


def _plain(value: JSON) -> JSON:
    """Return *value* with plain dicts and lists."""
    if isinstance(value, Mapping):
        return {key: _plain(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(each) for each in value]
    return value
