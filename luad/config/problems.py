"""Problems as text for terminals, and as JSON, SARIF and GitHub commands for programs.

Rule: bytes in, values out; opens no file, and decides nothing about validity.
"""

from __future__ import annotations

import dataclasses
import json
import unicodedata
from collections.abc import Callable, Collection, Iterable, Sequence
from typing import Final

from luad.config.problem_pages import PAGES, url_of
from luad.config.secrets import hiding, without_secrets
from luad.errors import Problem, Severity

CODES: Final[dict[str, str]] = {
    "LU001": "syntax",
    "LU002": "duplicate-key",
    "LU003": "anchor-alias-tag",
    "LU004": "unquoted-expression",
    "LU005": "character",
    "LU006": "quote-it",
    "LU007": "limit",
    "LU008": "not-a-mapping",
    "LU030": "not-a-file",
    "LU031": "file-owner",
    "LU032": "file-mode",
    "LU033": "folder-owner",
    "LU034": "folder-mode",
    "LU035": "link-outside",
    "LU036": "unreadable",
    "LU037": "file-size",
    "LU038": "no-folder",
    "LU039": "not-mounted",
    "LU040": "file-acl",
    "LU041": "folder-acl",
    "LU042": "link-owner",
    "LU101": "missing-key",
    "LU102": "unknown-key",
    "LU103": "wrong-type",
    "LU104": "bad-value",
    "LU105": "foreign-key",
    "LU106": "no-value",
    "LU107": "keys-at-odds",
    "LU110": "metadata",
    "LU111": "params-schema",
    "LU112": "foreign-file",
    "LU201": "cron-field",
    "LU202": "interval",
    "LU203": "never-fires",
    "LU204": "cron-fields",
    "LU205": "time-zone",
    "LU206": "instant",
    "LU207": "jitter",
    "LU208": "isolation",
    "LU209": "queue",
    "LU301": "no-function",
    "LU302": "import-failed",
    "LU303": "signature",
    "LU304": "handler-shape",
    "LU305": "import-hangs",
    "LU306": "handler-not-trusted",
    "LU307": "not-allowed",
    "LU308": "stored-job",
    "LU310": "reserved-name",
    "LU311": "never-imported",
    "LU312": "hides-package",
    "LU315": "program-not-found",
    "LU401": "duplicate-job",
    "LU402": "file-and-dynamic",
    "LU403": "duplicate-user",
    "LU404": "unknown-user",
    "LU405": "too-often",
    "LU501": "dst",
    "LU502": "once",
    "LU503": "overlap",
    "LU504": "no-effect",
    "LU505": "literal-variable",
    "LU506": "variable-without-effect",
    "LU507": "runs-too-often",
    "LU508": "either-day",
    "LU509": "uneven-step",
    "LU510": "no-summer-time",
    "LU511": "not-read",
    "LU512": "handler-gone",
    "LU513": "no-time-limit",
    "LU514": "settings-changed",
    "LU520": "interval-in-a-zone",
    "LU601": "channel-type",
    "LU602": "channel-url",
    "LU603": "channel-service",
    "LU604": "reference",
    "LU605": "secret-in-clear",
    "LU606": "duplicate-channel",
    "LU607": "stored-user",
}
"""Each code with its short name; `luad.errors` defines the ranges."""

_MAX_LINE: Final = 160  # characters of a line that an excerpt shows
_CONTEXT: Final = 1  # lines before and after

# --- excerpts ----------------------------------------------------------------------------------


def split_lines(data: bytes) -> list[str]:
    """Return the lines of a file as an editor counts them; invalid bytes become U+FFFD."""
    text = data.decode("utf-8-sig", errors="replace")
    return text.replace("\r\n", "\n").replace("\r", "\n").split("\n")


def with_excerpts(
    problems: Iterable[Problem], data: bytes, secrets: Collection[str] = ()
) -> tuple[Problem, ...]:
    """Return the problems with the lines around each place, without secrets.

    Hidden are *secrets*, and values that are secrets by their place.
    """
    lines: list[str] | None = None
    hidden = hiding(secrets)
    found = []
    for problem in problems:
        if problem.line and not problem.excerpt:
            lines = split_lines(data) if lines is None else lines
            problem = dataclasses.replace(  # noqa: PLW2901 - the same problem
                problem, excerpt=excerpt(lines, problem.line, hidden)
            )
        found.append(without_secrets(problem, hidden))
    return tuple(found)


