"""YAML bytes to plain JSON values and problems, by libyaml's events.

Scalars follow the YAML 1.2 core schema where 1.1 agrees with it. A plain scalar that the two read
differently (``on``, ``010``, ``9:30``, ``1_000``, ``0x1F``, ``.inf``, a date) is text.

Rule: bytes in, values out; opens no file. Nothing of PyYAML's constructors is used: no tags, no
aliases, no YAML 1.1 scalars. Any bytes result in plain values.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from sys import intern
from typing import Any, Final

from yaml.cyaml import CParser  # type: ignore[attr-defined] # the stubs leave it out
from yaml.events import (
    AliasEvent,
    DocumentStartEvent,
    MappingEndEvent,
    MappingStartEvent,
    ScalarEvent,
    SequenceEndEvent,
    SequenceStartEvent,
    StreamEndEvent,
)

from luad.config.yaml.fix import apply_fixes
from luad.config.yaml.syntax import (
    alias_problem,
    syntax_problem,
    unquoted_expression,
    version_problem,
)
from luad.config.yaml.text import Source, check_text, one_line
from luad.core.model import JSON
from luad.errors import Problem, Severity


@dataclass(frozen=True, slots=True)
class Limits:
    """The limits of one file. *max_nodes* and *max_depth* are per document."""

    max_bytes: int = 1 << 20
    max_depth: int = 64
    max_nodes: int = 50_000
    max_scalar: int = 1 << 16
    max_documents: int = 100_000
    max_empty: int = 1_000  # empty documents
    max_problems: int = 100  # of one file; more would not help


@dataclass(slots=True)
class Document:
    """One document of a stream.

    *line* is the first line of its content, *first_line* and *last_line* include the markers. With
    *problems*, the value has what could be read, and is incomplete unless *is_complete*.
    """

    source: Source
    value: JSON = None
    line: int = 1
    first_line: int = 1
    last_line: int = 1
    problems: list[Problem] = field(default_factory=list)
    warnings: list[Problem] = field(default_factory=list)
    is_complete: bool = True
    is_empty: bool = False


class _StoppedError(Exception):
    """Reading must stop because of *problem*; *before* are the earlier problems."""

    def __init__(self, problem: Problem, before: Sequence[Problem] = ()) -> None:
        super().__init__(problem.message)
        self.problem = problem
        self.before = before


_MAX_REPAIRS: Final = 8  # unquoted expressions to correct, each by reading the file again
_MAX_REPAIRED_BYTES: Final = 1 << 16


def parse_yaml(data: bytes, path: str, limits: Limits) -> Iterator[Document]:
    """Yield the documents of a file, broken ones with their problems; never raises.

    Reading stops at a syntax error, except at the most common one: after a cron expression without
    quotes it continues as if the quotes were there.
    """
    source = Source(path, data)
    problem = _check_size(source, limits) or check_text(source)
    if problem is not None:
        yield Document(source, problems=[problem], is_complete=False)
        return
    done = 0
    repairs = 0
    pending: list[Problem] = []
    while True:
        broken = None
        for document in _read_stream(source, limits, skip=done):
            if repairs < _MAX_REPAIRS and _can_be_repaired(document):
                broken = document.problems[-1]
                break
            document.problems[:0] = pending
            pending = []
            done += 1
            yield document
        if broken is None:
            return
        repairs += 1
        pending.append(broken)
        source = Source(path, apply_fixes(source.data, [broken]))


def _check_size(source: Source, limits: Limits) -> Problem | None:
    if len(source.data) <= limits.max_bytes:
        return None
    message = f"the file has {len(source.data)} bytes; at most {limits.max_bytes} are read"
    hint = "split it, or raise `max_file_size` in luad.yaml"
    return Problem(source.path, 0, 0, "LU007", message, help=hint)


def _can_be_repaired(document: Document) -> bool:
    return (
        bool(document.problems)
        and document.problems[-1].code == "LU004"
        and len(document.source.data) <= _MAX_REPAIRED_BYTES
    )


def _read_stream(source: Source, limits: Limits, *, skip: int) -> Iterator[Document]:
    """Yield the documents after the first *skip*, until the end or the first syntax error."""
    document = Document(source)
    empty = 0
    try:
        next_event = CParser(source.data).get_event
        while type(event := next_event()) is not StreamEndEvent:
            if type(event) is DocumentStartEvent:
                document = _read_document(source, limits, next_event, event)
                if skip:
                    skip -= 1
                elif not document.is_empty or document.problems:
                    yield document
                else:
                    empty += 1
                    _check_empty(empty, document, limits)
                document = Document(source, line=document.last_line)
    except _StoppedError as stopped:
        problems = [*stopped.before, stopped.problem]
    except Exception as error:  # noqa: BLE001 - libyaml's binding raises more than YAMLError
        problems = [syntax_problem(source, error)]
    else:
        return
    yield Document(source, line=document.line, problems=problems, is_complete=False)


def _check_empty(count: int, document: Document, limits: Limits) -> None:
    if count > limits.max_empty:
        message = f"more than {limits.max_empty} empty documents"
        path, line = document.source.path, document.first_line
        raise _StoppedError(Problem(path, line, 1, "LU007", message, "delete them"))


def _read_document(
    source: Source, limits: Limits, next_event: Callable[[], Any], start: Any
) -> Document:
    builder = _Builder(source, limits)
    if start.tags:
        builder.refuse(start, "LU003", "tags are not used in luad's files", "remove the %TAG line")
    first = next_event()
    value, end = builder.build(first, next_event)
    if type(first) is MappingStartEvent or builder.problems:
        is_empty = False
    else:
        is_empty = value is None and type(first) is ScalarEvent and first.value == ""
    return Document(
        source,
        value,
        line=first.start_mark.line + 1,
        first_line=start.start_mark.line + 1,
        last_line=end.end_mark.line + bool(end.end_mark.column or end.explicit),
        problems=builder.problems,
        warnings=_warnings(source, start),
        is_complete=builder.is_complete,
        is_empty=is_empty,
    )


def _warnings(source: Source, start: Any) -> list[Problem]:
    """Return a warning about a `%YAML` line for 1.1, in which `no` and `010` mean other values."""
    if start.version in {None, (1, 2)}:
        return []
    line = start.start_mark.line + 1
    version = ".".join(map(str, start.version))
    return [replace(version_problem(source, line, version), severity=Severity.WARNING)]


# --- scalars -----------------------------------------------------------------------------------

_WORDS: Final[dict[str, JSON]] = {
    "": None,
    "~": None,
    **dict.fromkeys(("null", "Null", "NULL"), None),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
}
_MAY_BE_SPECIAL: Final = frozenset("~nNtTfF-+.0123456789")
_INTEGER: Final = re.compile(r"[-+]?(?:0|[1-9][0-9]*)", re.ASCII)
_FLOAT: Final = re.compile(
    r"[-+]?(?:(?:0|[1-9][0-9]*)(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][-+]?[0-9]+)?", re.ASCII
)
_MAX_INTEGER: Final = 2**63 - 1  # the range of a database column, and of other languages
_MAX_DIGITS: Final = 400


def resolve_plain(text: str) -> JSON:
    """Return the value of a scalar without quotes.

    Raises ``ValueError`` for a number of more than 64 bits.
    """
    if not text or text[0] not in _MAY_BE_SPECIAL:
        return text or None
    if text in _WORDS:
        return _WORDS[text]
    if _INTEGER.fullmatch(text):
        if len(text) > _MAX_DIGITS or abs(int(text)) > _MAX_INTEGER:
            raise ValueError(text)
        return int(text)
    if _FLOAT.fullmatch(text):
        number = float(text) if len(text) <= _MAX_DIGITS else float("inf")
        if number in (float("inf"), float("-inf")):
            raise ValueError(text)
        return number
    return text


# --- the builder -------------------------------------------------------------------------------

STAND_IN: Final = "\0"
"""The first character of keys that replace unusable ones; YAML text cannot contain it."""

_NO_KEY: Final = object()  # the next node of the mapping is a key


class _Builder:
    """Builds the value of one document. Iterative, so depth never overflows the stack."""

    def __init__(self, source: Source, limits: Limits) -> None:
        self.source = source
        self.limits = limits
        self.problems: list[Problem] = []
        self.is_complete = True
        self._reported: set[str] = set()

    def build(  # noqa: C901, PLR0912 - a call for each kind of event would double the cost
        self, event: Any, next_event: Callable[[], Any]
    ) -> tuple[JSON, Any]:
        """Read to the end of the document; return its value and the closing event."""
        root: list[JSON] = []
        container: Any = root  # the list or dict for the next value
        key: Any = None  # its key; None in a list, _NO_KEY before a key
        stack: list[tuple[Any, Any]] = []
        key_lines: dict[tuple[int, str], int] = {}
        nodes_left = self.limits.max_nodes
        while True:
            kind = type(event)
            if kind is ScalarEvent:
                value = self._scalar(event)
            elif kind is MappingEndEvent or kind is SequenceEndEvent:
                container, key = stack.pop()
                event = next_event()
                continue
            elif kind is MappingStartEvent or kind is SequenceStartEvent:
                if event.anchor is not None or event.tag is not None:
                    self._refuse_properties(event)
                if len(stack) >= self.limits.max_depth:
                    self._stop(event, f"nested deeper than {self.limits.max_depth} levels")
                value = {} if kind is MappingStartEvent else []
            elif kind is AliasEvent:
                value = self._alias(event)
            else:
                return root[0], event  # the end of the document
            nodes_left -= 1
            if nodes_left < 0:
                self._stop(event, f"more than {self.limits.max_nodes} values in one document")
            if key is None:
                container.append(value)
            elif key is _NO_KEY:
                if type(value) is str and value != "<<" and value not in container:
                    key = intern(value)  # ten thousand jobs share the words of the schema
                else:
                    key = self._odd_key(event, value, container, key_lines)
                key_lines[id(container), key] = event.start_mark.line + 1
            else:
                container[key] = value
                key = _NO_KEY
            if kind is MappingStartEvent:
                stack.append((container, key))
                container, key = value, _NO_KEY
            elif kind is SequenceStartEvent:
                stack.append((container, key))
                container, key = value, None
            event = next_event()

    def _scalar(self, event: Any) -> JSON:
        text: str = event.value
        if len(text) > self.limits.max_scalar:
            self._stop(event, f"a text longer than {self.limits.max_scalar} characters")
        if event.anchor is not None or event.tag is not None:
            self._refuse_properties(event)
        if event.implicit[0]:
            if text and text[0] not in _MAY_BE_SPECIAL:
                return text  # most scalars, without a call
            try:
                return resolve_plain(text)
            except ValueError:
                shown = text if len(text) <= 24 else f"{text[:21]}..."
                self.refuse(event, "LU006", f"the number {shown} needs more than 64 bits",
                            "quote it, if it is meant as text")  # fmt: skip
                return 0
        if event.style == '"' and "\0" in text:
            self.refuse(event, "LU005", "a text cannot contain NUL (`\\0`)", "delete it")
        return text

    def _alias(self, event: Any) -> JSON:
        self.is_complete = False
        line, column = event.start_mark.line + 1, event.start_mark.column + 1
        found = unquoted_expression(self.source, line, column)
        if found is not None:
            raise _StoppedError(found, self.problems)
        if "alias" not in self._reported:
            self._reported.add("alias")  # one report is enough
            self.problems.append(alias_problem(self.source, line, column))
        return None

    def _odd_key(
        self, event: Any, value: JSON, mapping: dict[str, JSON], lines: dict[tuple[int, str], int]
    ) -> str:
        """Report the problem of a key, and return a key to continue with."""
        stand_in = f"{STAND_IN}{event.start_mark.index}"  # unique
        if type(event) is not ScalarEvent:
            self.is_complete = False
            if type(event) is not AliasEvent:
                self.refuse(event, "LU008", "a key must be text, not a list or a mapping")
            return stand_in
        text: str = event.value
        if text == "<<" and event.implicit[0]:
            self.is_complete = False
            self.refuse(event, "LU003", "merge keys (`<<`) are not used in luad's files",
                        "write the keys out")  # fmt: skip
        elif type(value) is not str:
            what = {bool: "true or false", type(None): "no value"}.get(type(value), "a number")
            self.refuse(event, "LU008", f"a key must be text; YAML reads `{text[:64]}` as {what}",
                        f'quote it: "{text[:64]}"')  # fmt: skip
        if text in mapping:
            first = lines[id(mapping), text]
            self.refuse(event, "LU002", f"duplicate key `{text[:64]}`; the first is at line {first}",
                        "keep one of them")  # fmt: skip
            return stand_in
        return text

    def _refuse_properties(self, event: Any) -> None:
        if event.tag is not None:
            self.refuse(event, "LU003", "tags are not used in luad's files",
                        "quote the text, or remove the `!`")  # fmt: skip
        elif "anchor" not in self._reported:
            self._reported.add("anchor")
            self.refuse(event, "LU003", "anchors are not used in luad's files",
                        "write the value out; text that starts with `&` must be quoted")  # fmt: skip

    def refuse(self, event: object, code: str, message: str, help_text: str = "") -> None:
        """Record a problem at the start of *event*."""
        self.problems.append(self._problem(event, code, message, help_text))
        if len(self.problems) >= self.limits.max_problems:
            self._stop(event, "so many problems that the rest of the file is not read")

    def _stop(self, event: object, message: str) -> None:
        raise _StoppedError(self._problem(event, "LU007", message, ""), self.problems)

    def _problem(self, event: Any, code: str, message: str, help_text: str) -> Problem:
        start, end = event.start_mark, event.end_mark
        is_short = start.line == end.line and end.column > start.column
        return Problem(
            self.source.path,
            start.line + 1,
            start.column + 1,
            code,
            one_line(message),
            help=one_line(help_text),
            end_line=start.line + 1,
            end_column=end.column + 1 if is_short else start.column + 2,
        )
