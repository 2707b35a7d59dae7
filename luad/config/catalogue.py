"""What all files together ask for, with the last good version of each broken one.

Room rule: snapshots in, wanted jobs out; opens no file. A broken file changes nothing but itself,
and what has not changed is neither parsed again nor replaced: it stays the same object.
"""

from __future__ import annotations

import os.path
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Protocol

from luad.config.jobs import ParsedFile, load_file
from luad.config.settings import Settings
from luad.core.events import StoredJob
from luad.core.model import Instant, Job, Wanted
from luad.errors import Problem, Severity


class FileVersion(Protocol):
    """One file as a snapshot holds it: *data* and their hash as *key*, or the *problem* of
    reading it."""

    @property
    def data(self) -> bytes:
        """The content; not looked at when the key is known already."""
        ...

    @property
    def key(self) -> str:
        """Equal keys mean equal content."""
        ...

    @property
    def problem(self) -> Problem | None:
        """Why the file was not read."""
        ...


@dataclass(frozen=True, slots=True)
class Loaded:
    """The outcome of a load. *wanted* is by job name, *stale* are the paths of broken files whose
    last good jobs are among them."""

    wanted: Mapping[str, Wanted] = field(default_factory=dict)
    problems: tuple[Problem, ...] = ()
    stale: tuple[str, ...] = ()
    file_count: int = 0
    broken_count: int = 0


@dataclass(slots=True)
class _Entry:
    """One file: the newest parse, and the jobs of the newest one that could be installed, which
    is *accepted* unless they are of an earlier life."""

    version: FileVersion | None = None
    parsed: ParsedFile | None = None
    accepted: ParsedFile | None = None
    good: tuple[Wanted, ...] = ()

    @property
    def claimed(self) -> tuple[Wanted, ...]:
        """The jobs whose names the file has a claim on: what it says, or said when it last could."""
        if self.parsed is None or self.parsed.is_broken:
            return self.good
        return self.parsed.jobs