def excerpt(
    lines: Sequence[str], line: int, hidden: Callable[[str], str] = str
) -> tuple[tuple[int, str], ...]:
    """Return line number *line* (from 1) and its neighbours, without blank neighbours.

    *hidden* is applied to each line before the line is cut.
    """
    first = max(1, line - _CONTEXT)
    last = min(len(lines), line + _CONTEXT)
    # Only the line itself is not cut, because the place may be anywhere in it.
    return tuple(
        (number, _cut(hidden(lines[number - 1]), is_whole=number == line))
        for number in range(first, last + 1)
        if number == line or lines[number - 1].strip()
    )


def _cut(line: str, *, is_whole: bool) -> str:
    return line if is_whole else line[:_MAX_LINE].rstrip()


# --- for terminals --------------------------------------------------------------------------------


def place(problem: Problem) -> str:
    """Return ``file:line:col``, or the path alone for a problem of the whole file."""
    if not problem.line:
        return problem.path
    return f"{problem.path}:{problem.line}:{problem.column}"


def headline(problem: Problem) -> str:
    """Return ``CODE message``, or ``CODE warning: message``."""
    word = "warning: " if problem.severity is Severity.WARNING else ""
    return f"{problem.code} {word}{problem.message}"


def render_concise(problems: Iterable[Problem]) -> str:
    """Return one line per problem: ``file:line:col: CODE message (help)``, and ``[fix]``."""
    return "".join(
        f"{place(problem)}: {headline(problem)}{f' ({problem.help})' if problem.help else ''}"
        f"{' [fix]' if problem.fix is not None else ''}\n"
        for problem in problems
    )


def render_full(problems: Iterable[Problem]) -> str:
    """Return each problem with its place, the lines around it, a caret and the help."""
    return "\n".join(_render_one(problem) for problem in problems)


def _render_one(problem: Problem) -> str:
    lines = [headline(problem), f" --> {place(problem)}"]
    width = max((len(str(number)) for number, _ in problem.excerpt), default=1)
    bar = " " * width + " |"
    if problem.excerpt:
        lines.append(bar)
        start = _window(problem)
        for number, text in problem.excerpt:
            shown = _printable(text[start : start + _MAX_LINE])
            lines.append(f"{number:>{width}} | {shown}".rstrip())
            if number == problem.line:
                lines.append(f"{bar} {_caret(problem, text, start)}")
        lines.append(bar)
    if problem.help:
        lines.append(f"{' ' * width} = help: {problem.help}")
    lines.append(f"{' ' * width} = more: luad help {problem.code}; {_mended_by(problem)}")
    return "\n".join(lines) + "\n"


def _mended_by(problem: Problem) -> str:
    if problem.fix is not None:
        return "luad check --fix corrects it"
    return "write what the help says" if "write " in problem.help else "correct it by hand"


def _window(problem: Problem) -> int:
    """Return the number of characters to cut from the left of a very long line."""
    return 0 if problem.column <= _MAX_LINE - 40 else problem.column - 40


def _caret(problem: Problem, text: str, start: int) -> str:
    first = max(problem.column - 1 - start, 0)
    shown = text[start : start + _MAX_LINE]
    end = problem.end_column - 1 - start if problem.end_line in (0, problem.line) else len(shown)
    end = max(first + 1, min(end, max(len(shown), first + 1)))
    lead = _columns(shown[:first]) + max(0, first - len(shown))
    marks = "^" * max(1, _columns(shown[first:end]))
    return f"{' ' * lead}{marks} {problem.note}".rstrip()


def _columns(text: str) -> int:
    """Return the number of terminal columns of *text* once `_printable`."""
    return sum(
        0 if unicodedata.combining(char) else 2 if unicodedata.east_asian_width(char) in "WF" else 1
        for char in _printable(text)
    )


def _printable(text: str) -> str:
    # Control characters of a job file must not reach a terminal.
    return "".join(char if char.isprintable() else " " if char == "\t" else "�" for char in text)


def summary(problems: Sequence[Problem]) -> str:
    """Return ``2 errors, 1 warning in 2 files.``, and how many of them `--fix` corrects."""
    warnings = sum(problem.severity is Severity.WARNING for problem in problems)
    files = len({problem.path for problem in problems})
    text = f"{_count(len(problems) - warnings, 'error')}, {_count(warnings, 'warning')}"
    text += f" in {_count(files, 'file')}."
    fixable = sum(problem.fix is not None for problem in problems)
    return f"{text}  {fixable} fixable with --fix." if fixable else text


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


# --- for programs ------------------------------------------------------------------------------


