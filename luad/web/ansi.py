"""Text with colours of a terminal as HTML: each colour is a class, and every other escape is shown.

Rule: pure. All text is escaped; what comes from a handler is never markup.
"""

from __future__ import annotations

import re
from typing import Final

from markupsafe import Markup

from luad.web.times import shown

_COLOUR: Final = re.compile("\x1b\\[([0-9;]{0,40})m")
_NAMES: Final = ("black", "red", "green", "yellow", "blue", "magenta", "cyan", "white")
_MOST: Final = 400
"""The most changes of colour in a line; after them its escapes are shown as text."""


def coloured(value: object) -> Markup:
    """Return text as HTML; a part with a colour or in bold is in an element with these classes."""
    text = str(value)
    if "\x1b" not in text:
        return shown(text)
    pieces, classes, last = [], frozenset[str](), 0
    for number, match in enumerate(_COLOUR.finditer(text)):
        if number >= _MOST:
            break
        pieces.append(_piece(text[last : match.start()], classes))
        classes, last = _after(classes, match[1]), match.end()
    pieces.append(_piece(text[last:], classes))
    return Markup("").join(pieces)


def _piece(text: str, classes: frozenset[str]) -> Markup:
    if not classes or not text:
        return shown(text)
    return Markup('<span class="{}">{}</span>').format(" ".join(sorted(classes)), shown(text))


def _after(classes: frozenset[str], codes: str) -> frozenset[str]:
    """Return the classes that hold after an escape with *codes*."""
    found = set(classes)
    numbers = [int(each) for each in codes.split(";") if each] or [0]
    for code in numbers:
        if code in (38, 48):  # 256 colours and more have no class; the rest of the escape is theirs
            break
        if code == 0:
            found.clear()
        elif code == 1:
            found.add("a-bold")
        elif code == 22:
            found.discard("a-bold")
        elif code == 39 or code in range(30, 38) or code in range(90, 98):
            found = {each for each in found if each == "a-bold"}
            if code != 39:
                found.add(f"a-{_NAMES[code % 10]}")
    return frozenset(found)
