"""Watches the job folders for changes, and reads what they contain.

Rule: `watch` reports that something changed, never which file. `snapshot` reads the whole folder, so a
lost notification does no harm. `config` interprets the bytes.
"""

from luad.watcher.snapshot import FileVersion, Snapshot, SnapshotReader, is_job_file
from luad.watcher.watch import FolderWatch

__all__ = ["FileVersion", "FolderWatch", "Snapshot", "SnapshotReader", "is_job_file"]
