"""The forms in which a secret stands in a text: as it is, escaped, quoted, or encoded.

Room rule: pure. Finding takes time linear in the text, and no form is decoded to be found.
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
"""An escape may stand in an escaped text: JSON in JSON."""

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
"""How shells, SQL, YAML and CSV write a quote between quotes."""

_RUN: Final = re.compile(r"[A-Za-z0-9]+")
_LEAST_CORE: Final = 6
_BASE64: Final = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/-_")
_EDGE: Final = 2  # characters of Base64 that hold bits of a neighbour as well


class Spellings:
    """All forms of one *value*."""

    def __init__(self, value: str) -> None:
        self.value = value
        runs = _RUN.findall(value)
        self.gate = max(runs, key=len, default="")
        is_plain = self.gate == value
        self._pattern = None if is_plain else re.compile(_pattern_of(value))
        self._encoded = _encoded(value)

    def may_stand_in(self, text: str) -> bool:
        """Say whether a form may stand in *text*, be it text or JSON; quick, and in doubt yes."""
        return self.gate in text or any(each in text for each in self._encoded)

    def replace(self, text: str, put: Callable[[str], str]) -> str:
        """Return *text* with each form replaced by what *put* makes of it."""
        if self.gate in text:
            if self._pattern is None:
                text = text.replace(self.value, put(self.value))
            else:
                text = self._pattern.sub(lambda found: put(found[0]), text)
        for each in self._encoded:
            if each in text:
                text = _cover(text, each, put)
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
    # After a backslash of the value, the one of an escape has been taken already.
    escaped = f"(?:{_ESCAPE})?(?:{bodies})" if is_after_escape else f"{_ESCAPE}(?:{bodies})"
    forms = [*_QUOTED.get(char, ()), escaped, *_encodings(char), literal]
    return f"(?:{'|'.join(forms)})"


def _escape_bodies(char: str) -> Iterator[str]:
    """Yield what follows the backslash of an escape in JSON, Python, C and shells."""
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
    """Yield what stands for a character in addresses and in HTML."""
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
    """Return what is seen of *value* in Base64, whatever stands before it, and in hexadecimal."""
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


def _cover(text: str, core: str, put: Callable[[str], str]) -> str:
    """Replace *core* with the characters beside it that hold bits of the same secret."""
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
