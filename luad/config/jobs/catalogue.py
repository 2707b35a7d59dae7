"""What all job files together ask for, with the last good version of each broken one.

Room rule: snapshots in, wanted jobs out; opens no file. How broken files and clashes are treated
stands in `lastgood`; here is what that means for jobs.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import TypeAlias

from luad.config.jobs.job_file import load_file
from luad.config.jobs.last_good import FileVersion, LastGood, LoadedFiles, Parsed
from luad.config.settings.daemon_settings import Settings
from luad.core.events import StoredJob
from luad.core.model import Instant, Job, Origin, Wanted

__all__ = ["Catalogue", "FileVersion", "Loaded"]

Loaded: TypeAlias = LoadedFiles[Wanted]


class Catalogue(LastGood[Wanted]):
    """Remembers every file of the job folders."""

    noun = "job name"
    plural = "jobs"
    clash_code = "LU401"

    def __init__(self, settings: Settings) -> None:
        super().__init__(settings.max_jobs, "raise `max_jobs` in luad.yaml")
        self._settings = settings

    def seed(self, installed: Iterable[tuple[StoredJob, Job]]) -> None:
        """Take the jobs that were in force before a restart as last good versions.

        Call before the first `update`. Dynamic jobs, which are in no file, are passed over.
        """
        self.take_over(
            {
                job.name: Wanted(job, stored.origin)
                for stored, job in installed
                if stored.origin is not None
            }
        )

    def parse(self, path: str, data: bytes, now: Instant | None) -> Parsed[Wanted]:
        """Return the jobs of a file, and everything that is wrong with it."""
        return load_file(path, data, settings=self._settings, now=now)

    def name_of(self, item: Wanted) -> str:
        """Return the job's name."""
        return item.job.name

    def origin_of(self, item: Wanted) -> Origin | None:
        """Return where it is declared."""
        return item.origin

    def as_stale(self, item: Wanted) -> Wanted:
        """Return it as the last good version of a file that is broken now."""
        return replace(item, stale=True)

    def reuse(self, item: Wanted, old: Wanted) -> Wanted:
        """Return the object that was there before, as much of it as still says the same."""
        if not _is_same(old.job, item.job):
            return item
        if old.origin == item.origin and old.stale == item.stale:
            return old
        return Wanted(old.job, item.origin, stale=item.stale)


def _is_same(one: Job, other: Job) -> bool:
    return one is other or (one.revision == other.revision and one.name == other.name)
