"""Watches the job folders for changes, and reads what they contain.

Rule: `watch` gives hints which files to look at. `snapshot` looks at those files, and at the whole folder
where hints may be missing. `config` interprets the bytes.
"""

from luad.watcher.job_files import FileVersion, KeptFile, is_job_file
from luad.watcher.known_files import Snapshot
from luad.watcher.snapshot import SnapshotReader
from luad.watcher.watch import FolderWatch, Hints

__all__ = [
    "FileVersion",
    "FolderWatch",
    "Hints",
    "KeptFile",
    "Snapshot",
    "SnapshotReader",
    "is_job_file",
]
