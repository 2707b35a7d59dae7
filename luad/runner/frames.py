"""The protocol between daemon and keeper: frames of one JSON object a line.

Daemon to keeper: ``run`` with a number and the `LaunchSpec`, and ``stop``.
Keeper to daemon: ``hello`` once, then ``started``, ``lines``, ``ended`` for each number; ``failed`` if no
process could be started. Rule: bytes and dicts; opens nothing.
"""

from __future__ import annotations

import json
from typing import Any, Final

_encode: Final = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode

CHUNK: Final = 65_536
"""The bytes of one read from a pipe or socket: the capacity of a pipe."""


def encode(frame: object) -> bytes:
    """Return *frame* as one line.

    Lone surrogates, which neither the store nor HTTP can carry, become question marks.
    """
    return _encode(frame).encode("utf-8", "replace") + b"\n"


class FrameBuffer:
    """Splits a stream of bytes into frames."""

    def __init__(self) -> None:
        self._partial = bytearray()

    def feed(self, data: bytes) -> list[dict[str, Any]]:
        """Return the frames that *data* completes, in their order."""
        self._partial += data
        if b"\n" not in data:
            return []
        *whole, rest = bytes(self._partial).split(b"\n")
        self._partial = bytearray(rest)
        return [json.loads(line) for line in whole]
