"""The exit codes, and errors as text and as JSON.

Rule: it turns errors into text and numbers, and nothing else.
"""

from __future__ import annotations

from enum import IntEnum
from typing import TYPE_CHECKING, Final

from luad.errors import LuadError

if TYPE_CHECKING:
    from collections.abc import Sequence


class ExitCode(IntEnum):
    """The exit codes of all commands; scripts rely on the numbers."""

    OK = 0
    ERROR = 1  # unclassified; also: `check` found errors
    USAGE = 2
    NOT_FOUND = 3
    RUN_FAILED = 4
    RUN_CANCELLED = 5
    DELIVERY_FAILED = 6
    TIMEOUT = 7
    CONFLICT = 8
    AUTH = 9
    FORBIDDEN = 10
    UNAVAILABLE = 11
    CONFIG = 78  # EX_CONFIG, only `serve`: systemd does not restart it
    INTERRUPTED = 130  # 128 + SIGINT
    BROKEN_PIPE = 141  # 128 + SIGPIPE, as for programs that do not catch it


EXIT_CODES: Final = {
    "usage": ExitCode.USAGE,
    "validation": ExitCode.USAGE,
    "not_found": ExitCode.NOT_FOUND,
    "run_failed": ExitCode.RUN_FAILED,
    "run_cancelled": ExitCode.RUN_CANCELLED,
    "timeout": ExitCode.TIMEOUT,
    "ambiguous": ExitCode.USAGE,
    "conflict": ExitCode.CONFLICT,
    "name_taken": ExitCode.CONFLICT,
    "file_owned": ExitCode.CONFLICT,
    "file_exists": ExitCode.CONFLICT,
    "too_many_jobs": ExitCode.CONFLICT,
    "too_many_runs": ExitCode.CONFLICT,
    "idempotency_in_progress": ExitCode.CONFLICT,
    "idempotency_key_reused": ExitCode.CONFLICT,
    "already_running": ExitCode.CONFLICT,
    "precondition_failed": ExitCode.CONFLICT,
    "unauthenticated": ExitCode.AUTH,
    "forbidden": ExitCode.FORBIDDEN,
    "handler_not_allowed": ExitCode.FORBIDDEN,
    "delivery_failed": ExitCode.DELIVERY_FAILED,
    "unavailable": ExitCode.UNAVAILABLE,
    "draining": ExitCode.UNAVAILABLE,
    "store_unavailable": ExitCode.UNAVAILABLE,
    "interrupted": ExitCode.INTERRUPTED,
    "schedule": ExitCode.USAGE,
    "settings": ExitCode.USAGE,
    "bad_request": ExitCode.USAGE,
    "too_large": ExitCode.USAGE,
    "header_too_large": ExitCode.USAGE,
    "unsupported_media_type": ExitCode.USAGE,
    "host_not_allowed": ExitCode.FORBIDDEN,
    "rate_limited": ExitCode.UNAVAILABLE,
    "overloaded": ExitCode.UNAVAILABLE,
}

STATUSES: Final[dict[int, int]] = {
    ExitCode.USAGE: 400,
    ExitCode.NOT_FOUND: 404,
    ExitCode.TIMEOUT: 504,
    ExitCode.CONFLICT: 409,
    ExitCode.AUTH: 401,
    ExitCode.FORBIDDEN: 403,
    ExitCode.UNAVAILABLE: 503,
}


class CommandError(LuadError):
    """The error of a command; *code* is the reason.

    *body* holds lines that follow the message unchanged (an excerpt with a caret). *exit_code* replaces the
    exit code of *code*.
    """

    def __init__(
        self,
        message: str,
        *,
        code: str = "error",
        hint: str = "",
        body: Sequence[str] = (),
        exit_code: int | None = None,
    ) -> None:
        super().__init__(message, hint=hint)
        self.code = code
        self.exit_code = exit_code
        self.body = tuple(body)


class EarlyExit(Exception):  # noqa: N818 - the end of a command is not an error
    """Ends the command with this exit code; the command has printed its errors already."""

    def __init__(self, code: int) -> None:
        super().__init__(code)
        self.code = code


def exit_code_of(error: LuadError) -> int:
    """Return the exit code of *error*: that of its code, else that of its class."""
    if isinstance(error, CommandError) and error.exit_code is not None:
        return error.exit_code
    named = EXIT_CODES.get(error.code)
    if named is None:
        for parent in type(error).__mro__:
            named = named or EXIT_CODES.get(getattr(parent, "code", ""))
    return ExitCode.ERROR if named is None else named


def as_text(error: LuadError) -> list[str]:
    """Return the lines for users: `error[code]: message`, excerpt, details, hint."""
    lines = [f"error[{error.code}]: {error.message}"]
    lines += [f"  {line}" for line in getattr(error, "body", ())]
    errors = getattr(error, "errors", ())
    for item in errors:
        where = str(item.get("pointer") or item.get("parameter") or "")
        where = where.removeprefix("#/").replace("/", ".")
        detail = str(item.get("detail", ""))
        if len(errors) == 1 and error.message.endswith(detail):  # the message has it already
            lines += [f"  at {where}"] if where else []
        else:
            lines.append(f"  {where + ': ' if where else ''}{detail}")
        if item.get("hint") and item["hint"] != error.hint:
            lines.append(f"    hint: {item['hint']}")
    hint = error.hint or did_you_mean(getattr(error, "suggestions", ()))
    if hint:
        lines.append(f"  hint: {hint}")
    return lines


def as_problem(error: LuadError) -> dict[str, object]:
    """Return the RFC 9457 object for programs."""
    code = error.code
    status = 422 if code in {"schedule", "settings"} else STATUSES.get(exit_code_of(error), 500)
    problem: dict[str, object] = {
        "type": f"/problems/{code.replace('_', '-')}",
        "title": code.replace("_", " ").capitalize(),
        "status": getattr(error, "status", status),
        "code": code,
        "detail": error.message,
    }
    suggestions = getattr(error, "suggestions", ())
    if hint := error.hint or did_you_mean(suggestions):
        problem["hint"] = hint
    if suggestions:
        problem["suggestions"] = list(suggestions)
    if errors := getattr(error, "errors", ()):
        problem["errors"] = [dict(item) for item in errors]
    return problem


def did_you_mean(suggestions: Sequence[str]) -> str:
    """Return the hint that offers *suggestions*; empty without any."""
    if not suggestions:
        return ""
    return "did you mean " + " or ".join(f"`{name}`" for name in suggestions) + "?"