def to_json(problem: Problem) -> dict[str, object]:
    """Return a problem with the keys that ruff uses, which editors and CI understand."""
    location = {"row": problem.line, "column": problem.column}
    end_location = {
        "row": problem.end_line or problem.line,
        "column": problem.end_column or problem.column,
    }
    return {
        "code": problem.code,
        "name": CODES.get(problem.code, ""),
        "severity": problem.severity.value,
        "filename": problem.path,
        "location": location,
        "end_location": end_location,
        "message": problem.message,
        "help": problem.help,
        "job": problem.job or None,
        "pointer": problem.pointer,
        "fix": _fix_json(problem),
        "fixable": problem.fix is not None,
        "url": url_of(problem.code),
    }


def _fix_json(problem: Problem) -> dict[str, object] | None:
    if problem.fix is None:
        return None
    first, end, content = problem.fix
    edit = {
        "content": content,
        "location": {"row": problem.line, "column": first},
        "end_location": {"row": problem.line, "column": end},
    }
    return {"applicability": "safe", "edits": [edit]}


def render_json(problems: Iterable[Problem]) -> str:
    """Return a JSON list of `to_json`."""
    return json.dumps([to_json(problem) for problem in problems], indent=2, ensure_ascii=False)


def to_github(problem: Problem) -> str:
    """Return a workflow command, which GitHub shows beside the line."""
    properties = {
        "file": problem.path,
        "line": problem.line or 1,
        "col": problem.column or 1,
        "title": problem.code,
    }
    if problem.end_line == problem.line and problem.end_column > problem.column:
        properties["endColumn"] = problem.end_column - 1  # inclusive, there
    listed = ",".join(f"{key}={_escape(str(value), ':,')}" for key, value in properties.items())
    return f"::{problem.severity.value} {listed}::{_escape(_remark(problem))}"


def _remark(problem: Problem) -> str:
    """Return the message with its help, the URL of its page, and whether `--fix` corrects it."""
    text = f"{problem.message} ({problem.help})" if problem.help else problem.message
    return f"{text}\n{_mended_by(problem)}; {url_of(problem.code)}"


def _escape(text: str, more: str = "") -> str:
    for char in "%\r\n" + more:
        text = text.replace(char, f"%{ord(char):02X}")
    return text


def render_github(problems: Iterable[Problem]) -> str:
    """Return one workflow command per line."""
    return "".join(f"{to_github(problem)}\n" for problem in problems)


def to_sarif(problems: Sequence[Problem], *, version: str = "") -> dict[str, object]:
    """Return a SARIF 2.1.0 log with one run."""
    codes = sorted({problem.code for problem in problems})
    driver = {
        "name": "luad",
        "version": version,
        "rules": [
            {
                "id": code,
                "name": CODES.get(code, code),
                "fullDescription": {"text": PAGES.get(code, CODES.get(code, code))},
                "helpUri": url_of(code),
            }
            for code in codes
        ],
    }
    return {
        "$schema": "https://json.schemastore.org/sarif-2.1.0.json",
        "version": "2.1.0",
        "runs": [{"tool": {"driver": driver}, "results": [_sarif_result(p) for p in problems]}],
    }


def _sarif_result(problem: Problem) -> dict[str, object]:
    physical: dict[str, object] = {"artifactLocation": {"uri": problem.path}}
    if problem.line:
        physical["region"] = {
            "startLine": problem.line,
            "startColumn": problem.column,
            "endLine": problem.end_line or problem.line,
            "endColumn": problem.end_column or problem.column + 1,
        }
    text = f"{problem.message} ({problem.help})" if problem.help else problem.message
    found: dict[str, object] = {
        "ruleId": problem.code,
        "level": problem.severity.value,
        "message": {"text": text},
        "locations": [{"physicalLocation": physical}],
        "properties": {"fixable": problem.fix is not None, "url": url_of(problem.code)},
    }
    if problem.fix is not None:
        first, end, content = problem.fix
        region = {"startLine": problem.line, "startColumn": first, "endColumn": end}
        change = {"deletedRegion": region, "insertedContent": {"text": content}}
        artifact = {"artifactLocation": {"uri": problem.path}, "replacements": [change]}
        found["fixes"] = [{"artifactChanges": [artifact]}]
    return found


def render_sarif(problems: Sequence[Problem], *, version: str = "") -> str:
    """Return the SARIF log as text."""
    return json.dumps(to_sarif(problems, version=version), indent=2, ensure_ascii=False)
