"""A mistake at a path of a document becomes a problem at a place of the file.

Room rule: pure.
"""

from __future__ import annotations

from luad.config.check import Mistake
from luad.config.marks import Marks, Path, Span
from luad.config.text import one_line
from luad.config.yaml import Document
from luad.errors import Problem, Severity

_QUOTES = frozenset("'\"")


def locate(mistake: Mistake, document: Document, marks: Marks) -> Problem:
    """Return the problem that *mistake* is, at the narrowest place that shows it."""
    source = document.source
    span = _span_of(mistake, marks)
    text = source.line(span.line)
    end_column = span.end_column if span.end_line == span.line else len(text.rstrip()) + 1
    column, note = span.column, mistake.note
    if mistake.within is not None:
        column, end_column, is_narrow = _narrow(mistake.within, span, text, end_column)
        note = note if is_narrow else ""
    fix = (span.column, end_column, mistake.rename) if mistake.rename else None
    return Problem(
        source.path,
        span.line,
        column,
        mistake.code,
        one_line(mistake.message),
        help=one_line(mistake.help),
        severity=Severity.WARNING if mistake.is_warning else Severity.ERROR,
        end_line=span.line,
        end_column=max(end_column, column + 1),
        note=note,
        pointer=pointer(mistake.path),
        fix=fix,
    )


def pointer(path: Path) -> str:
    """Return the RFC 6901 pointer of a path."""
    return "".join("/" + str(each).replace("~", "~0").replace("/", "~1") for each in path)


def _span_of(mistake: Mistake, marks: Marks) -> Span:
    path = mistake.path
    if mistake.code == "LU101":  # what is missing has no place; what it is missing from has
        return _head_of(path[:-1], marks)
    if not path:
        return _head_of(path, marks)
    if mistake.is_key or mistake.code == "LU106":  # no value: the key is all there is to see
        return marks.key(path)
    return marks.value(path)


def _head_of(path: Path, marks: Marks) -> Span:
    """The key of a mapping or list; of the whole document, its first key."""
    if path:
        return marks.key(path)
    return next((span for key, span in marks.keys.items() if len(key) == 1), marks.value(()))


def _narrow(within: tuple[int, int], span: Span, text: str, end: int) -> tuple[int, int, bool]:
    """Where a part of a scalar stands. With escapes or folding, nobody can tell: all of it."""
    start = span.column + (span.style in _QUOTES)
    inner = text[start - 1 : end - 1 - (span.style in _QUOTES)]
    is_literal = span.end_line == span.line and (
        span.style == "plain"
        or (span.style == '"' and "\\" not in inner)
        or (span.style == "'" and "''" not in inner)
    )
    if not is_literal:
        return span.column, end, False
    return start + within[0], start + max(within[1], within[0] + 1), True
