"""The members of an object that a request asks for with `fields`.

Rule: pure; `error.message` names a member of a member.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping


def names_of(schema: Mapping[str, Any]) -> Iterator[str]:
    """Yield the names of all members in *schema*, with those of inner objects as `outer.inner`."""
    for name, each in schema.items():
        yield name
        options = [each, *each.get("anyOf", ())]
        for inner in (key for option in options for key in option.get("properties", ())):
            yield f"{name}.{inner}"


def chosen(view: Mapping[str, Any], fields: Collection[str]) -> dict[str, Any]:
    """Return the members of *view* that *fields* name, in their order; all of them for no fields."""
    if not fields:
        return dict(view)
    inner = _inner(frozenset(fields))
    found: dict[str, Any] = {}
    for name, value in view.items():
        if name in fields:
            found[name] = value
        elif name in inner:
            is_object = isinstance(value, dict)
            found[name] = (
                {key: value[key] for key in value if key in inner[name]} if is_object else None
            )
    return found


@lru_cache(maxsize=64)
def _inner(fields: frozenset[str]) -> Mapping[str, frozenset[str]]:
    """Return the members of members that *fields* name; a list asks the same for each of its rows."""
    outer = {each.partition(".")[0] for each in fields if "." in each}
    return {
        name: frozenset(each[len(name) + 1 :] for each in fields if each.startswith(f"{name}."))
        for name in outer
    }
