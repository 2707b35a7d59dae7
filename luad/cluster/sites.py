"""Which set of files is in force: a node whose files are older decides for nothing.

Rule: the store knows the set by its digest. A node that starts puts a new set in force, but not an old one and not an
empty one. A node that runs puts in force what the set in force has changed to, before its eyes. Else a set comes into
force only when no other node has another one.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import text

from luad.core.events import Log
from luad.errors import StoreUnavailableError
from luad.store.columns import to_text
from luad.store.postgresql.session import LockKind

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from luad.cluster.declared import Declared
    from luad.store.transactions import Transactions

MAIN: Final = "main"
"""The site of all nodes."""

SITES_CHANNEL: Final = "luad_sites"

_LOOK_S: Final = 30.0
_GRACE_S: Final = 10.0
"""So long a node goes on with files that were in force until now: its own change may be on the way."""

_CODE_S: Final = 5.0
_RETRY_S: Final = 1.0
_RECENT_MS: Final = 600_000
_NOW: Final = "(extract(epoch FROM clock_timestamp()) * 1000)::bigint"
_LOCK: Final = "SELECT pg_advisory_xact_lock(%s, hashtext(%s))"
_NOTE: Final = text("UPDATE nodes SET files_digest = :digest, site = :site WHERE name = :node")
_IN_FORCE: Final = text("SELECT digest FROM sites WHERE name = :site")
_WAS_IN_FORCE: Final = text("SELECT 1 FROM site_sets WHERE site = :site AND digest = :digest")
_OTHERS: Final = text(f"""
    SELECT count(*) FROM nodes WHERE name <> :node AND site = :site AND seen_at > {_NOW} - :recent
      AND files_digest IS DISTINCT FROM :digest
""")  # noqa: S608 - our own words
_PUBLISH: Final = text(f"""
    INSERT INTO sites (name, digest, generation, published_at, published_by)
    VALUES (:site, :digest, 1, {_NOW}, :node)
    ON CONFLICT (name) DO UPDATE SET digest = excluded.digest, generation = sites.generation + 1,
        published_at = excluded.published_at, published_by = excluded.published_by
""")  # noqa: S608 - our own words
_CODE: Final = text("""
    INSERT INTO meta (key, value) SELECT 'code_digest', :code
    WHERE EXISTS (SELECT 1 FROM sites WHERE name = :site AND published_by = :node)
    ON CONFLICT (key) DO UPDATE SET value = excluded.value
""")
_REMEMBER: Final = text(f"""
    INSERT INTO site_sets (site, digest, first_published_at) VALUES (:site, :digest, {_NOW})
    ON CONFLICT DO NOTHING
