"""The folder of job files in a simulated world: files come, change, move, break, are mended and go."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from random import Random  # noqa: TID251 - worlds are made of dice; the seed is the test

from luad.core.model import DAY, Job, Origin, Wanted

MOST = 6
NAMES = 8


@dataclass
class File:
    """A file as it is, and the job it had when it was last good and loaded."""

    path: str
    job: Job | None  # None while it is broken
    last_good: Job | None = None


class Folder:
    """Files by the name of their one job."""

    def __init__(self, dice: Random, make_job: Callable[[str], Job], *, may_break: bool) -> None:
        self.files: dict[str, File] = {}
        self._dice = dice
        self._make_job = make_job
        self._may_break = may_break

    def load(self) -> dict[str, Wanted]:
        """Return the jobs of the folder, with the last good ones of broken files."""
        found = {}
        for name, file in self.files.items():
            if file.job is not None:
                found[name] = Wanted(file.job, Origin(file.path))
                file.last_good = file.job
            elif file.last_good is not None:
                found[name] = Wanted(file.last_good, Origin(file.path), stale=True)
        return found

    def remember(self, stored: Mapping[str, Job]) -> None:
        """A new daemon knows as last good what the store has."""
        for name, file in self.files.items():
            file.last_good = stored.get(name)

    def edit(self, what: str) -> None:
        """Do something to some file."""
        names = sorted(self.files)
        if what == "add" or not names:
            if len(names) < MOST:
                self.write(f"job-{self._dice.randrange(NAMES)}")
            return
        name = self._dice.choice(names)
        file = self.files[name]
        match what:
            case "edit":
                self.write(name)
            case "remove":
                del self.files[name]
            case "move":
                file.path = f"jobs.d/{self._dice.choice('abc')}/{name}.yaml"
            case "break" if self._may_break:
                file.job = None
            case "mend" if file.job is None:
                if file.last_good is not None and self._dice.random() < 0.5:
                    file.job = file.last_good
                else:
                    self.write(name)
            case _:
                pass

    def drop(self) -> str:
        """Remove a file that is there; return its name."""
        name = self._dice.choice(sorted(self.files))
        del self.files[name]
        return name

    def write(self, name: str) -> None:
        """Write a new job of that name, or another version of the one that is there."""
        file = self.files.get(name)
        job = self._make_job(name)
        old = file.job or file.last_good if file else None
        if old is not None and self._dice.random() < 0.3:  # an edit that leaves the schedule alone
            is_enabled = not old.enabled or job.timeout_ms < DAY  # off now and then, and on again
            job = replace(job, schedule=old.schedule, jitter_ms=old.jitter_ms, enabled=is_enabled)
        if file is None:
            self.files[name] = File(f"jobs.d/{name}.yaml", job)
        else:
            file.job = job
