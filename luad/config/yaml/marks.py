"""The places of the keys and values of a document, read only to report a problem.

Rule: pure; lines in, places out.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

from yaml.cyaml import CParser  # type: ignore[attr-defined] # the stubs leave it out
from yaml.events import (
    AliasEvent,
    DocumentEndEvent,
    DocumentStartEvent,
    MappingEndEvent,
    MappingStartEvent,
    ScalarEvent,
    SequenceEndEvent,
    SequenceStartEvent,
    StreamStartEvent,
)

from luad.config.yaml.reader import Document

Path: TypeAlias = tuple[str | int, ...]
"""Keys and indices from the root of a document, as in a JSON pointer."""


@dataclass(frozen=True, slots=True)
class Span:
    """A place in the file, counted from 1, with an exclusive end.

    *style* is the style of a scalar: ``plain``, a quote, ``|``, ``>``; empty for others.
    """

    line: int
    column: int
    end_line: int
    end_column: int
    style: str = ""


@dataclass(frozen=True, slots=True)
class Marks:
    """The places of one document, as deep as a schema reaches.

    An unknown path has the place of the nearest path above it.
    """

    keys: dict[Path, Span]
    values: dict[Path, Span]

    def key(self, path: Path) -> Span:
        """Return the place of the last key of *path*."""
        return self.keys.get(path) or self.value(path)

    def value(self, path: Path) -> Span:
        """Return the place of the value at *path*."""
        while path not in self.values and path:
            path = path[:-1]
        return self.values.get(path) or Span(1, 1, 1, 2)


NO_MARKS: Final = Marks({}, {})


def read_marks(document: Document) -> Marks:
    """Return the places of a document that was read before; never raises.

    Only the lines of the document are parsed again. After a syntax error, the places before it are
    known.
    """
    lines = document.source.lines[document.first_line - 1 : document.last_line]
    marks = Marks({}, {})
    with suppress(Exception):  # the reader has reported this mistake
        _walk(CParser("\n".join(lines)), document.first_line, marks)
    return marks


_DEPTH: Final = 4
"""The depth of the deepest places in use: below it, the schemas accept any value (`metadata`)."""

_START: Final = (StreamStartEvent, DocumentStartEvent)
_NO_KEY: Final = object()


def _walk(  # noqa: C901 - one branch for each kind of event, as in the reader
    parser: Any, first_line: int, marks: Marks
) -> None:
    stack: list[tuple[Path, Any]] = []
    base: Path = ()  # the path of the open container
    key: Any = None  # place of the next value: a key, an index, None at the root
    while type(event := parser.get_event()) is not DocumentEndEvent:
        kind = type(event)
        if kind in _START:
            continue
        if kind is MappingEndEvent or kind is SequenceEndEvent:
            base, key = stack.pop()
            continue
        if len(stack) > _DEPTH:
            if kind is MappingStartEvent or kind is SequenceStartEvent:
                stack.append((base, key))
            continue
        span = _span(event, first_line)
        if key is _NO_KEY:
            key = event.value if kind is ScalarEvent else f"\0{event.start_mark.index}"
            if (*base, key) in marks.keys:
                key = f"\0{event.start_mark.index}"  # a duplicate: the first one counts
            marks.keys[*base, key] = span
            if kind is ScalarEvent or kind is AliasEvent:
                continue
            path = (*base, key)
            following = key
        else:
            path = base if key is None else (*base, key)
            marks.values[path] = span
            following = key + 1 if isinstance(key, int) else None if key is None else _NO_KEY
        if kind is MappingStartEvent:
            stack.append((base, following))
            base, key = path, _NO_KEY
        elif kind is SequenceStartEvent:
            stack.append((base, following))
            base, key = path, 0
        else:
            key = following


def _span(event: Any, first_line: int) -> Span:
    start, end = event.start_mark, event.end_mark
    style = (event.style or "plain") if type(event) is ScalarEvent else ""
    return Span(
        start.line + first_line, start.column + 1, end.line + first_line, end.column + 1, style
    )
