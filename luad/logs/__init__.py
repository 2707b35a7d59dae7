"""Logs: one line for each decision, made of fields.

Rule: logging never blocks the caller and never raises. The caller's thread renders a line, and one other
thread writes it. If the sink is broken or slow, lines are dropped and counted, and the count is logged as
soon as the sink works again.

Form of the lines and names of the events: docs/reference/logs.md.
"""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING, Final, Literal, TypeAlias

import structlog

from luad.errors import UsageError
from luad.logs.redact import Redactor
from luad.logs.render import ConsoleLines, JournalDatagrams, JsonLines, Renderer, printable
from luad.logs.sink import DatagramSink, DescriptorSink, LineQueue, StartBuffer
from luad.logs.stdlib import StdlibRoute

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from structlog.typing import FilteringBoundLogger, Processor

Format: TypeAlias = Literal["auto", "console", "json", "journal"]

JOURNAL_SOCKET: Final = "/run/systemd/journal/socket"
LEVELS: Final = {"debug": 10, "info": 20, "warning": 30, "error": 40, "critical": 50}
_ARGUMENTS: Final = frozenset({"self", "level", "event"})  # names of the arguments of `log`


class Logging:
    """The logger of this process, from `configure`; `close` ends it.

    *format* is the chosen form: ``console``, ``json`` or ``journal``.
    """

    def __init__(
        self,
        form: str,
        level: str,
        queue: LineQueue,
        renderer: Renderer,
        *,
        is_terminal: bool = False,
    ) -> None:
        self.format = form
        self.has_first_line = form == "console" and is_terminal
        """True if a user reads the log on a terminal, where a plain line comes first."""

        self._queue = queue
        self._start_buffer = StartBuffer(queue.put, is_holding=self.has_first_line)
        self._renderer = renderer
        self._route = StdlibRoute(self._log_library, has_callsite=form == "journal")
        self._needs_callsite = form == "journal"
        self._threshold = LEVELS[level]
        processors: list[Processor] = [_callsite()] if self._needs_callsite else []
        structlog.configure(
            processors=[*processors, renderer],
            wrapper_class=structlog.make_filtering_bound_logger(LEVELS[level]),
            logger_factory=lambda *_: _LineLogger(self._start_buffer.put),
            context_class=dict,
            cache_logger_on_first_use=True,
        )
        self.logger: FilteringBoundLogger = structlog.get_logger()

    @property
    def dropped(self) -> int:
        """The number of lines that were lost since the start."""
        return self._queue.dropped

    def emit(self, level: str, event: str, fields: Mapping[str, object]) -> None:
        """Log one line with fields of any name; never raises.

        A field with the name of one of the line's own keys gets an underscore after its name.
        """
        safe = {f"{key}_" if key in _ARGUMENTS else str(key): fields[key] for key in fields}
        number = LEVELS.get(level, LEVELS["error"])
        if self._needs_callsite:
            self.logger.log(number, event, **safe)
        elif number >= self._threshold:  # what structlog does with it, without its layers
            name = level if level in LEVELS else "error"
            self._start_buffer.put(self._renderer(None, name, {"event": event, **safe}))

    def write_first_line(self, text: str) -> None:
        """Write *text* as a plain line, before the log lines that were held back for it."""
        line = printable(text)
        self._start_buffer.release(f"{line}\n".encode(errors="backslashreplace"))

    @property
    def redactor(self) -> Redactor:
        """Masks secrets in lines; a secret that is added to it is masked from then on."""
        return self._renderer.redactor

    def flush(self, timeout_s: float = 1.0) -> bool:
        """Wait until all earlier lines are written or dropped; False after *timeout_s*."""
        self._start_buffer.release()
        return self._queue.flush(timeout_s)

    def close(self, timeout_s: float = 1.0) -> None:
        """Write the waiting lines, for at most *timeout_s*, and stop. Later lines are dropped."""
        self._route.close()
        self._start_buffer.release()
        self._queue.close(timeout_s)

    def _log_library(self, fields: dict[str, object], level: str) -> None:
        self._start_buffer.put(self._renderer(None, level, fields))


