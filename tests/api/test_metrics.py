"""The lines of the jobs, read with the library's parser and held against what the library writes."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.parser import text_string_to_metric_families

from luad.api.json.job_metrics import FAMILIES, JobLines
from luad.api.json.metrics import scrape
from luad.core.events import ClaimRun, RecordSkip, RemoveJob, SaveRun
from luad.core.model import Cron, Job, Reason, Run, RunState, Skip, Trigger
from luad.live.job_state import JobStateView
from luad.live.recent_runs import BUCKETS_S, Histogram, RecentRuns, Tally

RAN = (RunState.SUCCEEDED, Trigger.SCHEDULE)
LATE = (RunState.MISSED, "downtime")


def view(name: str = "tidy", *, handler: str = "house:tidy") -> Any:
    job = Job(name, handler, Cron("0 3 * * *"), "r1", definition={"name": name})
    return JobStateView(job, f"job_{name}", 0, 0, next_fire_at=1_500)


def histogram_of(*seconds: float) -> Histogram:
    histogram = Histogram()
    for each in seconds:
        histogram.add(each)
    return histogram


def tally_of(*seconds: float) -> Tally:
    tally = Tally("tidy", run_counts={RAN: 3}, skip_counts={LATE: 1_234_567}, retries=2)
    tally.durations = histogram_of(*seconds)
    return tally


def text_of(*jobs: tuple[JobStateView, Tally | None]) -> str:
    lines = JobLines()
    for state, tally in jobs:
        lines.add(state, tally)
    return "".join(lines.texts())


def samples(text: str) -> dict[Any, float]:
    return {
        (sample.name, *sorted(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


class ByTheLibrary:
    def __init__(self, tally: Tally) -> None:
        self.tally = tally

    def collect(self) -> Iterable[Metric]:
        assert self.tally.durations is not None
        runs = CounterMetricFamily("luad_runs", "", labels=("job", "status", "trigger"))
        runs.add_metric(("tidy", "succeeded", "schedule"), self.tally.run_counts[RAN])
        runs.add_metric(("tidy", "missed", "schedule"), self.tally.skip_counts[LATE])
        total, buckets = 0, []
        for bound, count in zip((*BUCKETS_S, "+Inf"), self.tally.durations.counts, strict=True):
            total += count
            buckets.append((str(bound), total))
        durations = HistogramMetricFamily("luad_run_duration_seconds", "", labels=("job",))
        durations.add_metric(("tidy",), buckets, self.tally.durations.total_s)
        return runs, durations


@given(st.lists(st.floats(0, 1e9), max_size=20))
@pytest.mark.slow
def test_the_lines_say_what_the_library_would_say(seconds: list[float]) -> None:
    tally = tally_of(*seconds)
    registry = CollectorRegistry()
    registry.register(ByTheLibrary(tally))
    expected = samples(generate_latest(registry).decode())
    assert expected.items() <= samples(text_of((view(), tally))).items()


def test_every_family_is_there_even_without_a_job() -> None:
    families = list(text_string_to_metric_families(text_of()))
    kinds = [(each.name.removesuffix("_total"), each.kind) for each in FAMILIES]
    assert [(each.name, each.type) for each in families] == kinds


@given(st.text(st.characters(exclude_categories=("Cs",))))
@pytest.mark.slow
def test_whatever_a_label_holds_is_read_back(handler: str) -> None:
    labels = [dict(key[1:]) for key in samples(text_of((view(handler=handler), None)))]
    assert [each["handler"] for each in labels if "handler" in each] == [handler]


def ended(number: int, job_id: str, state: RunState = RunState.SUCCEEDED) -> Run:
    return Run(
        f"run_{number:026d}",
        job_id,
        job_id,
        "r",
        Trigger.SCHEDULE,
        *(0, 0, 0),
        state,
        started_at=0,
        ended_at=2_000,
    )


def test_dynamic_jobs_of_a_handler_share_their_lines_and_counts_never_go_back() -> None:
    handlers = {"job_a": "house:tidy", "job_b": "house:tidy", "job_d": "other:x"}
    recent_runs = RecentRuns(handlers.get)
    for number, job_id in enumerate(["job_a", "job_b", "job_a", "job_file"]):
        recent_runs.observe([ClaimRun(ended(number, job_id, RunState.QUEUED))])
        recent_runs.observe([SaveRun(ended(number, job_id)), RemoveJob(job_id, job_id, 0)])
    missed = Skip(RunState.MISSED, Reason.DOWNTIME, 0, 5, 1_234_567)
    recent_runs.observe([RecordSkip("run_s", "a", "job_a", "r", missed, 0)])
    lines = JobLines()
    for handler, tally in recent_runs.dynamic.items():
        lines.add_shared(f"dynamic:{handler}", tally)
    found = samples("".join(lines.texts()))
    job = ("job", "dynamic:house:tidy")
    assert {key[1] for key in found} == {job}
    assert found["luad_runs_total", job, ("status", "succeeded"), ("trigger", "schedule")] == 3
    assert found["luad_runs_missed_total", job, ("reason", "downtime")] == 1_234_567
    assert found["luad_run_duration_seconds_count", job] == 3
    assert found["luad_run_duration_seconds_sum", job] == 6


def test_the_counter_of_a_file_job_begins_at_zero() -> None:
    fresh = samples(text_of((view(), None)))
    counts = {key[2][1]: value for key, value in fresh.items() if key[0] == "luad_runs_total"}
    assert counts == dict.fromkeys(["succeeded", "failed", "timed_out", "cancelled", "lost"], 0)
    ran = samples(text_of((view(), tally_of(1))))
    job = ("job", "tidy")
    assert ran["luad_runs_total", job, ("status", "succeeded"), ("trigger", "schedule")] == 3
    assert ran["luad_runs_total", job, ("status", "failed"), ("trigger", "schedule")] == 0


async def test_the_loop_turns_while_the_jobs_are_written(daemon: Any, kit: Any) -> None:
    await daemon.install(*(kit.make_job(f"job-{number:03}") for number in range(300)))
    turns = 0

    async def count() -> None:
        nonlocal turns
        while True:
            await asyncio.sleep(0)
            turns += 1

    counting = asyncio.create_task(count())
    pieces = [piece async for piece in scrape(daemon)]
    counting.cancel()
    assert turns >= 5
    assert b"".join(pieces).count(b"\nluad_job_info{") == 300
