"""Hears the notices of a PostgreSQL store, in a thread of its own.

Rule: a notice only wakes; what is lost with a connection is found by the next pulse or look.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Final

from luad.errors import StoreUnavailableError
from luad.store.postgresql.connect import READER, Link

if TYPE_CHECKING:
    from luad.config.settings.store_target import Target

_LOOK_S: Final = 1.0
_RETRY_S: Final = 1.0
_SILENT_LOOKS: Final = 5
"""After so many looks without a notice, the listener asks the server whether the connection is alive."""


class _Ear(Link):
    """A connection that waits for notices."""

    def listen(self, channels: Sequence[str]) -> None:
        """Begin to hear *channels*."""
        _, driver, deadline = self._opened()
        with self._closing_on_failure(), deadline.call():
            for channel in channels:
                driver.execute(f"LISTEN {channel}")

    def notices(self, seconds: float) -> list[tuple[str, str]]:
        """Return the notices that come within *seconds*; as soon as there is one, those that came with it."""
        _, driver, _ = self._opened()
        with self._closing_on_failure():
            return [
                (notice.channel, notice.payload)
                for notice in driver.notifies(timeout=seconds, stop_after=1)
            ]


class Listener:
    """Calls *on_notice* with the channel and the words of each notice, in its own thread.

    After each connection, it calls *on_notice* with every channel and no words: something may have been missed.
    """

    def __init__(
        self,
        target: Target,
        node: str,
        channels: Sequence[str],
        on_notice: Callable[[str, str], None],
    ) -> None:
        self._target = target
        self._application = f"luad {node} listener"
        self._channels = tuple(channels)
        self._on_notice = on_notice
        self._is_stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="luad-listener", daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def stop(self) -> None:
        """End the thread, within a second or two. Idempotent."""
        self._is_stopped.set()
        if self._thread.is_alive():
            self._thread.join()

    def _run(self) -> None:
        while not self._is_stopped.is_set():
            ear = _Ear(self._target, self._application, READER)
            try:
                ear.open()
                ear.listen(self._channels)
                for channel in self._channels:
                    self._on_notice(channel, "")
                self._hear(ear)
            except StoreUnavailableError:
                self._is_stopped.wait(_RETRY_S)
            finally:
                ear.close()

    def _hear(self, ear: _Ear) -> None:
        silent = 0
        while not self._is_stopped.is_set():
            notices = ear.notices(_LOOK_S)
            silent = 0 if notices else silent + 1
            if silent >= _SILENT_LOOKS:
                ear.ask("SELECT 1")
                silent = 0
            for channel, words in notices:
                self._on_notice(channel, words)
