"""The forms of a secret in a text: plain, escaped, quoted, or encoded.

Rule: pure. The search takes time linear in the text, and decodes nothing.
"""

from __future__ import annotations

import re
from base64 import b64encode
from functools import lru_cache
from html.entities import codepoint2name
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_BACKSLASH: Final = r"(?:\\|%(?:25)*5[cC])"  # one that is percent-encoded, too
_ESCAPE: Final = _BACKSLASH + "{1,16}+"
"""An escape inside an escaped text, such as JSON in JSON."""

_ONE_BACKSLASH: Final = rf"(?:\\(?i:x5c|u005c)|\\134|&(?:amp;)?#(?:0{{0,6}}92|(?i:x)0{{0,6}}5[cC]);|&bsol;|{_BACKSLASH})"

_LETTERS: Final = {
    "\n": "n",
    "\t": "t",
    "\r": "r",
    "\b": "b",
    "\f": "f",
    "\a": "a",
    "\v": "v",
    "\0": "0",
}
_QUOTED: Final = {"'": (r"""'\\''""", """'"'"'""", "''"), '"': ('""',)}
"""A quote between quotes, as shells, SQL, YAML and CSV write it."""

_RUN: Final = re.compile(r"[A-Za-z0-9]+")
_LEAST_CORE: Final = 6
_BASE64: Final = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/-_")
_LEAST_SPELLED: Final = 4
_EDGE: Final = 2  # characters of Base64 that hold bits of a neighbour as well

_BREAK: Final = r"(?:(?:\r|\\r)?(?:\n|\\n))"
_WRAPPED: Final = re.compile(rf"(?<![A-Za-z0-9+/_-])[A-Za-z0-9+/_-]{{60,}}+{_BREAK}")
"""A line of Base64 that continues in the next line, after 64 or 76 characters."""


class Spellings:
    """All forms of one secret *value*."""

    def __init__(self, value: str) -> None:
        self.value = value
        runs = _RUN.findall(value)
        self.gate = max(runs, key=len, default="")
        is_plain = self.gate == value
        self._pattern = None if is_plain else re.compile(_pattern_of(value))
        self._encoded = _encoded(value)
        self._spelled = _spelled(value)

    def may_stand_in(self, text: str) -> bool:
        """Return whether *text* may contain a form. The check is fast, and may be true in error."""
        if self.gate in text or any(each in text for each in self._encoded):
            return True
        if next(self._spelled_in(text), None) is not None:
            return True
        joined = _joined(text)
        return joined is not None and any(each in joined for each in self._encoded)

    def replace(self, text: str, put: Callable[[str], str]) -> str:
        """Return *text* with each form replaced by the result of *put*."""
        if self.gate in text:
            if self._pattern is None:
                text = text.replace(self.value, put(self.value))
            else:
                text = self._pattern.sub(lambda found: put(found[0]), text)
        for each in self._encoded:
            if each in text:
                text = _cover(text, each, put)
        for each in list(self._spelled_in(text)):
            text = text.replace(each, put(each))
        return self._without_wrapped(text, put)

    def _spelled_in(self, text: str) -> Iterator[str]:
        for mark, forms in self._spelled.items():
            if mark in text:  # most texts have no escapes
                yield from (each for each in forms if each in text)

    def _without_wrapped(self, text: str, put: Callable[[str], str]) -> str:
        joined = _joined(text)
        if joined is not None:
            for each in self._encoded:
                if each in joined:
                    text = _wrapped(each).sub(lambda found: put(found[0]), text)
        return text


@lru_cache(maxsize=4096)
def spellings_of(value: str) -> Spellings:
    """Return the forms of *value*, made once."""
    return Spellings(value)


def _pattern_of(value: str) -> str:
    pieces: list[str] = []
    is_after_escape = False
    for found in re.finditer(r"\\+|[^\\]", value, re.DOTALL):
        text = found[0]
        if text.startswith("\\"):
            pieces.append(f"{_ONE_BACKSLASH}{{{len(text)},{16 * len(text)}}}+")
        else:
            pieces.append(_pattern_of_char(text, is_after_escape=is_after_escape))
        is_after_escape = text.startswith("\\")
    return "".join(pieces)


def _pattern_of_char(char: str, *, is_after_escape: bool) -> str:
    literal = re.escape(char)
    if char.isascii() and char.isalnum():
        return literal
    bodies = "|".join(_escape_bodies(char))
    # After a backslash of the value, the backslash of an escape is already matched.
    escaped = f"(?:{_ESCAPE})?(?:{bodies})" if is_after_escape else f"{_ESCAPE}(?:{bodies})"
    forms = [*_QUOTED.get(char, ()), escaped, *_encodings(char), literal]
    return f"(?:{'|'.join(forms)})"


