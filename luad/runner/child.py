"""The process of one run: it sets itself up, calls the handler, reports, and exits.

Rule: runs between fork and exit, and reports to the keeper alone. The handler may change this process
in any way; no code that runs after the handler relies on its state.
"""

from __future__ import annotations

import atexit
import faulthandler
import gc
import json
import os
import resource
import signal
import sys
import time
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any, Final, NoReturn

from luad.runner import prctl
from luad.runner.execution import Interrupt, execute
from luad.runner.loading import prepare_imports
from luad.runner.outcome import Failure, Outcome, describe
from luad.runner.run_logging import RunLogging
from luad.runner.shipped_handlers import refuse_hidden
from luad.runner.streams import flush_files
from luad.runner.warmth import Lesson
from luad.sdk.job import Job

if TYPE_CHECKING:
    from collections.abc import Callable

    from luad.runner.capture import Line
    from luad.runner.spec import LaunchSpec, LimitSpec

CONTROL: Final = 3
"""The only open descriptor of a handler besides stdin, stdout and stderr."""

RECORD: Final = b"L"
LESSON: Final = b"M"
RESULT: Final = b"R"
OUTCOME: Final = b"O"
_SPEC: Final = b"S"
_GO: Final = b"G"

_MAX_TASKS: Final = 100  # names in one packet
_MAX_PACKET: Final = 131_072  # a packet must fit into the socket's buffer, 208 KiB by default
_CHUNK: Final = 65_536
OOM_SCORE: Final = b"500"  # when memory runs out, the kernel kills handlers before the daemon
_MOST_DESCRIPTORS: Final = 256  # a forker never has more than a dozen open
_CPU_GRACE: Final = 5  # seconds between SIGXCPU and SIGKILL


