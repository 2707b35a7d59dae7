"""The three switches of prctl(2) that runs need.

Room rule: only `keeper` and `spawner` import this; ctypes has no business in the daemon.
"""

from __future__ import annotations

import ctypes
import os

_SET_PDEATHSIG = 1
_SET_NAME = 15
_SET_CHILD_SUBREAPER = 36

_libc = ctypes.CDLL(None, use_errno=True)


def die_with_parent(signum: int) -> None:
    """Have the kernel send *signum* to this process when its parent dies."""
    _call(_SET_PDEATHSIG, ctypes.c_ulong(signum))


def become_subreaper() -> None:
    """Make this process the parent of all its descendants whose own parent has gone."""
    _call(_SET_CHILD_SUBREAPER, ctypes.c_ulong(1))


def set_name(name: str) -> None:
    """Set the name that ``ps -o comm`` and ``top`` show; the kernel keeps 15 bytes."""
    _call(_SET_NAME, ctypes.c_char_p(name.encode("ascii", "replace")[:15]))


def _call(option: int, argument: ctypes.c_ulong | ctypes.c_char_p) -> None:
    zero = ctypes.c_ulong(0)
    if _libc.prctl(ctypes.c_int(option), argument, zero, zero, zero) != 0:
        error = ctypes.get_errno()
        raise OSError(error, os.strerror(error), f"prctl({option})")
