"""The errors of libyaml, as problems with advice.

Rule: pure; one error in, one problem out.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from typing import Any, Final

from luad.config.yaml.text import Source
from luad.errors import Problem

_FIELD: Final = r"[\w*/?#-]+(?:,[\w*/?#-]+)*"
_CRON: Final = re.compile(
    rf"(?:\*{_FIELD}|\*)(?:[ \t]+{_FIELD}){{4,5}}(?=[ \t]*(?:$|,|\}}|\]|[ \t]#))", re.ASCII
)
_ALIAS_WORD: Final = re.compile(
    r"@(?:yearly|annually|monthly|weekly|daily|midnight|hourly|reboot)(?=[ \t]*(?:$|,|\}|\]|[ \t]#))",
    re.ASCII,
)
_CRONTAB: Final = re.compile(rf"\*\S*(?:[ \t]+{_FIELD}){{4}}[ \t]+\S", re.ASCII)
_KEY_BEFORE: Final = re.compile(r"([\w-]+)\s*:\s*$", re.ASCII)
_MAX_LINE: Final = 2_000  # longer lines are not searched for cron expressions

# libyaml's message -> our message, our help
_WORDS: Final[dict[str, tuple[str, str]]] = {
    "could not find expected ':'": (
        "a line that is neither `key: value` nor the rest of the text above",
        "write  key: value",
    ),
    "did not find expected '-' indicator": (
        "a `- ` was expected here",
        "items of one list start in the same column, each with `- `",
    ),
    "did not find expected ',' or '}'": ("a `,` or `}` was expected here", "close the `{` with `}`"),
    "did not find expected ',' or ']'": ("a `,` or `]` was expected here", "close the `[` with `]`"),
    "found unknown escape character": (
        "this escape does not exist in a double-quoted text",
        "use single quotes, which take a backslash as it is, or write two backslashes",
    ),
    "block sequence entries are not allowed in this context": (
        "a list item cannot start here",
        "put `- ` on a line of its own, indented below its key",
    ),
    "mapping keys are not allowed in this context": ("a key cannot start here", ""),
    "did not find expected <document start>": (
        "a document cannot start here",
        "write a line `---` between two jobs of a file",
    ),
    "found unknown directive name": ("this directive is not known", "remove the line"),
    "found duplicate %YAML directive": ("a second %YAML line", "remove it"),
    "found an indentation indicator equal to 0": (
        "an indentation of 0 does not exist",
        "write `|` or `>` alone",
    ),
    "found a tab character that violates indentation": (
        "a tab cannot indent",
        "indent with spaces",
    ),
    "found a tab character where an indentation space is expected": (
        "a tab cannot indent",
        "indent with spaces",
    ),
    "found undefined tag handle": ("tags are not used in luad's files", "remove the `!`"),
    "found unexpected ':'": ("a `:` is not allowed here", "quote the text that contains it"),
    "found invalid Unicode character escape code": (
        "this escape names no character",
        r"a character beyond U+FFFF is written \U0001F600, with eight digits",
    ),
    "found unexpected document indicator": (
        "a `---` inside a quoted text",
        "a quote is missing above",
    ),
    "did not find expected comment or line break": (
        "nothing but a comment may follow here",
        "start the text on the next line, indented",
    ),
    "found incompatible YAML document": ("this version of YAML is not known", "remove the %YAML line"),
}  # fmt: skip


def syntax_problem(source: Source, error: Exception) -> Problem:
    """Return the problem for libyaml's *error*."""
    complaint = str(getattr(error, "problem", None) or "this is not YAML")
    context = str(getattr(error, "context", None) or "")
    mark: Any = getattr(error, "problem_mark", None)
    start: Any = getattr(error, "context_mark", None) or mark
    line, column = (mark.line + 1, mark.column + 1) if mark else (0, 0)
    if start and ("scanning an alias" in context or "scanning an anchor" in context):
        return alias_problem(source, start.line + 1, start.column + 1)
    found = _directive_problem(source, line) or unquoted_expression(source, line, column)
    if found is not None:
        return found
    if complaint == "found unexpected end of stream" and start:
        # Report the opening quote instead of the end of the file.
        return _problem(
            source, start.line + 1, start.column + 1, "this quote is never closed", "close it"
        )
    text = source.line(line)
    before, char = text[: column - 1], text[column - 1 : column]
    if complaint in _BY_PLACE:
        message, help_text = _BY_PLACE[complaint](before, char)
    else:
        message, help_text = _WORDS.get(complaint, (complaint, ""))
    if complaint == "did not find expected <document start>" and _follows_directive(source, line):
        message, help_text = "a line `---` is missing", "write it below the %YAML line"
    if start and start.line + 1 < line and complaint.startswith("did not find expected '"):
        message += f" (the list or mapping starts at line {start.line + 1})"
    return _problem(source, line, column, message, help_text)


# Messages that depend on the text before, and on the character at the place.


def _wrong_start(_before: str, char: str) -> tuple[str, str]:
    if char == "\t":
        return "a tab cannot indent", "indent with spaces"
    return (
        f"a value cannot start with {'a backtick' if char == '`' else f'`{char}`'}",
        "quote the text",
    )


def _second_colon(before: str, _char: str) -> tuple[str, str]:
    if before.startswith("---"):
        return "a key beside `---`", "start the document on the next line"
    if re.search(r":\s", before):
        return (
            "a second `: ` in one line",
            "text that contains `: ` must be quoted; a nested key goes on a line of its own, indented",
        )
    return (
        "this key is indented further than the keys it belongs to",
        "keys of one mapping start in the same column",
    )


