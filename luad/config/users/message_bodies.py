"""The parts of a message to a user, from the JSON of a request.

Rule: pure; a value in, parts out, or `ValidationError`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from luad.core.messaging import Part
from luad.errors import ValidationError

MAX_PARTS: Final = 20
MAX_TEXT: Final = 64 * 1024

_FOREIGN: Final = {"imageUrl": "url", "altText": "alt", "image_url": "url", "alt_text": "alt"}
_KEYS: Final = {
    "text": {"text": True, "format": False},
    "image": {"url": True, "alt": False},
    "file": {"path": False, "url": False, "name": False},
}
"""The keys of each type, and whether they are required."""


def parse_parts(value: object) -> tuple[Part, ...]:
    """Return the parts of *value*: a text, a part, or a list of both.

    Raises `ValidationError` with all mistakes at once.
    """
    items = value if isinstance(value, list) else [value]
    errors: list[dict[str, str]] = []
    if not items:
        errors.append(_error("", "the message is empty", "write a text, or a list of parts"))
    if len(items) > MAX_PARTS:
        errors.append(_error("", f"more than {MAX_PARTS} parts", "send several messages"))
    parts = [_part(number, item, errors) for number, item in enumerate(items[:MAX_PARTS])]
    if errors:
        raise ValidationError(
            f"the message is invalid: {errors[0]['detail']}",
            hint=errors[0].get("hint", ""),
            errors=tuple(errors),
        )
    return tuple(parts)


def _part(number: int, item: object, errors: list[dict[str, str]]) -> Part:
    if isinstance(item, str):
        item = {"type": "text", "text": item}
    if not isinstance(item, Mapping):
        errors.append(_error(f"/{number}", "this is neither a text nor an object"))
        return {}
    part: dict[str, object] = {_FOREIGN.get(str(key), str(key)): each for key, each in item.items()}
    kind = part.get("type", "text" if "text" in part else None)
    known = _KEYS.get(kind) if isinstance(kind, str) else None
    if known is None:
        hint = 'write {"type": "text", "text": "…"}; image and file are the other types'
        errors.append(_error(f"/{number}/type", f"{kind!r:.40} is not a type of part", hint))
        return {}
    for key, each in part.items():
        if key != "type":
            _check_member(f"/{number}/{key[:40]}", key, each, known, errors)
    for key, is_needed in known.items():
        if is_needed and not part.get(key):
            errors.append(_error(f"/{number}/{key}", f"this part needs `{key}`"))
    if kind == "file" and ("path" in part) == ("url" in part):
        errors.append(_error(f"/{number}", "a file has either a `path` or a `url`"))
    _check_place(number, part, errors)
    if part.get("format", "markdown") != "markdown":
        errors.append(_error(f"/{number}/format", "the only format is `markdown`"))
    return {"type": kind, **{key: each for key, each in part.items() if key in known}}


def _check_place(number: int, part: Mapping[str, object], errors: list[dict[str, str]]) -> None:
    """Check that the target of a part is an HTTP URL or an absolute path."""
    url, path = part.get("url"), part.get("path")
    if isinstance(url, str) and url and not url.lower().startswith(("http://", "https://")):
        hint = "a file of luad's machine has `path`" if part.get("type") == "file" else ""
        errors.append(
            _error(f"/{number}/url", "the address does not begin with http:// or https://", hint)
        )
    if isinstance(path, str) and not path.startswith("/"):
        hint = "write the whole path, from the root"
        errors.append(_error(f"/{number}/path", "the path is not absolute", hint))


def _check_member(
    place: str, key: str, value: object, known: Mapping[str, bool], errors: list[dict[str, str]]
) -> None:
    if key not in known:
        errors.append(_error(place, f"unknown key `{key[:40]}`", "known are " + ", ".join(known)))
    elif not isinstance(value, str):
        errors.append(_error(place, "the value must be a text"))
    elif len(value) > MAX_TEXT:
        errors.append(_error(place, f"longer than {MAX_TEXT} characters"))


def _error(pointer: str, detail: str, hint: str = "") -> dict[str, str]:
    item = {"pointer": f"#/messages{pointer}", "code": "value", "detail": detail}
    return item | {"hint": hint} if hint else item


def plain_text(parts: Sequence[Part]) -> str:
    """Return a message as one text, with the name and place of each picture and file."""
    return "\n".join(map(_plain, parts))


def _plain(part: Part) -> str:
    if part["type"] == "text":
        return str(part["text"])
    where = part.get("url") or part.get("path") or ""
    name = part.get("alt") or part.get("name") or part["type"]
    return f"{name}: {where}"
