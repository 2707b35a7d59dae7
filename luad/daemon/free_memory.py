"""Returns memory to the system that the start has needed and freed.

The C library keeps it otherwise: some 200 bytes for each job, and as much for each file that was read.
"""

from __future__ import annotations

import ctypes


def return_free_memory() -> None:
    """Return free memory to the system, where the C library can; call this in a thread.

    It takes some milliseconds, in which the interpreter goes on.
    """
    libc = ctypes.CDLL(None)
    if hasattr(libc, "malloc_trim"):  # glibc has it, musl has not
        libc.malloc_trim(0)
