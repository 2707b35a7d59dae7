"""The threads of a node that read, and their connections.

Rule: each reads one snapshot at a time, and writes nothing.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from queue import SimpleQueue
from typing import TYPE_CHECKING, Final

from luad.store.postgresql.connect import READER, SNAPSHOT, Link

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy import Connection

    from luad.config.settings.store_target import Target

_COUNT: Final = 2


class Readers:
    """The readers of the node named *node* on the store of *target*. They connect when they first read."""

    def __init__(self, target: Target, node: str) -> None:
        self.threads: Final = ThreadPoolExecutor(_COUNT, thread_name_prefix="luad-store-reader")
        self._free: SimpleQueue[Link] = SimpleQueue()
        for _ in range(_COUNT):
            self._free.put(Link(target, f"luad {node} reader", READER))

    @contextmanager
    def snapshot(self) -> Iterator[Connection]:
        """Return a connection that reads one snapshot."""
        link = self._free.get()
        try:
            if not link.is_open:
                link.open()
            with link.transaction(SNAPSHOT) as connection:
                yield connection
        finally:
            self._free.put(link)

    def close(self) -> None:
        """End the threads, and close the connections."""
        self.threads.shutdown()
        for _ in range(_COUNT):
            self._free.get().close()
