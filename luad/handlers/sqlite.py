"""Backs up a SQLite database while it is in use.

``metadata``:

    source      the database file
    target_dir  the folder for the copies; it is created if it is missing
    keep        the number of copies to keep, including the new one (default: 7)

A copy is named after the database and the instant of the run: ``shop-20251122T020000Z.db``. It gets that
name only when it is complete, checked and on disk; only its owner can read it. Older copies are removed
after that, never before.

Rule: the standard library only.
"""

from __future__ import annotations

import os
import re
import sqlite3
from contextlib import closing
from pathlib import Path

from luad.handlers.parameters import TEXT, Parameters, schema, whole
from luad.sdk.params import params

TYPE_CHECKING = False  # `typing` costs 9 ms, which every run would pay
if TYPE_CHECKING:
    from luad.sync import Job

BUSY_SECONDS = 30
"""The longest wait for a lock that a writer holds."""


class BackupError(RuntimeError):
    """The run has made no valid copy; earlier copies are unchanged."""


@params(
    schema(
        "source",
        "target_dir",
        source={**TEXT, "examples": ["/srv/shop/shop.db"]},
        target_dir={**TEXT, "examples": ["/srv/backups"]},
        keep=whole(1, 1_000_000),
    )
)
def backup(job: Job) -> dict[str, object]:
    """Copy the database with SQLite's online backup, check the copy, keep the newest ``keep``.

    Writers continue during the copy if the database is in WAL mode, and wait otherwise. Raises
    `BackupError` if the copy fails or is damaged.
    """
    asked = Parameters(job, "source", "target_dir", "keep")
    source = _source(asked)
    folder = Path(asked.text("target_dir")).expanduser()
    keep = asked.whole("keep", 7, low=1, high=1_000_000)
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        asked.fail("target_dir", f"{folder}: {error.strerror}", error)

    target = folder / f"{source.stem}-{job.scheduled_for:%Y%m%dT%H%M%SZ}{source.suffix}"
    partial = folder / f".{target.name}.partial"
    try:
        _copy(source, partial)
        _check(partial)
        _publish(partial, target)
    except (sqlite3.Error, OSError) as error:
        raise BackupError(f"{source}: {error}") from error
    finally:
        partial.unlink(missing_ok=True)
    removed = _rotate(target, source, keep)
    size = target.stat().st_size
    job.log.info("%s: %d bytes, checked; %d older removed", target, size, len(removed))
    return {"file": str(target), "bytes": size, "removed": removed}


def _source(asked: Parameters) -> Path:
    source = Path(asked.text("source")).expanduser()
    if not source.is_file():  # otherwise SQLite would create an empty database and copy it
        asked.fail("source", f"{source} is not a file")
    return source.resolve()


def _copy(source: Path, partial: Path) -> None:
    # Created with this mode, so that no other user can ever read it; SQLite keeps the mode.
    partial.unlink(missing_ok=True)
    os.close(os.open(partial, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
    with closing(_open(source, "mode=ro")) as reader, closing(_open(partial, "mode=rw")) as writer:
        # All pages in one step, because a busy writer makes SQLite restart a copy in small steps forever.
        reader.backup(writer)


def _check(partial: Path) -> None:
    """Raise `BackupError` if the copy is damaged; `immutable` keeps SQLite from adding files."""
    with closing(_open(partial, "mode=ro&immutable=1")) as copy:
        said = [str(row[0]) for row in copy.execute("PRAGMA integrity_check(3)")]
    if said != ["ok"]:
        raise BackupError(f"the copy is damaged, and so may be the original: {'; '.join(said)}")


def _publish(partial: Path, target: Path) -> None:
    """Sync the copy, rename it to *target*, and sync the folder."""
    _sync(partial)
    partial.replace(target)
    _sync(target.parent)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _rotate(target: Path, source: Path, keep: int) -> list[str]:
    """Remove the oldest copies beyond *keep*, never *target*; return their names."""
    ours = re.compile(re.escape(source.stem) + r"-\d{8}T\d{6}Z" + re.escape(source.suffix))
    older = sorted(
        path for path in target.parent.iterdir() if ours.fullmatch(path.name) and path != target
    )
    surplus = older[: max(0, len(older) + 1 - keep)]
    for path in surplus:
        path.unlink(missing_ok=True)
    return [path.name for path in surplus]


def _open(path: Path, options: str) -> sqlite3.Connection:
    return sqlite3.connect(f"{path.resolve().as_uri()}?{options}", timeout=BUSY_SECONDS, uri=True)
