"""The job folders: that something changed in them, and what they hold now.

Room rule: `watch` announces *that*, never *what*; `snapshot` reads the whole folder, so a lost
notification costs nothing. What the bytes mean is `config`'s business.
"""

from luad.watcher.snapshot import FileVersion, Snapshot, SnapshotReader, is_job_file
from luad.watcher.watch import FolderWatch

__all__ = ["FileVersion", "FolderWatch", "Snapshot", "SnapshotReader", "is_job_file"]
