"""Shards: parts of the job space, each with one deciding node at a time.

Rule: the shard of a job follows from its name alone, and never changes in a store.
"""

from __future__ import annotations

from typing import Final
from zlib import crc32

SHARDS: Final = 64
"""The number of shards of a store."""


def shard_of(job_name: str, count: int = SHARDS) -> int:
    """Return the shard of the job of that name, of *count* shards."""
    return crc32(job_name.encode("utf-8", "surrogatepass")) % count