class Catalogue:
    """Remembers every file of the job folders. One owner, not to be shared between threads."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._entries: dict[str, _Entry] = {}
        self._loaded = Loaded()  # what is in force now
        self._is_fresh = True

    def seed(self, installed: Iterable[tuple[StoredJob, Job]]) -> None:
        """Take the jobs that were in force before a restart as last good versions.

        Call before the first `update`. Dynamic jobs, which are in no file, are passed over.
        """
        in_force: dict[str, Wanted] = {}
        for stored, job in installed:
            if stored.origin is None:
                continue
            entry = self._entries.setdefault(stored.origin.path, _Entry())
            in_force[job.name] = Wanted(job, stored.origin)
            entry.good += (in_force[job.name],)
        self._loaded = Loaded(in_force)

    def copy(self) -> Catalogue:
        """Return a catalogue that goes on from here by itself, to try a load without consequences."""
        twin = Catalogue(self._settings)
        twin._entries = {path: replace(entry) for path, entry in self._entries.items()}
        twin._loaded = self._loaded
        twin._is_fresh = self._is_fresh
        return twin

    def update(
        self,
        files: Mapping[str, FileVersion],
        *,
        unread: Collection[str] = (),
        now: Instant | None = None,
    ) -> Loaded:
        """Return what *files*, a complete snapshot by shown path, ask for.

        Nothing is known of the files in the folders *unread*: their jobs stay as they are.

        When nothing has changed the answer is the same object as before.
        """
        entries = self._entries
        changed = [
            (path, version)
            for path, version in files.items()
            if not _is_known(entries, path, version)
        ]
        absent = [path for path in entries if path not in files]
        gone = [path for path in absent if os.path.dirname(path) not in unread]  # noqa: PTH120 - text
        if not changed and not gone and not self._is_fresh:
            return self._loaded
        for path in gone:
            del entries[path]
        for path in absent:
            if path in entries and entries[path].parsed is None:  # from before the restart
                entries[path].parsed = ParsedFile(path, (), (), is_broken=True)
        for path, version in changed:
            entry = entries.setdefault(path, _Entry())
            entry.version = version
            entry.parsed = self._parse(path, version, now)
        self._is_fresh = False
        self._loaded = self._resolve()
        return self._loaded

    def _parse(self, path: str, version: FileVersion, now: Instant | None) -> ParsedFile:
        if version.problem is not None:
            is_broken = version.problem.severity is Severity.ERROR
            return ParsedFile(path, (), (version.problem,), is_broken=is_broken)
        return load_file(path, version.data, settings=self._settings, now=now)

    def _resolve(self) -> Loaded:
        """Decide which file's job is in force for every name, and keep old objects where equal."""
        before = self._loaded.wanted
        paths = sorted(self._entries)
        clashes = self._clashes(paths)
        wanted: dict[str, Wanted] = {}
        problems: list[Problem] = []
        stale: list[str] = []
        for path in paths:
            entry = self._entries[path]
            parsed = entry.parsed
            assert parsed is not None, "every entry of the snapshot has been parsed"
            problems.extend(parsed.problems)
            problems.extend(clashes.get(path, ()))
            if parsed.is_broken or path in clashes:
                stale.append(path)
                continue
            if entry.accepted is not parsed:
                entry.good = tuple(_same_if_equal(each, before) for each in parsed.jobs)
                entry.accepted = parsed
            for each in entry.good:
                wanted[each.job.name] = each
        self._add_last_good(stale, wanted, before)
        broken_count = len(stale)
        stale = [path for path in stale if self._entries[path].good]
        problems.extend(self._too_many(wanted))
        return Loaded(wanted, tuple(problems), tuple(stale), len(paths), broken_count)

    def _add_last_good(
        self, stale: list[str], wanted: dict[str, Wanted], before: Mapping[str, Wanted]
    ) -> None:
        for path in stale:
            entry = self._entries[path]
            kept = []
            for each in entry.good:
                if each.job.name in wanted:
                    continue  # its own file does not ask for it any more, and another one does
                old = _same_if_equal(replace(each, stale=True), before)
                wanted[each.job.name] = old
                kept.append(old)
            entry.good = tuple(kept)
            entry.accepted = None  # once the file is good again, its jobs are not stale any more

    def _too_many(self, wanted: dict[str, Wanted]) -> list[Problem]:
        """Refuse the jobs beyond the limit: those in force stay, the last by path give way."""
        excess = len(wanted) - self._settings.max_jobs
        if excess <= 0:
            return []
        newest_first = sorted(
            wanted.values(),
            key=lambda each: (each.job.name not in self._loaded.wanted, _place(each)),
            reverse=True,
        )
        found = []
        for each in newest_first[:excess]:
            del wanted[each.job.name]
            path, line = _place(each)
            limit = f"more than {self._settings.max_jobs} jobs; this one is not installed"
            found.append(Problem(path, line, 1, "LU007", limit, "raise `max_jobs` in luad.yaml"))
        return sorted(found)

    def _clashes(self, paths: list[str]) -> dict[str, list[Problem]]:
        """The files that name a job which is another file's: of two, the one in force stays.

        Among files that are all new the first by path is taken, so every start agrees.
        """
        claims: dict[str, list[str]] = {}
        has_clash = False
        for path in paths:
            for each in self._entries[path].claimed:
                claimants = claims.setdefault(each.job.name, [])
                claimants.append(path)
                has_clash = has_clash or len(claimants) > 1
        if not has_clash:
            return {}
        taken: dict[str, str] = {}
        clashes: dict[str, list[Problem]] = {}
        for path in paths:
            parsed = self._entries[path].parsed
            if parsed is None or parsed.is_broken:
                continue
            lost = [
                (each, holder)
                for each in parsed.jobs
                if (holder := self._holder(each.job.name, path, claims, taken)) != path
            ]
            if lost:
                clashes[path] = [self._clash(each, holder, path) for each, holder in lost]
            else:
                taken.update(dict.fromkeys((each.job.name for each in parsed.jobs), path))
        return clashes

    def _holder(
        self, name: str, path: str, claims: dict[str, list[str]], taken: dict[str, str]
    ) -> str:
        """The file that a name belongs to when *path* asks for it."""
        in_force = self._loaded.wanted.get(name)
        if in_force is not None and in_force.origin is not None:
            owner = in_force.origin.path
            if owner in claims[name]:
                return owner
        return taken.get(name, path)

    def _clash(self, loser: Wanted, holder: str, path: str) -> Problem:
        entry = self._entries[holder]
        jobs = (entry.parsed.jobs if entry.parsed else ()) + entry.good
        lines = [
            each.origin.line for each in jobs if each.job.name == loser.job.name and each.origin
        ]
        first = f"{holder}:{lines[0]}" if lines else holder
        name = loser.job.name
        return Problem(
            path,
            loser.origin.line if loser.origin else 1,
            1,
            "LU401",
            f"duplicate job name `{name}`; first defined at {first}",
            help="rename one of the two; this file is ignored until then",
            job=name,
        )


def _is_known(entries: dict[str, _Entry], path: str, version: FileVersion) -> bool:
    entry = entries.get(path)
    if entry is None or entry.version is None:
        return False
    known = entry.version
    return known is version or (known.key == version.key and known.problem == version.problem)


def _same_if_equal(wanted: Wanted, before: Mapping[str, Wanted]) -> Wanted:
    """Return the object that was there before, as much of it as still says the same."""
    old = before.get(wanted.job.name)
    if old is None or not _is_same(old.job, wanted.job):
        return wanted
    if old.origin == wanted.origin and old.stale == wanted.stale:
        return old
    return Wanted(old.job, wanted.origin, stale=wanted.stale)


def _is_same(one: Job, other: Job) -> bool:
    return one is other or (one.revision == other.revision and one.name == other.name)


def _place(wanted: Wanted) -> tuple[str, int]:
    return (wanted.origin.path, wanted.origin.line) if wanted.origin else ("", 0)