def _escape_bodies(char: str) -> Iterator[str]:
    """Yield the escapes of a character in JSON, Python, C and shells, without the backslash."""
    code, data = ord(char), char.encode("utf-8", "surrogatepass")
    if char in _LETTERS:
        yield _LETTERS[char]
    if code < 0x100:
        yield f"x(?i:{code:02x})"
        yield f"0?{code:03o}"
    if code < 0x10000:
        yield f"u(?i:{code:04x})"
    else:
        high, low = divmod(code - 0x10000, 0x400)
        yield f"u(?i:{0xD800 + high:04x}){_ESCAPE}u(?i:{0xDC00 + low:04x})"
    yield f"u\\{{0{{0,6}}(?i:{code:x})\\}}"
    yield f"U(?i:{code:08x})"
    if not char.isascii():
        yield _ESCAPE.join(f"x(?i:{byte:02x})" for byte in data)
        yield _ESCAPE.join(f"{byte:03o}" for byte in data)
    if char.isascii() and char.isprintable():
        yield f"{re.escape(char)}|%(?:25){{0,4}}(?i:{code:02x})"


def _encodings(char: str) -> Iterator[str]:
    """Yield the encodings of a character in URLs and HTML."""
    code = ord(char)
    data = char.encode("utf-8", "surrogatepass")
    yield "".join(f"%(?:25){{0,4}}(?i:{byte:02x})" for byte in data)
    if char == " ":
        yield r"\+"
    yield f"&(?:amp;)?#0{{0,6}}{code};"
    yield f"&(?:amp;)?#[xX]0{{0,6}}(?i:{code:x});"
    names = {codepoint2name.get(code, ""), "apos" if char == "'" else ""} - {""}
    yield from (f"&(?:amp;)?{name};" for name in sorted(names))


def _encoded(value: str) -> tuple[str, ...]:
    """Return the Base64 of *value* after any prefix, and its hexadecimal forms."""
    data = value.encode("utf-8", "surrogatepass")
    found: dict[str, None] = {}
    for shift in range(3):
        text = b64encode(bytes(shift) + data).decode().rstrip("=")
        core = text[-(-8 * shift // 6) : 8 * (shift + len(data)) // 6]
        if len(core) >= _LEAST_CORE:
            found[core] = None
            found[core.translate(str.maketrans("+/", "-_"))] = None
    found[data.hex()] = None
    found[data.hex().upper()] = None
    return tuple(found)


def _spelled(value: str) -> dict[str, list[str]]:
    """Return *value* fully escaped, and in hexadecimal with separators.

    The keys are marks that all forms of their list contain.
    """
    data = value.encode("utf-8", "surrogatepass")
    if len(data) < _LEAST_SPELLED:
        return {}
    units = value.encode("utf-16-be", "surrogatepass").hex()
    found: dict[str, None] = {}
    for each in (data.hex(), data.hex().upper()):
        pairs = [each[place : place + 2] for place in range(0, len(each), 2)]
        for before in ("%", "\\x", "\\\\x"):
            found["".join(before + pair for pair in pairs)] = None
        for between in (" ", ":", "-", ", "):
            found[between.join(pairs)] = None
    for each in (units, units.upper()):
        quads = [each[place : place + 4] for place in range(0, len(each), 4)]
        for before in ("\\u", "\\\\u"):
            found["".join(before + quad for quad in quads)] = None
    found["".join(f"\\{byte:03o}" for byte in data)] = None
    found["".join(f"\\\\{byte:03o}" for byte in data)] = None
    found["".join(f"&#{ord(char)};" for char in value)] = None
    for form in ("x", "X"):
        found["".join(f"&#x{format(ord(char), form)};" for char in value)] = None
    by_mark: dict[str, list[str]] = {}
    for each in found:
        by_mark.setdefault(each[0] if each[0] in "%\\&" else "", []).append(each)
    return by_mark


@lru_cache(maxsize=8)  # one text is searched for many secrets
def _joined(text: str) -> str | None:
    """Return *text* without line breaks if it may contain Base64 of several lines, else None."""
    return None if _WRAPPED.search(text) is None else re.sub(_BREAK, "", text)


@lru_cache(maxsize=256)
def _wrapped(core: str) -> re.Pattern[str]:
    edge = r"[A-Za-z0-9+/_-]"
    middle = f"{_BREAK}?".join(map(re.escape, core))
    return re.compile(rf"(?:{edge}{_BREAK}?){{0,2}}{middle}(?:{_BREAK}?{edge}){{0,2}}={{0,2}}")


def _cover(text: str, core: str, put: Callable[[str], str]) -> str:
    """Replace *core* and the neighbouring characters that encode bits of the same secret."""
    pieces, done = [], 0
    while (start := text.find(core, done)) >= 0:
        end = start + len(core)
        first = start
        while first > done and start - first < _EDGE and text[first - 1] in _BASE64:
            first -= 1
        last = end
        while last < len(text) and last - end < _EDGE and text[last] in _BASE64:
            last += 1
        while last < len(text) and text[last] == "=":
            last += 1
        pieces += [text[done:first], put(text[first:last])]
        done = last
    return "".join((*pieces, text[done:]))
