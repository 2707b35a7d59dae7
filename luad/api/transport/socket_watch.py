"""Looking after the file of a listening socket: an rm must not cut luad off from its clients.

Rule: decides whether to bind again, and says what was done; how that is done is `sockets`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from luad.api.transport import unix_socket
from luad.core.events import Log
from luad.errors import AlreadyRunningError, LuadError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path


class SocketWatch:
    """Looks now and then whether clients still find the socket. *fault* says why they do not."""

    def __init__(self) -> None:
        self.fault: str | None = None

    async def look(
        self,
        listener: unix_socket.Listener,
        path: Path | None,
        take: Callable[[unix_socket.Listener], Awaitable[None]],
    ) -> Log | None:
        """Bind at *path* again if the file of *listener* has gone, and let *take* serve it.

        A socket that the service manager passed is not bound again: systemd goes on holding its own.
        """
        if listener.is_in_place():
            return self._note(None, path)
        if listener.passed is not None:
            return self._note(
                f"the socket {listener.passed}, which systemd passed, was removed or replaced;"
                " systemctl restart luad.socket luad.service makes it again",
                listener.passed,
            )
        assert path is not None
        listener.withdraw()  # the rest of it, so that luad does not answer itself
        try:
            made = unix_socket.listen(path)
        except AlreadyRunningError as error:
            return self._note(f"the socket was removed, and {error.message}", path)
        except LuadError as error:
            return self._note(f"the socket was removed: {error.message}", path)
        await take(made)
        self.fault = None
        return Log("api.socket_restored", {"socket": str(path)}, "warning")

    def _note(self, fault: str | None, path: Path | None) -> Log | None:
        """Remember *fault*; return a line when it is new."""
        before, self.fault = self.fault, fault
        if fault is None or fault == before:
            return None
        return Log("api.socket_lost", {"socket": str(path), "why": fault}, "error")
