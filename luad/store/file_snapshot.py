"""The stored state of job files: a start reads only those that have changed.

A row says that all jobs of the file, in this very version, are installed. It is written after them, so that a
kill in between costs a reading of the file, and never a change.
"""

from __future__ import annotations

from array import array
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import suppress
from functools import partial
from itertools import islice
from typing import Final, NamedTuple, TypeVar

from sqlalchemy import Connection, bindparam, delete, select
from sqlalchemy.dialects.sqlite import insert

from luad.errors import StoreUnavailableError
from luad.store.tables import files, meta
from luad.store.transactions import Transactions
from luad.store.work_queue import PORTION

T = TypeVar("T")

_DIGEST: Final = "files_digest"
_AT_ONCE: Final = 500  # rows in one transaction, because claims wait for its end
_COLUMNS: Final = ("path", "status", "content_key", "shape", "gid", "jobs", "checks")
_put = insert(files)
_save = _put.on_conflict_do_update(
    index_elements=["path"],
    set_={name: _put.excluded[name] for name in _COLUMNS[1:]},
)
_remove = delete(files).where(files.c.path == bindparam("b_path"))
_digest = select(meta.c.value).where(meta.c.key == _DIGEST)
_put_meta = insert(meta)
_save_meta = _put_meta.on_conflict_do_update(
    index_elements=["key"], set_={"value": _put_meta.excluded.value}
)


class StoredFile(NamedTuple):
    """One job file. *status* and *shape* are packed by the watcher, *key* is the hash of the content.

    *gid* is the group that may write it, *jobs* the number of its jobs. *checks* are short hashes of their stored
    documents.
    """

    path: str
    status: bytes
    key: str
    shape: bytes
    gid: int | None
    jobs: int
    checks: bytes = b""

    @property
    def checked(self) -> array[int]:
        """The hashes of the documents, as numbers."""
        return array("I", self.checks)


class FileSnapshot:
    """The job files of a `Store`, as they were read under one *digest* of everything else that counts."""

    def __init__(self, transactions: Transactions) -> None:
        self._transactions = transactions

    def restore(self, digest: str) -> list[StoredFile]:
        """Return the files that were read under *digest*; none if the latest were read under another.

        It is not a coroutine, because the daemon calls it at its start.
        """

        def question(connection: Connection) -> list[StoredFile]:
            if connection.execute(_digest).scalar() != digest:
                return []
            return [StoredFile(*row) for row in connection.execute(select(files))]

        return self._transactions.ask(question)

    def save_later(self, digest: str, saved: Collection[StoredFile], gone: Collection[str]) -> None:
        """Queue writes of files, and of the removal of *gone*, behind all urgent writes.

        The files of another digest go. What is not written is read again at the next start.
        """
        with suppress(StoreUnavailableError):
            for paths in _portions(gone):
                self._transactions.write_later(partial(_drop, digest, paths), _weight(paths))
            for rows in _portions(saved):
                self._transactions.write_later(partial(_write, digest, rows), _weight(rows))


def _portions(every: Iterable[T]) -> Iterator[Sequence[T]]:
    left = iter(every)
    while portion := list(islice(left, _AT_ONCE)):
        yield portion


def _weight(portion: Sequence[object]) -> int:
    """Return a weight with which a transaction has at most `_AT_ONCE` rows."""
    return PORTION * len(portion) // _AT_ONCE


def _renew(connection: Connection, digest: str) -> None:
    """Delete the files of another digest."""
    if connection.execute(_digest).scalar() != digest:
        connection.execute(delete(files))
        connection.execute(_save_meta, {"key": _DIGEST, "value": digest})


def _drop(digest: str, paths: Sequence[str], connection: Connection) -> None:
    _renew(connection, digest)
    connection.execute(_remove, [{"b_path": path} for path in paths])


def _write(digest: str, rows: Sequence[StoredFile], connection: Connection) -> None:
    _renew(connection, digest)
    connection.execute(_save, [dict(zip(_COLUMNS, row, strict=True)) for row in rows])
