"""The three options of prctl(2) that runs need, and files of /proc that do the same.

Rule: imported by the processes of runs, and once by the daemon when it starts.
"""

from __future__ import annotations

import ctypes
import os

_SET_PDEATHSIG = 1
_SET_NAME = 15
_SET_CHILD_SUBREAPER = 36

_prctl = ctypes.CDLL(None, use_errno=True).prctl
# Declared, so that a call right after a fork makes no objects.
_prctl.argtypes = [ctypes.c_int, *[ctypes.c_ulong] * 4]


def die_with_parent(signum: int) -> None:
    """Ask the kernel to send *signum* to this process when its parent dies."""
    _call(_SET_PDEATHSIG, signum)


def become_subreaper() -> None:
    """Make this process the parent of its descendants whose own parent dies."""
    _call(_SET_CHILD_SUBREAPER, 1)


def set_name(name: str) -> None:
    """Set the name that ``ps -o comm`` and ``top`` show; the kernel keeps 15 bytes."""
    data = name.encode("ascii", "replace")[:15]
    try:
        write_once("/proc/self/comm", data)  # touches fewer pages than a call by ctypes
    except OSError:
        _call(_SET_NAME, ctypes.addressof(ctypes.create_string_buffer(data)))


def write_once(path: str, data: bytes) -> None:
    """Write *data* to a file of /proc, without the objects that `open` makes. Raises ``OSError``."""
    descriptor = os.open(path, os.O_WRONLY)
    try:
        os.write(descriptor, data)
    finally:
        os.close(descriptor)


def _call(option: int, argument: int) -> None:
    if _prctl(option, argument, 0, 0, 0) != 0:
        error = ctypes.get_errno()
        raise OSError(error, os.strerror(error), f"prctl({option})")
