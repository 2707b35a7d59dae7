"""Mistakes at paths of a document, to problems at places of its file.

Rule: pure.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from luad.config.problems import with_excerpts
from luad.config.schema.violations import Mistake
from luad.config.yaml.marks import Marks, Path, Span, read_marks
from luad.config.yaml.reader import Document, Limits, parse_yaml
from luad.config.yaml.text import one_line
from luad.core.model import Origin
from luad.errors import Problem, Severity

_QUOTES = frozenset("'\"")


def locate(mistake: Mistake, document: Document, marks: Marks) -> Problem:
    """Return the problem for *mistake*, at the narrowest place that shows it."""
    source = document.source
    span = _span_of(mistake, marks)
    text = source.line(span.line)
    end_column = span.end_column if span.end_line == span.line else len(text.rstrip()) + 1
    column, note = span.column, mistake.note
    if mistake.within is not None:
        column, end_column, is_narrow = _narrow(mistake.within, span, text, end_column)
        note = note if is_narrow else ""
    content = _content(mistake, document, marks, span) if mistake.rename else ""
    fix = (span.column, end_column, content) if content else None
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


def document_of(origin: Origin, data: bytes) -> Document | None:
    """Return the YAML document of *data* that begins at *origin*, or None."""
    documents = parse_yaml(data, origin.path, Limits(max_bytes=len(data) + 1))
    return next((each for each in documents if each.line == origin.line), None)


def place_in(
    mistakes: Iterable[Mistake], origin: Origin, data: bytes, job: str = ""
) -> tuple[Problem, ...]:
    """Return the problems of a document that was read before, with their lines.

    If *data* has no document at *origin*, the problems are at the line of *origin*.
    """
    document = document_of(origin, data)
    if document is None:
        return tuple(replace(at_line(each, origin), job=job) for each in mistakes)
    marks = read_marks(document)
    located = [replace(locate(each, document, marks), job=job) for each in mistakes]
    return with_excerpts(located, data)


def at_line(mistake: Mistake, origin: Origin) -> Problem:
    """Return the problem for *mistake*, at the line where its document begins."""
    severity = Severity.WARNING if mistake.is_warning else Severity.ERROR
    message, help_text = one_line(mistake.message), one_line(mistake.help)
    where = pointer(mistake.path)
    return Problem(
        origin.path, origin.line, 1, mistake.code, message, help_text, severity, pointer=where
    )


def pointer(path: Path) -> str:
    """Return the RFC 6901 pointer of a path."""
    return "".join("/" + str(each).replace("~", "~0").replace("/", "~1") for each in path)


def _content(mistake: Mistake, document: Document, marks: Marks, span: Span) -> str:
    """Return the key to write, preceded by the schedule's type if that is missing."""
    if not mistake.kind:
        return mistake.rename
    value = marks.value(mistake.path[:1])
    is_flow = document.source.line(value.line)[value.column - 1 : value.column] == "{"
    between = ", " if is_flow else "\n" + " " * (span.column - 1)
    return f"type: {mistake.kind}{between}{mistake.rename}"


def _span_of(mistake: Mistake, marks: Marks) -> Span:
    path = mistake.path
    if mistake.code == "LU101":  # a missing key has no place, but its container has
        return _head_of(path[:-1], marks)
    if not path:
        return _head_of(path, marks)
    if mistake.is_key or mistake.code == "LU106":  # without a value, only the key is visible
        return marks.key(path)
    return marks.value(path)


def _head_of(path: Path, marks: Marks) -> Span:
    """Return the place of the key of a mapping or list; of the document, its first key."""
    if path:
        return marks.key(path)
    return next((span for key, span in marks.keys.items() if len(key) == 1), marks.value(()))


def _narrow(within: tuple[int, int], span: Span, text: str, end: int) -> tuple[int, int, bool]:
    """Return the columns of a part of a scalar, and whether they are exact.

    With escapes or folding the offsets are not reliable, so the whole scalar is returned.
    """
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
