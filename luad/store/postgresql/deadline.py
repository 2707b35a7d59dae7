"""A deadline for calls to a server that may say nothing for ever.

TCP notices a machine that is gone. Neither it nor the server's own limits notice a stopped server or a silent proxy,
whose kernel goes on answering: then the node shuts the socket down itself, and the call fails.
"""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Final

from luad.clock import elapsed_ms

DEADLINE_MS: Final = 15_000
_LOOK_EVERY_S: Final = 0.5
"""A watch that looks sometimes costs each call nothing; waking it for each call costs more than the call."""


class Deadline:
    """Shuts *descriptor*, a socket, down when a call takes longer than it may. `close` ends its thread."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._ends_at: int | None = None
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="luad-store-deadline", daemon=True)
        self._thread.start()

    def begin(self, limit_ms: int = DEADLINE_MS) -> None:
        """Limit what follows until `end`."""
        self._ends_at = elapsed_ms() + limit_ms

    def end(self) -> None:
        """Take the limit back."""
        self._ends_at = None

    @contextmanager
    def call(self, limit_ms: int = DEADLINE_MS) -> Iterator[None]:
        """Limit the calls within; a call within another one has the limit of the outer one."""
        if self._ends_at is not None:
            yield
            return
        self.begin(limit_ms)
        try:
            yield
        finally:
            self.end()

    def close(self) -> None:
        """End the thread. Idempotent."""
        self._closed.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._closed.wait(_LOOK_EVERY_S):
            ends_at = self._ends_at
            if ends_at is not None and elapsed_ms() >= ends_at:
                with suppress(OSError), socket.socket(fileno=os.dup(self._descriptor)) as handle:
                    handle.shutdown(socket.SHUT_RDWR)
                return  # the connection is over