""")  # noqa: S608 - our own words


def offer_set(
    connection: Connection,
    node: str,
    digest: str,
    lock_space: int,
    *,
    is_change: bool,
    is_start: bool,
    is_empty: bool,
) -> bool:
    """Put the set of *digest* in force if it may be; return whether it is in force.

    *is_change*: the running node *node*, whose set was in force, saw its files change to it, or an administrator
    publishes it. *is_start*: the node has
    just started, and read it.
    """
    connection.exec_driver_sql(_LOCK, (lock_space + LockKind.SITE, MAIN))
    words = {"site": MAIN, "digest": digest, "node": to_text(node)}
    connection.execute(_NOTE, words)  # the next pulse would come too late for the others
    in_force = connection.execute(_IN_FORCE, words).scalar()
    if in_force == digest:
        return True
    if in_force is not None and not is_change:
        if is_empty:
            return False
        is_new = is_start and connection.execute(_WAS_IN_FORCE, words).first() is None
        if not is_new and connection.execute(_OTHERS, {**words, "recent": _RECENT_MS}).scalar():
            return False
    connection.execute(_PUBLISH, words)
    connection.execute(_REMEMBER, words)
    connection.exec_driver_sql(f"NOTIFY {SITES_CHANNEL}")
    return True


def note_code(connection: Connection, node: str, code: str) -> None:
    """Note the digest of the handlers that the jobs in force need, if *node* has published them."""
    connection.execute(_CODE, {"site": MAIN, "node": to_text(node), "code": code})


class FilesInForce:
    """Says whether this node's files are those in force, and lets the node decide only then.

    *use* is called when the set that was read is in force, and the shards may use it; its argument is False if a
    caller of `announce` waits for that. *allow* gets whether the node may decide; *log* a line when that has changed.
    """

    def __init__(
        self,
        store: Transactions,
        node: str,
        lock_space: int,
        declared: Declared,
        use: Callable[[bool], None],
        allow: Callable[[bool], None],
        log: Callable[[Log], None],
    ) -> None:
        self._store = store
        self._node = node
        self._lock_space = lock_space
        self._declared = declared
        self._use = use
        self._allow = allow
        self._log = log
        self._wanted = asyncio.Event()
        self._asking: list[asyncio.Future[bool]] = []
        self._has_changed = False
        self._is_ordered = False
        self._code: str | None = None
        self._is_loaded = False
        self._was_allowed = False
        self.has_looked = False
        self.is_behind = False

    def request(self) -> None:
        """Look soon."""
        self._wanted.set()

    async def watch_code(self, digest: Callable[[], str]) -> None:
        """Tell the store, until cancelled, which handlers the jobs of this node need. *digest* may block."""
        while True:
            code = await asyncio.to_thread(digest)
            if code != self._code:
                self._code = code
                self.request()
            await asyncio.sleep(_CODE_S)

    def loaded(self) -> None:
        """Look soon at the files, which were read for the first time."""
        self._is_loaded = True
        self._wanted.set()

    async def announce(self) -> bool:
        """Put changed files in force if they may be, and return whether they are; wait for a store that is away."""
        future: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self._asking.append(future)
        self._has_changed = True
        self._wanted.set()
        return await future

    async def publish(self) -> None:
        """Put the set that was read in force because an administrator says so; wait for a store that is away."""
        is_in_force = False
        while not is_in_force:  # a look that has begun before does not know of the order
            self._is_ordered = True
            is_in_force = await self.announce()

    async def run(self) -> None:
        """Look whenever it was requested, and now and then, until cancelled."""
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(_LOOK_S):
                    await self._wanted.wait()
            self._wanted.clear()
            if self._is_loaded:
                await self._look()

    async def _look(self) -> None:
        """Ask the store; a node that falls behind has a while to read its files."""
        has_changed, self._has_changed = self._has_changed, False
        try:
            is_in_force = await self._offer(has_changed)
            if not is_in_force and not self.is_behind and self._was_allowed:
                with suppress(TimeoutError):
                    async with asyncio.timeout(_GRACE_S):
                        await self._wanted.wait()
                has_changed, self._has_changed = self._has_changed, False
                is_in_force = await self._offer(has_changed)
        except StoreUnavailableError:
            self._has_changed |= has_changed
            self._wanted.set()
            await asyncio.sleep(_RETRY_S)
            return
        self._was_allowed = is_in_force
        self._allow(is_in_force)
        if self.is_behind is is_in_force:
            self.is_behind = not is_in_force
            self._log(_BEHIND if self.is_behind else Log("files.in_force", {}))

    async def _offer(self, is_change: bool) -> bool:
        asking, self._asking = self._asking, []
        offered = str(self._declared.digest)
        offer = partial(
            self._offer_set,
            code=self._code,
            node=self._node,
            digest=offered,
            lock_space=self._lock_space,
            is_change=self._is_ordered or (is_change and self._was_allowed),
            is_start=not self.has_looked,
            is_empty=not self._declared.digest.count,
        )
        try:
            is_in_force = await self._store.write(offer)
        except StoreUnavailableError:
            self._asking = asking + self._asking
            raise
        self.has_looked = True
        self._is_ordered = False
        if is_in_force and str(self._declared.digest) == offered:
            self._use(not asking)
        for future in asking:
            if not future.done():
                future.set_result(is_in_force)
        return is_in_force

    @staticmethod
    def _offer_set(connection: Connection, code: str | None, node: str, **words: Any) -> bool:
        is_in_force = offer_set(connection, node, **words)
        if is_in_force and code is not None:
            note_code(connection, node, code)
        return is_in_force


_BEHIND: Final = Log(
    "files.behind",
    {
        "why": "the files of other nodes are newer; this node decides for no job until its files are the same"
    },
    "warning",
)
