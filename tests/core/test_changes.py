"""A change of the static jobs in portions does what a load of all of them does, and looks at nothing else."""

from __future__ import annotations

import random  # noqa: TID251 - each history has its seed
from collections.abc import Iterable

import pytest

from luad.core import jobset
from luad.core.events import ConfigChanged, ConfigLoaded, Effect, Log, Reply
from luad.core.model import Interval, Once, Origin, Overlap, Run, RunState, Wanted
from luad.core.plan import Plan
from tests.support.engine_bench import START, Bench, make_job

Jobs = dict[str, Wanted]


class History:
    """The same files, in the same moments, for two engines: one gets all jobs, one gets the changes."""

    def __init__(self, seed: int) -> None:
        self.dice = random.Random(seed)  # noqa: S311 - no secret
        self.whole, self.changing = Bench(), Bench()
        self.jobs: Jobs = {}
        self.now_s = 0

    def step(self) -> None:
        self.now_s += self.dice.choice([1, 30, 61])
        for bench in (self.whole, self.changing):
            bench.go_to(self.now_s)
        if self.dice.random() < 0.3:
            name = self.dice.choice("abcd")
            job = make_job(name, Interval(self.dice.choice([20_000, 60_000])))
            for bench in (self.whole, self.changing):
                bench.create(job, "replace")
        if self.dice.random() < 0.5:
            self.end_a_run()
        before, self.jobs = self.jobs, self.edited()
        one, other = len(self.whole.effects), len(self.changing.effects)
        self.whole.feed(ConfigLoaded(self.jobs))
        names = sorted({*before, *self.jobs}, key=lambda name: name in self.jobs)
        items = {name: self.jobs.get(name) for name in names}
        changes = [(name, each) for name, each in items.items() if each is not before.get(name)]
        for at in range(0, len(changes), 2):
            self.changing.feed(ConfigChanged(dict(changes[at : at + 2])))
        assert essence(self.whole.effects[one:]) == essence(self.changing.effects[other:])
        assert state(self.whole) == state(self.changing)

    def end_a_run(self) -> None:
        for run in self.whole.engine.runs.all()[:1]:
            if run.state is RunState.RUNNING:
                self.whole.end(run)
                self.changing.end(run)

    def edited(self) -> Jobs:
        jobs = dict(self.jobs)
        for _ in range(self.dice.randint(1, 4)):
            name = self.dice.choice("abcdef")
            place = Origin(self.dice.choice(["x.yaml", "y.yaml"]), self.dice.randint(1, 3))
            match self.dice.randint(0, 4):
                case 0:
                    jobs.pop(name, None)
                case 1 if name in jobs:
                    jobs[name] = Wanted(jobs[name].job, place, stale=self.dice.random() < 0.5)
                case 2:
                    at = START + self.dice.randint(0, 400) * 1_000
                    jobs[name] = Wanted(make_job(name, Once(at)), place)
                case _:
                    schedule = Interval(self.dice.choice([10_000, 60_000]))
                    overlap = self.dice.choice([Overlap.SKIP, Overlap.QUEUE])
                    jobs[name] = Wanted(make_job(name, schedule, overlap=overlap), place)
        return jobs


def essence(effects: Iterable[Effect]) -> list[str]:
    """Return what has happened, without its order, log lines and answers."""
    return sorted(str(each) for each in effects if not isinstance(each, Log | Reply))


def state(bench: Bench) -> object:
    engine = bench.engine
    jobs = {
        key: (str(each), engine.next_occurrence_of(key)) for key, each in engine.entries.items()
    }
    return jobs, sorted(map(str, engine.runs.all())), engine.static_count


def test_changes_in_portions_do_what_a_load_of_all_jobs_does() -> None:
    for seed in range(150):
        history = History(seed)
        for _ in range(15):
            history.step()


def test_a_change_looks_at_the_changed_jobs_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    jobs = {f"job-{n}": Wanted(make_job(f"job-{n}"), Origin("a.yaml", n)) for n in range(200)}
    bench = Bench()
    bench.feed(ConfigLoaded(jobs))
    seen: list[int] = []
    plan = jobset.make_plan

    def count(installed: Jobs, wanted: Jobs) -> Plan:
        seen.extend((len(installed), len(wanted)))
        return plan(installed, wanted)

    monkeypatch.setattr(jobset, "make_plan", count)
    faster = Wanted(make_job("job-7", Interval(5_000)), Origin("a.yaml", 7))
    effects = bench.feed(ConfigChanged({"job-7": faster, "job-8": None}, "r"))
    assert seen == [2, 1]
    (reply,) = (each for each in effects if isinstance(each, Reply))
    assert isinstance(reply.value, Plan)
    assert [each.name for each in reply.value.replace] == ["job-7"]
    assert (reply.value.remove, reply.value.keep) == (("job-8",), ())
    assert bench.engine.static_count == 199


def test_a_removed_job_does_not_fire_after_its_portion() -> None:
    bench = Bench()
    jobs = {name: Wanted(make_job(name), Origin("a.yaml")) for name in ("a", "b")}
    bench.feed(ConfigLoaded(jobs))
    bench.feed(ConfigChanged({"a": None}, "r"))
    assert {run.job_name for run in _started(bench, 60)} == {"b"}


def _started(bench: Bench, seconds: float) -> list[Run]:
    bench.go_to(seconds)
    return list(bench.engine.runs.all())
