"""The state of each file that a reader of snapshots keeps, and a snapshot.

Rule: values only.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from luad.core.model import Instant
from luad.errors import Problem
from luad.watcher.job_files import FileVersion, Shape, Signature


@dataclass(slots=True)
class KnownFile:
    """One file: its newest accepted *version*, and its status when it was read."""

    version: FileVersion
    signature: Signature
    shape: Shape
    is_racy: bool = False
    unconfirmed_since: Instant | None = None  # emptied, cut short or missing since then
    unconfirmed: FileVersion | None = None  # the version on the disk meanwhile
    gid: int | None = None  # the group that may write it


class Versions(Mapping[str, FileVersion]):
    """The newest versions of all known files, in order of paths."""

    def __init__(self, known: Mapping[str, KnownFile]) -> None:
        self._known = known

    def __getitem__(self, path: str) -> FileVersion:
        return self._known[path].version

    def __iter__(self) -> Iterator[str]:
        return iter(sorted(self._known))

    def __len__(self) -> int:
        return len(self._known)


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Every job file, by its path as messages show it.

    *problems* concern whole folders. *unread* are the folders that could not be read; *files* has the
    versions of their files that were read last. *recheck_in_ms* is set while a change waits for the
    debounce time: read again then. *unconfirmed* are the files with such a change: *files* has their
    earlier version, and *unconfirmed* the version on the disk, None for a missing file.

    *changed* and *gone* are the differences from the previous snapshot of the same reader.
    """

    files: Mapping[str, FileVersion]
    problems: tuple[Problem, ...] = ()
    recheck_in_ms: int | None = None
    unread: frozenset[str] = frozenset()
    unconfirmed: Mapping[str, FileVersion | None] = field(default_factory=dict)
    changed: Mapping[str, FileVersion] = field(default_factory=dict)
    gone: frozenset[str] = frozenset()
