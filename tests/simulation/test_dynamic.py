"""Jobs that are made at run time, in random order with everything else, against a model.

Every step may make, replace, change or delete a job, write to its metadata, load files that declare the
same names, let time pass, or go on with a new engine that knows what the store knows.
"""

from __future__ import annotations

import random  # noqa: TID251 - the seed is the test
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "core"))

from bench import START, Bench, make_job

from luad.core.events import ConfigLoaded, DeleteRequested, MetadataRequested
from luad.core.model import EndKind, Interval, Job, Once, Origin, Trigger, Wanted

NAMES = ("a", "b", "c", "d")
BY_SCHEDULE = (Trigger.SCHEDULE, Trigger.CATCHUP)


class Life:
    """One random life of an engine, and what must be true of it."""

    def __init__(self, seed: int) -> None:
        self.dice = random.Random(seed)  # noqa: S311 - not for secrets
        self.bench = Bench()
        self.made: dict[str, dict[str, Any]] = {}  # dynamic jobs: their metadata
        self.files: dict[str, Job] = {}
        self.gone: dict[str, float] = {}  # job id -> when its removal was acknowledged
        self.ended: set[str] = set()

    def job(self, name: str) -> Job:
        seconds = self.dice.randrange(1, 400)
        if self.dice.random() < 0.4:
            schedule: Any = Once(self.bench.wall + seconds * 1_000)
        else:
            schedule = Interval(seconds * 1_000)
        return make_job(name, schedule, metadata={"made": self.dice.randrange(1_000_000)})

    def step(self) -> None:
        name = self.dice.choice(NAMES)
        entry = self.bench.engine.entries.get(name)
        is_dynamic = entry is not None and entry.wanted.is_dynamic
        match self.dice.randrange(8):
            case 0 | 1:
                self.create(name)
            case 2:
                self.bench.feed(DeleteRequested("x", name))
                assert (self.bench.reply().error is None) == is_dynamic
                if is_dynamic and entry is not None:
                    self.gone[entry.job_id] = self.bench.wall
                    del self.made[name]
            case 3:
                values = {self.dice.choice("xyz"): self.dice.randrange(9)}
                self.bench.feed(MetadataRequested("w", name, values))
                if is_dynamic:
                    self.made[name] |= values
            case 4:
                self.load(name)
            case 5:
                self.bench.restart()
                self.load_files()
            case _:
                self.pass_time(self.dice.randrange(1, 300))
        self.check()

    def create(self, name: str) -> None:
        job = self.job(name)
        if_exists = self.dice.choice(["error", "keep", "replace"])
        created = self.bench.create(job, if_exists)  # type: ignore[arg-type]
        if created.outcome in ("created", "replaced"):
            self.made[name] = dict(job.metadata)
        elif created.outcome == "refused":
            assert name in self.made or name in self.files

    def load(self, name: str) -> None:
        if name in self.files and self.dice.random() < 0.5:
            del self.files[name]
        else:
            self.files[name] = self.job(name)
        self.load_files()

    def load_files(self) -> None:
        wanted = {name: Wanted(job, Origin(f"{name}.yaml")) for name, job in self.files.items()}
        self.bench.feed(ConfigLoaded(wanted))

    def pass_time(self, seconds: int) -> None:
        self.bench.go_to((self.bench.wall - START) / 1_000 + seconds)
        for run in self.bench.engine.runs.all():
            if run.id not in self.ended:
                self.ended.add(run.id)
                kind = self.dice.choice([EndKind.RETURNED, EndKind.RETURNED, EndKind.RAISED])
                self.bench.end(run, kind)
        for name in tuple(self.made):  # what was due once and has succeeded has left
            entry = self.bench.engine.entries.get(name)
            if entry is None or not entry.wanted.is_dynamic:
                del self.made[name]

    def check(self) -> None:
        entries = self.bench.engine.entries
        dynamic = {name for name, each in entries.items() if each.wanted.is_dynamic}
        assert dynamic == set(self.made)
        for name in dynamic:
            assert dict(entries[name].current.metadata) == self.made[name]
        assert set(entries) == dynamic | set(self.files), "a file gets its name back"
        claims = [run for run in self.bench.claims() if run.trigger in BY_SCHEDULE]
        twice = Counter((run.job_id, run.scheduled_for) for run in claims)
        assert not [key for key, count in twice.items() if count > 1]
        for run in claims:
            assert run.claimed_at >= run.fire_at, "never early"
            assert run.claimed_at <= self.gone.get(run.job_id, run.claimed_at), (
                "never after removal"
            )


@pytest.mark.parametrize("start", range(0, 300, 30))
def test_nothing_is_lost_doubled_or_fired_after_its_end(start: int) -> None:
    for seed in range(start, start + 30):
        life = Life(seed)
        for _ in range(60):
            life.step()
