"""Logs: one line per decision, made of fields, and never in anybody's way.

Rule: nothing here blocks the caller or raises into it. A line is rendered where it is said and
handed to one thread that writes; when the sink is broken or slow, lines are dropped and counted,
and the count is said as soon as the sink works again.

Form of the lines and names of the events: docs/reference/logs.md.
"""

from __future__ import annotations

import os
import stat
import sys
from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias

from luad.errors import UsageError
from luad.logs.redact import Redactor
from luad.logs.render import ConsoleLines, JournalDatagrams, JsonLines, Renderer, printable
from luad.logs.sink import Curtain, DatagramSink, DescriptorSink, LineQueue
from luad.logs.stdlib import StdlibRoute

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from structlog.typing import FilteringBoundLogger, Processor

Format: TypeAlias = Literal["auto", "console", "json", "journal"]

JOURNAL_SOCKET: Final = "/run/systemd/journal/socket"
LEVELS: Final = {"debug": 10, "info": 20, "warning": 30, "error": 40, "critical": 50}
_ARGUMENTS: Final = frozenset({"self", "level", "event"})  # what `log` calls its own arguments


def _import_structlog() -> Any:
    """Import structlog without rich, which it takes along for tracebacks of its own when it finds
    it: 40 ms and 5.5 MB of every daemon for something that is never called here.

    ``None`` in `sys.modules` is how Python itself says "there is no such module".
    """
    if "structlog" in sys.modules or "rich" in sys.modules:
        import structlog  # noqa: PLC0415 - nothing left to save

        return structlog
    sys.modules["rich"] = None  # type: ignore[assignment]  # documented by Python, not by typeshed
    try:
        import structlog  # noqa: PLC0415 - only between these two lines
    finally:
        del sys.modules["rich"]
    return structlog


structlog = _import_structlog()


class Logging:
    """What `configure` returns: the way to say lines, and to end well.

    *format* is the form that was chosen: ``console``, ``json`` or ``journal``.
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
        self.is_greeting = form == "console" and is_terminal
        """Whether a person reads along, who is told in one plain line first (see `greet`)."""

        self._queue = queue
        self._curtain = Curtain(queue.put, is_down=self.is_greeting)
        self._renderer = renderer
        self._route = StdlibRoute(self._say_library, has_callsite=form == "journal")
        processors: list[Processor] = [] if form != "journal" else [_callsite()]
        structlog.configure(
            processors=[*processors, renderer],
            wrapper_class=structlog.make_filtering_bound_logger(LEVELS[level]),
            logger_factory=lambda *_: _Mouth(self._curtain.put),
            context_class=dict,
            cache_logger_on_first_use=True,
        )
        self.logger: FilteringBoundLogger = structlog.get_logger()

    @property
    def dropped(self) -> int:
        """How many lines were lost since the start."""
        return self._queue.dropped

    def emit(self, level: str, event: str, fields: Mapping[str, Any]) -> None:
        """Say one line whose field names come from elsewhere; never raises.

        A field called like one of the line's own keys gets an underscore behind its name.
        """
        safe = {f"{key}_" if key in _ARGUMENTS else str(key): fields[key] for key in fields}
        self.logger.log(LEVELS.get(level, LEVELS["error"]), event, **safe)

    def greet(self, text: str) -> None:
        """Write *text* as a plain line, before all lines of the log that were held back for it."""
        line = printable(text)
        self._curtain.lift(f"{line}\n".encode(errors="backslashreplace"))

    @property
    def redactor(self) -> Redactor:
        """What takes the secrets out of lines; a secret that is added to it is masked from then on."""
        return self._renderer.redactor

    def flush(self, timeout_s: float = 1.0) -> bool:
        """Wait until everything said so far is written or given up; False when that took longer."""
        self._curtain.lift()
        return self._queue.flush(timeout_s)

    def close(self, timeout_s: float = 1.0) -> None:
        """Write what waits, for at most *timeout_s*, and stop. Lines said later are dropped."""
        self._route.close()
        self._curtain.lift()
        self._queue.close(timeout_s)

    def _say_library(self, fields: dict[str, Any], level: str) -> None:
        self._curtain.put(self._renderer(None, level, fields))


class _Mouth:
    """The innermost logger: structlog calls the method of the level with the finished line."""

    def __init__(self, put: Callable[[bytes], None]) -> None:
        self.debug = self.info = self.warning = self.error = self.critical = put


def configure(
    form: Format = "auto",
    level: str = "info",
    *,
    descriptor: int = 1,
    environ: Mapping[str, str] = os.environ,
    journal_socket: str = JOURNAL_SOCKET,
) -> Logging:
    """Set up the logs of this process; call `Logging.close` at its end.

    ``auto`` is ``journal`` when stderr is the journal's own stream, ``console`` on a terminal, else
    ``json``. The lines of other libraries come along from WARNING on. *descriptor* is duplicated:
    closing it later changes nothing. Raises `UsageError` for a form or level that does not exist.
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


def get_logger(**fields: Any) -> FilteringBoundLogger:
    """A logger with *fields* on every line; may be made before `configure`, not used before."""
    logger: FilteringBoundLogger = structlog.get_logger(**fields)
    return logger


def _choose(
    form: str, descriptor: int, environ: Mapping[str, str], journal_socket: str
) -> tuple[str, bool]:
    """The form to use, and whether it is a substitute for the one that was asked for."""
    if form not in ("auto", "console", "json", "journal"):
        raise UsageError(f"no log format `{form}`", hint="one of auto, console, json, journal")
    if form == "journal" and not os.path.exists(journal_socket):  # noqa: PTH110 - a plain question
        return "json", True
    if form != "auto":
        return form, False
    if _is_journal_stream(environ.get("JOURNAL_STREAM", "")) and os.path.exists(journal_socket):  # noqa: PTH110 - as above
        return "journal", False
    return ("console" if _is_terminal(descriptor) else "json"), False


def _is_journal_stream(wanted: str) -> bool:
    """Is stderr the very stream that systemd connected, and not something put in its place?"""
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
    """https://no-color.org: any non-empty NO_COLOR says no; FORCE_COLOR says yes off a terminal."""
    if environ.get("NO_COLOR"):
        return False
    return bool(environ.get("FORCE_COLOR")) or (
        _is_terminal(descriptor) and environ.get("TERM") != "dumb"
    )


def _callsite() -> Processor:
    """CODE_FILE, CODE_LINE and CODE_FUNC of whoever said the line; only the journal shows them."""
    wanted = structlog.processors.CallsiteParameter
    processor: Processor = structlog.processors.CallsiteParameterAdder(
        {wanted.PATHNAME, wanted.LINENO, wanted.FUNC_NAME}, additional_ignores=["luad.logs"]
    )
    return processor


def _dropped(count: int) -> dict[str, Any]:
    return {"event": "log.dropped", "count": count}


__all__ = [
    "Format",
    "Logging",
    "configure",
    "get_logger",
]