class Control:
    """Sends reports to the keeper. Packets are atomic, so threads and forked children may send."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._inode = os.fstat(descriptor).st_ino
        self._pid = os.getpid()

    def send_record(self, line: Line) -> None:
        """Send a log record."""
        data = json.dumps(line, ensure_ascii=False).encode("utf-8", "replace")
        if len(data) > _MAX_PACKET:
            kept = {key: line[key] for key in ("ts", "stream", "level", "logger")}
            data = json.dumps({**kept, "message": line["message"][:4096]}).encode()
        self._send(RECORD + data)

    def send_outcome(self, outcome: Outcome) -> None:
        """Send the outcome of the handler."""
        if os.getpid() != self._pid:
            return  # a child that the handler has forked returned from the handler's code
        result = (outcome.result_json or "").encode()
        for start in range(0, len(result), _CHUNK):
            self._send(RESULT + result[start : start + _CHUNK])
        failure = outcome.failure
        report = {
            "kind": outcome.kind,
            "has_result": outcome.result_json is not None,
            "is_result_truncated": outcome.is_result_truncated,
            "result_omitted": outcome.result_omitted,
            "is_retryable": outcome.is_retryable,
            "failure": failure and [failure.type, failure.message, failure.traceback],
            "left_tasks": outcome.left_tasks[:_MAX_TASKS],
        }
        self._send(OUTCOME + json.dumps(report, ensure_ascii=False).encode("utf-8", "replace"))

    def send_lesson(self, found: dict[str, Any]) -> None:
        """Send what `warmth.Lesson` has found."""
        data = json.dumps(found).encode()
        if os.getpid() == self._pid and len(data) < _MAX_PACKET:
            self._send(LESSON + data)

    def _send(self, packet: bytes) -> None:
        with suppress(OSError):
            # A handler that closes all descriptors may use this number for a file of its own.
            if os.fstat(self._descriptor).st_ino == self._inode:
                os.write(self._descriptor, packet)


def spec_packets(spec: LaunchSpec, started_at: int) -> list[bytes]:
    """Return the packets that bring *spec* to a waiting handler."""
    data = json.dumps(spec).encode()
    parts = [_SPEC + data[start : start + _CHUNK] for start in range(0, len(data), _CHUNK)]
    return [*parts, _GO + str(started_at).encode()]


def _receive_spec() -> tuple[LaunchSpec, int]:
    data = bytearray()
    while packet := os.read(CONTROL, _MAX_PACKET):
        if packet.startswith(_GO):
            spec: LaunchSpec = json.loads(data)
            return spec, int(packet[1:])
        data += packet[1:]
    os._exit(0)  # the keeper gets no run


def run_child(parent: int, pipes: tuple[int, int, int]) -> NoReturn:
    """Wait for a `LaunchSpec`, run its handler, and exit.

    *parent* is the forker, *pipes* are stdout, stderr and the socket to the keeper.
    """
    try:
        _run(parent, pipes)
    except BaseException as error:  # noqa: BLE001 - nothing may leave this function
        with suppress(BaseException):
            os.write(2, f"luad: {describe(error).traceback}\n".encode())
    os._exit(70)


def _run(parent: int, pipes: tuple[int, int, int]) -> NoReturn:
    os.setsid()
    prctl.die_with_parent(signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(70)  # the forker died before the line above took effect
    prctl.become_subreaper()  # so that what this run leaves does not mix with what others leave
    _take_descriptors(pipes)
    control = Control(CONTROL)
    _reset_signals()
    with suppress(OSError):
        prctl.write_once("/proc/self/oom_score_adj", OOM_SCORE)
    reset_policy()
    gc.enable()
    if before_handler is not None:
        before_handler()
    spec, started_at = _receive_spec()
    outcome = carry_out(spec, started_at, control)
    _exit(outcome)


def carry_out(spec: LaunchSpec, started_at: int, control: Control) -> Outcome:
    """Run the handler of *spec* in this process, report its outcome to *control*, and return it."""
    _logging.send = control.send_record
    timeout_ms = spec["timeout_ms"]
    deadline = None if timeout_ms is None else started_at + timeout_ms
    job = Job(**spec["job"], started_at_ms=started_at, deadline_ms=deadline)
    lesson = None
    try:
        _apply_spec(spec)
    except Exception as error:  # noqa: BLE001 - the system may refuse any setting of a job
        failure = describe(error)
        # A retry cannot help an invalid value, but a missing folder may exist later.
        outcome = Outcome(
            "not_started",
            failure=Failure(failure.type, failure.message),
            is_retryable=not isinstance(error, ValueError),
        )
    else:
        lesson = Lesson() if spec.get("learn") else None
        outcome = _execute(job, spec)
    # The handler has ended: SIGTERM may end the process at once.
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    if lesson is not None and outcome.kind == "returned":
        _teach(lesson, spec, control)
    control.send_outcome(outcome)
    return outcome


def _teach(lesson: Lesson, spec: LaunchSpec, control: Control) -> None:
    """Report which packages the run has imported; an odd module of the handler does not matter."""
    with suppress(Exception):
        roots = [os.path.abspath(path) for path in spec["handlers_path"]]
        control.send_lesson(lesson.learn(spec["handler"], roots))


def send_records_to(send: Callable[[Line], None] | None) -> None:
    """Pass the log records of this process to *send*; None drops them."""
    _logging.send = send


def forget_run() -> None:
    """Reset what `carry_out` has changed in this module's objects, after practice."""
    _logging.send = None
    signal.signal(signal.SIGTERM, _interrupt.fire)


def _execute(job: Job, spec: LaunchSpec) -> Outcome:
    if spec["refusal"]:
        failure = Failure("HandlerError", spec["refusal"])
        return Outcome("not_started", failure=failure, is_retryable=False)
    return execute(
        job,
        spec["handler"],
        _interrupt,
        handlers_path=spec["handlers_path"],
        result_limit=spec["result_limit"],
        check=None if spec["allowed"] is None else partial(refuse_hidden, spec["allowed"]),
    )


def _take_descriptors(pipes: tuple[int, int, int]) -> None:
    stdout, stderr, control = pipes
    os.dup2(stdout, 1)
    os.dup2(stderr, 2)
    assert control > CONTROL, "the forker's own descriptors come first"
    os.dup2(control, CONTROL, inheritable=False)
    os.closerange(CONTROL + 1, _MOST_DESCRIPTORS)


