"""What daemon, keeper and spawner say to each other: one JSON object a line.

Daemon to keeper: first the `LaunchSpec`, then ``{"t": "stop", "kill": bool}``.
Keeper to daemon: ``hello`` (before anything is started), ``started``, ``lines``, ``ended``;
``failed`` when no process could be made. Rule: bytes and dicts; opens and knows nothing.
"""

from __future__ import annotations

import json
from typing import Any, Final

CHUNK: Final = 65_536
"""How much is read from a pipe or socket at once: the capacity of a pipe."""


def encode(frame: object) -> bytes:
    """*frame* as one line.

    Lone surrogates, which neither the store nor HTTP can carry, become question marks here.
    """
    text = json.dumps(frame, ensure_ascii=False, separators=(",", ":"))
    return text.encode("utf-8", "replace") + b"\n"


class FrameBuffer:
    """Puts a stream of bytes together to frames."""

    def __init__(self) -> None:
        self._partial = bytearray()

    def feed(self, data: bytes) -> list[dict[str, Any]]:
        """The frames that *data* completes, in their order."""
        self._partial += data
        if b"\n" not in data:
            return []
        *whole, rest = bytes(self._partial).split(b"\n")
        self._partial = bytearray(rest)
        return [json.loads(line) for line in whole]
