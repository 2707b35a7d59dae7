"""The code of the handlers of a process, and what a worker does with an attempt whose handler it lacks.

Rule: the digest says whether two machines have the same handlers. A worker whose code differs from that of the node
that published the jobs puts such an attempt back for a while: a worker with that code may take it.
"""

from __future__ import annotations

import asyncio
import os
from contextlib import suppress
from functools import partial
from hashlib import blake2b
from pathlib import Path
from typing import TYPE_CHECKING, Final

from luad.cluster import worker_rows
from luad.core.model import EndKind
from luad.errors import StoreUnavailableError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from luad.cluster.fetching import Emit
    from luad.cluster.worker_link import WorkerLink
    from luad.core.events import AttemptEnded
    from luad.core.model import Ending

LOOK_S: Final = 5.0
_RETRY_S: Final = 0.5
_BYTES: Final = 16


class HandlerCode:
    """The Python files of a folder of handlers."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._known: dict[str, tuple[tuple[int, int, int], bytes]] = {}

    def digest(self) -> str:
        """Return the digest of the files; one that has not changed since the last call is not read again."""
        found: dict[str, tuple[tuple[int, int, int], bytes]] = {}
        for path in self._paths():
            with suppress(OSError):  # it was removed meanwhile, or may not be read
                found[path] = self._look(path)
        self._known = found
        whole = blake2b(digest_size=_BYTES)
        for path in sorted(found):
            name = os.fsencode(os.path.relpath(path, self._folder))
            whole.update(len(name).to_bytes(4) + name + found[path][1])
        return whole.hexdigest()

    def _paths(self) -> Iterator[str]:
        for root, folders, names in os.walk(self._folder):
            folders[:] = [name for name in folders if name[0] != "." and name != "__pycache__"]
            yield from (f"{root}/{name}" for name in names if name.endswith(".py"))

    def _look(self, path: str) -> tuple[tuple[int, int, int], bytes]:
        status = os.stat(path)  # noqa: PTH116 - one of many
        mark = (status.st_mtime_ns, status.st_ctime_ns, status.st_size)
        known = self._known.get(path)
        if known is not None and known[0] == mark:
            return known
        return mark, blake2b(Path(path).read_bytes(), digest_size=_BYTES).digest()


def is_lacking(ending: Ending) -> bool:
    """Return whether an attempt ended because its handler is not in the code, or cannot be imported."""
    return ending.kind is EndKind.NOT_STARTED and not ending.is_retryable


class WorkerCode:
    """The code of the handlers of one worker. *compute* returns its digest, or None; it may block."""

    def __init__(
        self, life: str, link: WorkerLink, compute: Callable[[], str | None], emit: Emit
    ) -> None:
        self._life = life
        self._link = link
        self._compute = compute
        self.emit = emit
        self._tasks: set[asyncio.Task[None]] = set()
        self.digest: str | None = None

    async def look(self) -> None:
        """Compute the digest anew."""
        self.digest = await asyncio.to_thread(self._compute)

    async def run(self) -> None:
        """Look now and then, until cancelled."""
        while True:
            await asyncio.sleep(LOOK_S)
            await self.look()

    def try_elsewhere(
        self, event: AttemptEnded, put_back: Callable[[], None], end: Callable[[], None]
    ) -> None:
        """Put an attempt back that lacks its handler here, and call *put_back*; *end* if it is over."""
        task = asyncio.create_task(self._try_elsewhere(event, put_back, end))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _try_elsewhere(
        self, event: AttemptEnded, put_back: Callable[[], None], end: Callable[[], None]
    ) -> None:
        await self.look()
        if self.digest is None or not await self._put_back(event, self.digest):
            end()
            return
        error = event.ending.error
        why = "" if error is None else error.message
        fields = {"run_id": event.run_id, "attempt": event.attempt, "error": why}
        self.emit("warning", "worker.put_back", fields)
        put_back()

    async def _put_back(self, event: AttemptEnded, digest: str) -> bool:
        work = partial(
            worker_rows.put_back,
            life=self._life,
            run_id=event.run_id,
            attempt=event.attempt,
            code_digest=digest,
        )
        while True:
            try:
                return await self._link.do(work)
            except StoreUnavailableError:
                await asyncio.sleep(_RETRY_S)
