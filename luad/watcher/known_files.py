"""The state of each file that a reader of snapshots keeps.

Rule: values only.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from luad.core.model import Instant
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