def _reset_signals() -> None:
    signal.set_wakeup_fd(-1)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    # A stop that came earlier is pending, and takes effect now.
    signal.pthread_sigmask(signal.SIG_SETMASK, ())


_logging = RunLogging()
_policy = os.SCHED_BATCH  # the daemon's scheduling policy; set before the first fork
_interrupt = Interrupt()
before_handler: Callable[[], None] | None = None
"""Called in each forked process before it gets its run; a template sets it."""


def warm_up() -> None:
    """Do the set-up that all runs share, once in the spawner.

    SIGTERM and SIGINT are blocked in the spawner and in keepers, and have an effect in handlers only.
    """
    signal.signal(signal.SIGTERM, _interrupt.fire)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    for name in [name for name in os.environ if name.startswith("PYTHON")]:
        del os.environ[name]  # variables for the spawner's interpreter
    _logging.install()
    faulthandler.enable(2, all_threads=False)


def reset_policy() -> None:
    """Set the scheduling policy that the daemon has, for what this process runs or starts next."""
    if _policy == os.SCHED_OTHER:
        with suppress(OSError):
            os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))


def yield_to_daemon() -> None:
    """Set SCHED_BATCH, so that spawner and keepers do not preempt the daemon when they wake up.

    Without it a launch takes the loop 0.5 ms instead of 0.1 ms. Handlers reset the policy.
    """
    global _policy  # noqa: PLW0603 - children inherit it through fork
    _policy = os.sched_getscheduler(0)
    if _policy == os.SCHED_OTHER:
        with suppress(OSError):  # a sandbox may forbid it
            os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))


def _apply_spec(spec: LaunchSpec) -> None:
    """Set the environment, the working folder, the limits and the import path of the run."""
    environ = os.environ
    for name, value in spec["env"].items():  # `update` would ask abstract base classes
        environ[name] = value
    if "TZ" in spec["env"]:
        time.tzset()
    sys.argv = [spec["handler"]]
    prctl.set_name(spec["job"]["name"])
    os.chdir(spec["cwd"])
    _logging.set_level(spec["log_level"])
    if spec["nice"]:
        os.nice(spec["nice"])
    prepare_imports(
        spec["handlers_path"], spec["code_cache"], permit_insecure=spec["permit_insecure"]
    )
    _limit(spec["limits"])


def _limit(limits: LimitSpec) -> None:
    for which, soft, hard in system_limits(limits):
        resource.setrlimit(which, (soft, hard))


def system_limits(limits: LimitSpec) -> list[tuple[int, int, int]]:
    """Return number, soft and hard value of each limit; a lower limit of the system stays."""
    asked: list[tuple[int, int, int]] = []
    if (seconds := limits["cpu_seconds"]) is not None:
        asked.append((resource.RLIMIT_CPU, seconds, seconds + _CPU_GRACE))
    if (files := limits["open_files"]) is not None:
        asked.append((resource.RLIMIT_NOFILE, files, files))
    if (processes := limits["processes"]) is not None:
        asked.append((resource.RLIMIT_NPROC, processes, processes))
    if (memory := limits["memory_bytes"]) is not None:
        asked.append((resource.RLIMIT_AS, memory, memory))
    return [(which, _below(which, soft), _below(which, hard)) for which, soft, hard in asked]


def _below(which: int, value: int) -> int:
    ceiling = resource.getrlimit(which)[1]
    return value if ceiling == resource.RLIM_INFINITY else min(value, ceiling)


def _exit(outcome: Outcome) -> NoReturn:
    """Exit as a Python program does, but without tearing the interpreter down."""
    code = {"returned": 0, "exited": outcome.exit_code or 0}.get(outcome.kind, 1)
    if outcome.kind != "interrupted":  # a handler that was stopped does not wait for its threads
        threading: Any = sys.modules.get("threading")
        if threading is not None:
            with suppress(BaseException):
                threading._shutdown()  # noqa: SLF001 - as the interpreter does
        with suppress(BaseException):
            atexit._run_exitfuncs()  # noqa: SLF001 - the same
    flush_files()
    if outcome.kind == "interrupted":
        os.kill(os.getpid(), signal.SIGTERM)
    os._exit(code)
