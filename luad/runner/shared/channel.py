"""The socket of a shared process to the daemon: frames in, frames out, without waiting.

Rule: one thread uses it.
"""

from __future__ import annotations

import select
from typing import TYPE_CHECKING, Any, Final

from luad.runner.frames import CHUNK, FrameBuffer, encode

if TYPE_CHECKING:
    import socket

_LAST_SEND_MS: Final = 1_000


class Channel:
    """Frames over *channel*, a stream socket."""

    def __init__(self, channel: socket.socket) -> None:
        channel.setblocking(False)
        self._socket = channel
        self._buffer = FrameBuffer()
        self._outbox = bytearray()

    @property
    def descriptor(self) -> int:
        """The descriptor to wait for."""
        return self._socket.fileno()

    @property
    def waiting_bytes(self) -> int:
        """The bytes that the other side has not taken yet."""
        return len(self._outbox)

    def read(self) -> list[dict[str, Any]] | None:
        """Return the frames that have arrived; None once the other side is gone."""
        try:
            data = self._socket.recv(CHUNK)
        except BlockingIOError:
            return []
        except OSError:
            return None
        return self._buffer.feed(data) if data else None

    def wait(self) -> list[dict[str, Any]] | None:
        """Wait for data, and return its frames, as `read` does."""
        poll = select.poll()
        poll.register(self._socket, select.POLLIN)
        poll.poll()
        return self.read()

    def send(self, frame: object) -> None:
        """Send *frame* as far as the other side takes it; `push` sends the rest."""
        self._outbox += encode(frame)
        self.push()

    def send_text(self, frame: str) -> None:
        """Send a frame that is JSON already."""
        self._outbox += frame.encode("utf-8", "replace") + b"\n"
        self.push()

    def push(self) -> None:
        """Send what waits."""
        try:
            while self._outbox:
                del self._outbox[: self._socket.send(self._outbox)]
        except BlockingIOError:
            pass
        except OSError:
            self._outbox.clear()  # the other side is gone; the next read shows it

    def send_last(self, frame: object) -> None:
        """Send *frame* before this process ends; give up after a second."""
        self.send(frame)
        poll = select.poll()
        poll.register(self._socket, select.POLLOUT)
        while self._outbox and poll.poll(_LAST_SEND_MS):
            self.push()

    def close(self) -> None:
        """Close the socket."""
        self._socket.close()
