"""Memory that the start has freed goes back to the system."""

from __future__ import annotations

import ctypes
import mmap

import pytest

from luad.daemon.free_memory import return_free_memory

MIB = 1 << 20
BLOCK = 4_096


def resident() -> int:
    """The bytes of this process that are in memory."""
    with open("/proc/self/statm", "rb") as file:  # noqa: PTH123 - as short as it gets
        return int(file.read().split()[1]) * mmap.PAGESIZE


def test_free_memory_below_memory_in_use_is_returned() -> None:
    libc = ctypes.CDLL(None)
    if not hasattr(libc, "malloc_trim"):
        pytest.skip("this C library returns memory by itself")
    libc.malloc.restype, libc.free.argtypes = ctypes.c_void_p, [ctypes.c_void_p]
    blocks = [libc.malloc(BLOCK) for _ in range(64 * MIB // BLOCK)]
    for each in blocks:
        ctypes.memset(each, 1, BLOCK)
    last = blocks.pop()  # in use, so that the C library keeps what is below it
    before = resident()
    for each in blocks:
        libc.free(each)
    return_free_memory()
    libc.free(last)
    assert before - resident() > 32 * MIB
