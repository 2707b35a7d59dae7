"""The members of an object that a request asks for with `fields`.

Rule: pure; `error.message` names a member of a member.
"""

from __future__ import annotations

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
    found: dict[str, Any] = {}
    for name, value in view.items():
        inner = {each[len(name) + 1 :] for each in fields if each.startswith(f"{name}.")}
        if name in fields:
            found[name] = value
        elif inner:
            is_object = isinstance(value, dict)
            found[name] = {key: value[key] for key in value if key in inner} if is_object else None
    return found
