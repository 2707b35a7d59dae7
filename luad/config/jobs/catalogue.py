"""The jobs of all job files, with the last good version of each broken file.

Rule: snapshots in, wanted jobs out; opens no file. `last_good` has the rules for broken files and
for duplicate names; this module applies them to jobs.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import TypeAlias

from luad.config.jobs.job_file import load_file
from luad.config.jobs.last_good import FileVersion, LastGood, LoadedFiles, Parsed
from luad.config.settings.daemon_settings import Settings
from luad.core.model import Instant, Job, Origin, Wanted

__all__ = ["Catalogue", "FileVersion", "Loaded"]

Loaded: TypeAlias = LoadedFiles[Wanted]


class Catalogue(LastGood[Wanted]):
    """The jobs of all files in the job folders."""

    noun = "job name"
    plural = "jobs"
    clash_code = "LU401"

    def __init__(self, settings: Settings) -> None:
        super().__init__(settings.max_jobs, "raise `max_jobs` in luad.yaml")
        self._settings = settings

    def seed(self, installed: Iterable[Wanted]) -> None:
        """Use the jobs that were in force before a restart as last good versions.

        Call this before the first `update`. Dynamic jobs are ignored, because no file declares
        them.
        """
        self.take_over({each.job.name: each for each in installed if each.origin is not None})

    def parse(self, path: str, data: bytes, now: Instant | None) -> Parsed[Wanted]:
        """Return the jobs and problems of a file."""
        return load_file(path, data, settings=self._settings, now=now)

    def name_of(self, item: Wanted) -> str:
        """Return the job's name."""
        return item.job.name

    def origin_of(self, item: Wanted) -> Origin | None:
        """Return the place of the declaration."""
        return item.origin

    def as_stale(self, item: Wanted) -> Wanted:
        """Return the job as the last good version of a broken file."""
        return replace(item, stale=True)

    def reuse(self, item: Wanted, old: Wanted) -> Wanted:
        """Return *old*, or as much of it as is unchanged, so that equal jobs stay the same object."""
        if not _is_same(old.job, item.job):
            return item
        if old.origin == item.origin and old.stale == item.stale:
            return old
        return Wanted(old.job, item.origin, stale=item.stale)


def _is_same(one: Job, other: Job) -> bool:
    return one is other or (one.revision == other.revision and one.name == other.name)
