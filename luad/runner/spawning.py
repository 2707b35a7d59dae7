"""Keeps one spawner process ready: it starts it, replaces it, and lets the old one finish.

Rule: decides which spawner gets the next attempt; knows nothing of runs.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Final

from luad.runner.spawner_link import SpawnerLink
from luad.runner.spec import interpreter_environment

if TYPE_CHECKING:
    from collections.abc import Callable

    from luad.runner.attempt import Attempt
    from luad.runner.keeper_link import KeeperLink
    from luad.runner.runslock import RunsLock
    from luad.runner.spec import RunnerConfig

_MAX_TRIES: Final = 3  # spawners that may die before luad reports a fault
_MAX_BACKOFF_S: Final = 5.0
_RENEW_TIMEOUT_S: Final = 10.0


class Spawners:
    """Keeps a spawner ready.

    It calls *on_ready* when a spawner is ready, and *on_fault* if none can be started. A new spawner
    takes over when the current one dies, and at `renew`.
    """

    def __init__(
        self,
        config: RunnerConfig,
        *,
        lock: Callable[[], RunsLock],
        on_ready: Callable[[], None],
        on_fault: Callable[[], None],
        on_frame: Callable[[Attempt, dict[str, Any]], None],
        on_keeper_gone: Callable[[KeeperLink], None],
    ) -> None:
        self._config = config
        self._lock = lock
        self._on_ready = on_ready
        self._on_fault = on_fault
        self._on_frame = on_frame
        self._on_keeper_gone = on_keeper_gone
        self._failed_starts = 0
        self._is_closing = False
        self._coming: SpawnerLink | None = None  # takes over once it is ready
        self._retired: set[SpawnerLink] = set()  # they finish their attempts
        self._renewed: asyncio.Future[bool] | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self.link: SpawnerLink | None = None
        self.error = ""
        self.decided = asyncio.Event()
        """Set once the spawner is ready, or cannot be started."""

    @property
    def fault(self) -> str:
        """The reason why no run can be started; empty if runs can be started."""
        return f"the process that starts runs cannot be started: {self.error}" if self.error else ""

    @property
    def pids(self) -> set[int]:
        """The process ids of all spawners and keepers, the retired ones included."""
        links = [link for link in {self.link, self._coming, *self._retired} if link is not None]
        found = {link.pid for link in links if link.pid is not None}
        return found.union(*(keeper.pids for link in links for keeper in link.keepers))

    def start(self) -> None:
        """Start a spawner; `decided` is set when it is ready or cannot be started."""
        self.link = self._new_link()
        if self.link is not None:
            self._on_ready()  # attempts that are sent before it is ready wait in its socket

    async def renew(self) -> bool:
        """Start a new spawner and let it take over; False if it does not become ready.

        The new one sees the current packages and ``.pth`` files. Running attempts continue.
        """
        if self._is_closing or self.link is None:
            return False
        if self._coming is None:
            self._renewed = asyncio.get_running_loop().create_future()
            self._coming = self._new_link()
        renewed = self._renewed
        if self._coming is None or renewed is None:
            return False
        try:
            async with asyncio.timeout(_RENEW_TIMEOUT_S):
                return await asyncio.shield(renewed)
        except TimeoutError:
            if self._renewed is renewed:
                self._cancel_renewal()
            return False

    def wake(self) -> None:
        """Send SIGCONT to spawners that another process has stopped, because launches wait for them."""
        for link in (self.link, self._coming, *self._retired):
            if link is not None:
                link.wake()

    def release(self, link: SpawnerLink | None) -> None:
        """Record that an attempt of *link* has ended."""
        if link is None:
            return
        link.attempt_count -= 1
        if link in self._retired and link.attempt_count <= 0:
            self._close_soon(link)

    async def close(self) -> None:
        """End all spawners."""
        self._is_closing = True
        links = [link for link in (self.link, self._coming, *self._retired) if link is not None]
        await asyncio.gather(*(link.close() for link in links))
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _new_link(self) -> SpawnerLink | None:
        link = SpawnerLink(
            on_ready=self._on_spawner_ready,
            on_gone=self._on_spawner_gone,
            on_frame=self._on_frame,
            on_keeper_gone=self._on_keeper_gone,
        )
        environ = interpreter_environment(self._config.environ, self._config.pass_env)
        try:
            link.start(environ=environ, lock=self._lock().descriptor)
            link.keepers.prepare()  # they are made once the spawner is ready
        except OSError as error:
            self._on_failed_start(f"{type(error).__name__}: {error}")
            return None
        return link

    def _on_spawner_ready(self, link: SpawnerLink) -> None:
        self._failed_starts, self.error = 0, ""
        if link is self._coming:
            before, self.link, self._coming = self.link, link, None
            if before is not None:
                self._retire(before)
        self._finish_renewal(is_new=True)
        self.decided.set()
        self._on_ready()

    def _retire(self, link: SpawnerLink) -> None:
        self._retired.add(link)
        if link.attempt_count <= 0:
            self._close_soon(link)

    def _on_spawner_gone(self, link: SpawnerLink) -> None:
        if link.attempt_count > 0:
            self._retired.add(link)  # its keepers finish their runs
        else:
            self._retired.discard(link)
            link.keepers.close()
        if link is self._coming:
            self._coming = None
            self._finish_renewal(is_new=False)
            return
        if link is not self.link:
            return
        self.link = None
        if self._is_closing:
            return
        if self._coming is None:
            self._finish_renewal(is_new=False)
        if self._coming is not None:
            self.link, self._coming = self._coming, None  # `on_ready` ends the renewal
            self._on_ready()
        elif link.is_ready:
            self.start()
        else:
            self._on_failed_start("it ended before it was ready")

    def _cancel_renewal(self) -> None:
        """Close the spawner that hangs; the next renewal starts another one."""
        if self._coming is not None:
            self._close_soon(self._coming)
            self._coming = None
        self._finish_renewal(is_new=False)

    def _finish_renewal(self, *, is_new: bool) -> None:
        renewed, self._renewed = self._renewed, None
        if renewed is not None and not renewed.done():
            renewed.set_result(is_new)

    def _on_failed_start(self, why: str) -> None:
        if self.link is not None:
            return  # only a renewal has failed: the current spawner continues
        self._failed_starts += 1
        if self._failed_starts >= _MAX_TRIES:
            self.error = why
            self.decided.set()
            self._on_fault()
        delay_s = min(0.1 * 2 ** (self._failed_starts - 1), _MAX_BACKOFF_S)
        asyncio.get_running_loop().call_later(delay_s, self._restart)

    def _restart(self) -> None:
        if not self._is_closing and self.link is None:
            self.start()

    def _close_soon(self, link: SpawnerLink) -> None:
        task = asyncio.get_running_loop().create_task(self._close(link))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _close(self, link: SpawnerLink) -> None:
        await link.close()
        self._retired.discard(link)