class _LineLogger:
    """The innermost logger: structlog calls the method of the level with the rendered line."""

    def __init__(self, put: Callable[[bytes], None]) -> None:
        for name in LEVELS:
            setattr(self, name, put)


def configure(
    form: Format = "auto",
    level: str = "info",
    *,
    descriptor: int = 1,
    environ: Mapping[str, str] = os.environ,
    journal_socket: str = JOURNAL_SOCKET,
) -> Logging:
    """Set up the logs of this process; call `Logging.close` at its end.

    ``auto`` is ``journal`` if stderr is the journal's own stream, ``console`` on a terminal, else
    ``json``. Records of other libraries are logged from WARNING on. *descriptor* is duplicated, so the
    caller may close it. Raises `UsageError` for a form or level that does not exist.
    """
    if level not in LEVELS:
        raise UsageError(f"no log level `{level}`", hint=f"one of {', '.join(LEVELS)}")
    chosen, is_fallback = _choose(form, descriptor, environ, journal_socket)
    redactor = Redactor()
    renderer: Renderer
    sink: DatagramSink | DescriptorSink
    if chosen == "journal":
        renderer, sink = JournalDatagrams(redactor), DatagramSink(journal_socket)
    elif chosen == "console":
        renderer = ConsoleLines(redactor, has_colour=_wants_colour(descriptor, environ))
        sink = DescriptorSink(descriptor)
    else:
        renderer, sink = JsonLines(redactor), DescriptorSink(descriptor)
    queue = LineQueue(sink, lambda count: renderer(None, "warning", _dropped(count)))
    logs = Logging(chosen, level, queue, renderer, is_terminal=_is_terminal(descriptor))
    if is_fallback:
        logs.logger.warning("log.fallback", wanted="journal", used=chosen, socket=journal_socket)
    return logs


def get_logger(**fields: object) -> FilteringBoundLogger:
    """Return a logger with *fields* on every line; use it only after `configure`."""
    logger: FilteringBoundLogger = structlog.get_logger(**fields)
    return logger


def _choose(
    form: str, descriptor: int, environ: Mapping[str, str], journal_socket: str
) -> tuple[str, bool]:
    """Return the form to use, and True if it replaces the wanted one."""
    if form not in ("auto", "console", "json", "journal"):
        raise UsageError(f"no log format `{form}`", hint="one of auto, console, json, journal")
    if form == "journal" and not os.path.exists(journal_socket):  # noqa: PTH110 - no Path is needed
        return "json", True
    if form != "auto":
        return form, False
    if _is_journal_stream(environ.get("JOURNAL_STREAM", "")) and os.path.exists(journal_socket):  # noqa: PTH110 - as above
        return "journal", False
    return ("console" if _is_terminal(descriptor) else "json"), False


def _is_journal_stream(wanted: str) -> bool:
    """Return True if stderr is the stream that systemd connected, and was not replaced."""
    try:
        status = os.fstat(2)
    except OSError:
        return False
    return stat.S_ISSOCK(status.st_mode) and wanted == f"{status.st_dev}:{status.st_ino}"


def _is_terminal(descriptor: int) -> bool:
    try:
        return os.isatty(descriptor)
    except OSError:
        return False


def _wants_colour(descriptor: int, environ: Mapping[str, str]) -> bool:
    """Return True for colours: NO_COLOR turns them off, FORCE_COLOR on (https://no-color.org)."""
    if environ.get("NO_COLOR"):
        return False
    return bool(environ.get("FORCE_COLOR")) or (
        _is_terminal(descriptor) and environ.get("TERM") != "dumb"
    )


def _callsite() -> Processor:
    """Return the processor that adds the place of the call in the code, for the journal."""
    wanted = structlog.processors.CallsiteParameter
    return structlog.processors.CallsiteParameterAdder(
        {wanted.PATHNAME, wanted.LINENO, wanted.FUNC_NAME}, additional_ignores=["luad.logs"]
    )


def _dropped(count: int) -> dict[str, object]:
    return {"event": "log.dropped", "count": count}


__all__ = [
    "Format",
    "Logging",
    "configure",
    "get_logger",
]