def _no_key(before: str, char: str) -> tuple[str, str]:
    if char in "]}" and char:
        return f"a stray `{char}`", "delete it"
    if char == "-":
        return "a list item where a key is expected", "indent the list below its key"
    if before.strip():
        return "nothing may follow here", "quote the whole text, or start a new line"
    return (
        "no key above has the indentation of this line",
        "keys of one mapping start in the same column",
    )


def _no_value(_before: str, char: str) -> tuple[str, str]:
    if char == ",":
        return "a comma with nothing before it", "delete it"
    if not char:
        return "the file ends inside a list or mapping", "close the `[` or `{` that is open"
    return "a value was expected here", "quote text that starts with a special sign"


_BY_PLACE: Final[dict[str, Callable[[str, str], tuple[str, str]]]] = {
    "found character that cannot start any token": _wrong_start,
    "mapping values are not allowed in this context": _second_colon,
    "did not find expected key": _no_key,
    "did not find expected node content": _no_value,
}


def _follows_directive(source: Source, line: int) -> bool:
    above = [source.line(each).strip() for each in range(max(1, line - 5), line)]
    written = [each for each in above if each and not each.startswith("#")]
    return bool(written) and written[-1].startswith("%")


_VERSION: Final = re.compile(r"%YAML[ \t]+([0-9]+\.[0-9]+)[ \t]*(?:#.*)?")


def _directive_problem(source: Source, line: int) -> Problem | None:
    """Return the problem of a line that begins with `%`; None if libyaml's message is better."""
    text = source.line(line).rstrip() if line else ""
    if not text.startswith("%"):
        return None
    name = text.split(maxsplit=1)[0]
    rest = text[len(name) :].strip()
    column = text.find(rest, len(name)) + 1 if rest else 1
    if found := _VERSION.fullmatch(text):
        if any(source.line(each).startswith("%YAML") for each in range(max(1, line - 1), line)):
            return None  # a second one
        return version_problem(source, line, found[1])
    if name == "%YAML":
        what = (
            f"`{rest}` is not a version of YAML"
            if rest
            else "the `%YAML` line does not have a version"
        )
        return _problem(source, line, column, what, "write  %YAML 1.2  or delete the line")
    if name == "%TAG":
        message = "tags are not used in luad's files"
        return replace(_problem(source, line, 1, message, "remove the %TAG line"), code="LU003")
    message = f"`{name[:40]}` is not a directive of YAML"
    hint = "write  %YAML 1.2  or delete the line"
    return _problem(source, line, 1, message, f"{hint}; quote a text that begins with `%`")


def version_problem(source: Source, line: int, version: str) -> Problem:
    """Return the problem of a `%YAML` line with another version than 1.2."""
    column = source.line(line).find(version) + 1
    message = f"the file asks for YAML {version}, and luad reads YAML 1.2"
    return _problem(source, line, column, message, "write  %YAML 1.2  or delete the line")


def alias_problem(source: Source, line: int, column: int) -> Problem:
    """Return the problem of a `*` or `&` at the start of a value."""
    found = unquoted_expression(source, line, column)
    if found is not None:
        return found
    text = source.line(line)
    if _CRONTAB.match(text):
        return _problem(
            source,
            line,
            column,
            "this is a line of a crontab, not a job file",
            'write  schedule: {type: cron, expression: "..."}, handler: luad.handlers.shell:run, '
            "metadata: {command: ...}",
        )
    if text[column - 1 : column] == "&":
        return _problem(
            source, line, column, "anchors are not used in luad's files", "quote the text"
        )
    return Problem(
        source.path,
        line,
        column,
        "LU003",
        "aliases are not used in luad's files",
        help="write the value out; text that starts with `*` must be quoted",
        end_line=line,
        end_column=column + 1,
    )


def unquoted_expression(source: Source, line: int, column: int) -> Problem | None:
    """Return LU004 if a cron expression without quotes is at the place, else None."""
    text = source.line(line)
    if not text or len(text) > _MAX_LINE:
        return None
    found = _CRON.match(text, column - 1) or _ALIAS_WORD.match(text, column - 1)
    if found is None:
        return None
    first, content = _written_out(text[: column - 1], f'"{found[0]}"')
    shown = content
    if first == column and (key := _KEY_BEFORE.search(text[: column - 1])):
        shown = f"{key[1]}: {content}"
    is_star = found[0].startswith("*")
    return Problem(
        source.path,
        line,
        column,
        "LU004",
        "cron expression must be quoted",
        help=f"write  {shown}",
        end_line=line,
        end_column=column + 1,
        note="YAML reads `*` as an alias" if is_star else "YAML reserves `@`",
        fix=(first, column + len(found[0]), content),
    )


def _written_out(before: str, quoted: str) -> tuple[int, str]:
    """Return the column to write from, and the text: a whole schedule if there is none."""
    whole = f"{{type: cron, expression: {quoted}}}"
    if re.search(r"(?:^|[{,])\s*schedule\s*:\s*$", before):
        return len(before) + 1, whole
    if re.fullmatch(r"(?:cron|crontab|expression|pattern|cron_expression)\s*:\s*", before):
        return 1, f"schedule: {whole}"
    flow = re.fullmatch(
        r"(\s*schedule\s*:\s*\{\s*)(?:cron|crontab|pattern|expression)\s*:\s*", before
    )
    if flow:
        return len(flow[1]) + 1, f"type: cron, expression: {quoted}"
    return len(before) + 1, quoted


def _problem(source: Source, line: int, column: int, message: str, help_text: str) -> Problem:
    return Problem(
        source.path,
        line,
        column,
        "LU001",
        message,
        help=help_text,
        end_line=line,
        end_column=column + 1 if column else 0,
    )
