"""A template: a forker that has imported installed packages, so that its handlers need not.

It is made by the forker of a keeper, in the environment and the folder of the runs that it is for. It imports
no module of the handlers' folders, because their top level runs anew in every run. It refuses itself when an
import leaves what a fork does not copy well: threads of Python, open files, signal handlers, processes, or
output that each run would have shown.

Rule: the order of the imports is that of a run; what cannot be repeated faithfully is refused.
"""

from __future__ import annotations

import gc
import importlib
import json
import os
import signal
import socket
import sys
import threading
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final, NoReturn, TypedDict

from luad.runner import child
from luad.runner.forker import Forker, run_below_keeper
from luad.runner.outcome import describe
from luad.runner.processes import children_of, read_stat

if TYPE_CHECKING:
    from collections.abc import Callable

RESERVE: Final = 2
MOST_BYTES: Final = 268_435_456
"""A template that needs more memory of its own is refused."""

PACKET: Final = 131_072
_NUMPY: Final = "numpy.random"
_IMPORT_S: Final = 60  # the kernel ends a template whose imports take longer


class Order(TypedDict):
    """The packages to import, and the world in which a run would import them."""

    modules: list[str]
    env: dict[str, str]
    cwd: str


class RefusedError(Exception):
    """The packages cannot be imported before a run; the message says why."""


def run_template(link: socket.socket, parent: int) -> NoReturn:
    """Run this forked process as a template for the keeper at the other end of *link*.

    *parent* is the forker that has made it.
    """
    run_below_keeper(parent, lambda: _serve(link))


def _serve(link: socket.socket) -> None:
    stat = read_stat(os.getpid())
    begun = {"begun": [os.getpid(), stat.start_ticks if stat else 0]}
    link.send(json.dumps(begun).encode())
    data = link.recv(PACKET)
    if not data:
        return
    try:
        import_packages(json.loads(data))
    except RefusedError as error:
        link.send(json.dumps({"refused": str(error)}).encode())
        return
    link.send(json.dumps({"ready": True}).encode())
    Forker(link, RESERVE).serve()


def import_packages(order: Order) -> None:
    """Import the packages of *order*. Raises `RefusedError`."""
    for name, value in order["env"].items():
        os.environ[name] = value
    if "TZ" in order["env"]:
        time.tzset()
    try:
        os.chdir(order["cwd"])
    except OSError as error:
        raise RefusedError(str(error)) from None
    output = os.memfd_create("luad-template")
    for descriptor in (1, 2):
        os.dup2(output, descriptor)
    before = _State()
    signal.setitimer(signal.ITIMER_REAL, _IMPORT_S)
    for name in order["modules"]:
        _import(name)
    signal.setitimer(signal.ITIMER_REAL, 0)
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    if os.fstat(output).st_size or before.records:
        raise RefusedError("an import writes output")
    before.compare()
    with open(os.devnull, "wb") as nowhere:
        for descriptor in (1, 2):
            os.dup2(nowhere.fileno(), descriptor)
    os.close(output)
    child.before_handler = renewal()
    gc.collect()
    gc.freeze()


def _import(name: str) -> None:
    try:
        importlib.import_module(name)
    except BaseException as error:  # noqa: BLE001 - the package's own code runs in here
        raise RefusedError(f"{name}: {describe(error).message}") from None


class _State:
    """The things that an import may leave in a process, and that a fork does not copy well."""

    def __init__(self) -> None:
        self.records = 0
        child.send_records_to(self._count)
        self._files = _open_files()
        self._signals = _signal_handlers()
        self._path = sys.path[:]
        self._environ = dict(os.environ)

    def _count(self, _line: object) -> None:
        self.records += 1

    def compare(self) -> None:
        """Raise `RefusedError` if an import has left anything."""
        child.send_records_to(None)
        if threading.active_count() > 1:
            raise RefusedError("an import starts a thread")
        if _open_files() != self._files:
            raise RefusedError("an import opens a file")
        if _signal_handlers() != self._signals:
            raise RefusedError("an import sets a signal handler")
        if children_of(os.getpid()):
            raise RefusedError("an import starts a process")
        if sys.path != self._path or dict(os.environ) != self._environ:
            raise RefusedError("an import changes the environment or the import path")
        if (size := _own_bytes()) > MOST_BYTES:
            raise RefusedError(f"the packages need {size:,} bytes of memory")


def _open_files() -> list[str]:
    return sorted(os.listdir("/proc/self/fd"))


def _signal_handlers() -> tuple[object, ...]:
    numbers = sorted(signal.valid_signals())  # without those that the C library uses for threads
    caught = 0
    with suppress(OSError), open("/proc/self/status") as file:  # handlers of C code, too
        found = (int(line.split()[1], 16) for line in file if line.startswith("SigCgt"))
        caught = next(found, 0) & sum(1 << (number - 1) for number in numbers)
    return caught, *map(signal.getsignal, numbers)


def _own_bytes() -> int:
    with open("/proc/self/statm") as file:
        fields = file.read().split()
    return (int(fields[1]) - int(fields[2])) * os.sysconf("SC_PAGE_SIZE")


def renewal() -> Callable[[], None] | None:
    """Return a function that gives each handler random numbers of its own; None if none is needed.

    Python itself renews the state of the module `random` at each fork.
    """
    found: list[Any] = []
    random = sys.modules.get("random")
    if random is not None:
        usual = random.seed.__self__
        found = [
            each.seed
            for each in gc.get_objects()
            if isinstance(each, random.Random)
            and each is not usual
            and not isinstance(each, random.SystemRandom)
        ]
    numpy = sys.modules.get(_NUMPY)
    if numpy is not None and hasattr(numpy, "seed"):
        found.append(numpy.seed)
    if not found:
        return None

    def renew() -> None:
        for seed in found:
            seed()

    return renew
