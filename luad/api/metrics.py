"""Numbers for Prometheus.

Room rule: a scrape takes a snapshot on the loop and renders it in a thread. Names and labels are a
contract (docs/reference/http-api.md); counters start at zero with the daemon and never go back on a
reload.
"""

from __future__ import annotations

import platform
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)

from luad import __version__
from luad.api import views
from luad.api.board import BUCKETS_S, Histogram, Tally
from luad.core.model import JobStatus
from luad.core.schedule import describe_schedule
from luad.errors import Severity

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from luad.api.service import JobStateView, Service
    from luad.core.model import Instant

CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"


@dataclass(frozen=True, slots=True)
class Numbers:
    """A snapshot of everything that the metrics are made of; belongs to whoever took it."""

    states: Sequence[JobStateView]
    tallies: Mapping[str, Tally]
    status: Mapping[str, Any]
    error_count: int
    stale_count: int

    @classmethod
    def of(cls, service: Service) -> Numbers:
        """Take the snapshot."""
        errors = [each for each in service.problems() if each.severity is Severity.ERROR]
        states = tuple(service.jobs())
        return cls(
            states,
            {key: _copy(tally) for key, tally in service.board.tallies.items()},
            dict(service.status()),
            len(errors),
            sum(state.stale for state in states),
        )


def render(numbers: Numbers) -> bytes:
    """Return the text that Prometheus reads."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Collector(numbers))
    return generate_latest(registry)


class _Collector:
    def __init__(self, numbers: Numbers) -> None:
        self._numbers = numbers

    def describe(self) -> Iterable[Metric]:
        """Nothing beforehand: the registry lives for one scrape."""
        return ()

    def collect(self) -> Iterator[Metric]:
        """Yield every family."""
        pairs = [(state, self._numbers.tallies.get(state.job_id)) for state in self._numbers.states]
        yield from _about_jobs(pairs)
        yield from _about_last_runs(pairs)
        yield from _about_runs(pairs)
        yield from _about_daemon(self._numbers)


_Pairs = list[tuple["JobStateView", "Tally | None"]]


def label_of(state: JobStateView) -> str:
    """The label `job`. Dynamic jobs share one per handler: reminders must not explode the set."""
    return f"dynamic:{state.job.handler}" if state.is_dynamic else state.job.name


def _about_jobs(pairs: _Pairs) -> Iterator[Metric]:
    info = GaugeMetricFamily(
        "luad_job_info",
        "What a job is; always 1",
        labels=("job", "source", "schedule", "timezone", "handler"),
    )
    active = _gauge("luad_job_active", "1 while the job is scheduled, 0 paused or completed")
    stale = _gauge("luad_job_stale", "1 while the file is broken and its last good version runs")
    failures = _gauge("luad_job_consecutive_failures", "Failed runs since the last good one")
    planned = _gauge("luad_job_next_run_timestamp_seconds", "When the job fires next")
    for state, _ in pairs:
        if state.is_dynamic:
            continue
        name = (state.job.name,)
        schedule = state.job.schedule
        words = describe_schedule(schedule)
        zone = views.timezone_of(schedule)
        info.add_metric((*name, "file", words, zone, state.job.handler), 1)
        active.add_metric(name, state.status is JobStatus.ACTIVE)
        stale.add_metric(name, state.stale)
        failures.add_metric(name, state.consecutive_failures)
        _add_instant(planned, name, state.next_fire_at)
    yield from (info, active, stale, failures, planned)


def _about_last_runs(pairs: _Pairs) -> Iterator[Metric]:
    start = _gauge("luad_job_last_start_timestamp_seconds", "When the job's last run began")
    success = _gauge("luad_job_last_success_timestamp_seconds", "When a run last ended well")
    completion = _gauge("luad_job_last_completion_timestamp_seconds", "When a run last ended")
    is_success = _gauge("luad_job_last_run_success", "1 if the last run that ended ended well")
    duration = _gauge("luad_job_last_run_duration_seconds", "How long the last run took")
    for state, tally in pairs:
        if tally is None or state.is_dynamic:
            continue
        name = (state.job.name,)
        _add_instant(start, name, tally.last_start)
        _add_instant(success, name, tally.last_success)
        _add_instant(completion, name, tally.last_completion)
        if tally.is_last_success is not None:
            is_success.add_metric(name, tally.is_last_success)
        if tally.last_duration_ms is not None:
            duration.add_metric(name, tally.last_duration_ms / 1000)
    yield from (start, success, completion, is_success, duration)


def _about_runs(pairs: _Pairs) -> Iterator[Metric]:
    runs: dict[tuple[str, ...], int] = {}
    skips: dict[tuple[str, ...], int] = {}
    retries: dict[str, int] = {}
    durations: dict[str, Histogram] = {}
    delays: dict[str, Histogram] = {}
    for state, tally in pairs:
        if tally is None:
            continue
        name = label_of(state)
        for (status, trigger), count in tally.run_counts.items():
            _add(runs, (name, status.value, trigger.value), count)
        for (status, reason), count in tally.skip_counts.items():
            _add(runs, (name, status.value, "schedule"), count)
            _add(skips, (name, reason), count)
        retries[name] = retries.get(name, 0) + tally.retries
        _merge(durations, name, tally.durations)
        _merge(delays, name, tally.delays)
    yield _counter("luad_runs", "Runs that ended", ("job", "status", "trigger"), runs)
    yield _counter(
        "luad_runs_missed", "Occurrences that did not become a run", ("job", "reason"), skips
    )
    yield _counter(
        "luad_run_retries",
        "Attempts after the first",
        ("job",),
        {(name,): count for name, count in retries.items()},
    )
    yield _histogram("luad_run_duration_seconds", "How long runs took", durations)
    yield _histogram("luad_run_start_delay_seconds", "From fire time to start", delays)


def _about_daemon(numbers: Numbers) -> Iterator[Metric]:
    status, states = numbers.status, numbers.states
    reload, store = status.get("last_reload") or {}, status.get("store") or {}
    build = GaugeMetricFamily("luad_build_info", "Always 1", labels=("version", "python"))
    build.add_metric((__version__, platform.python_version()), 1)
    yield build
    lag = status.get("event_loop_lag_ms")
    plain: tuple[tuple[str, str, float | None], ...] = (
        ("luad_runs_active", "Runs under way", sum(len(each.running) for each in states)),
        ("luad_runs_queued", "Runs that wait", sum(each.queued for each in states)),
        ("luad_config_errors", "Errors in the job files", numbers.error_count),
        (
            "luad_config_last_reload_successful",
            "1 if the last reload found no error",
            float(reload.get("ok", not numbers.error_count)),
        ),
        (
            "luad_config_last_reload_success_timestamp_seconds",
            "When a reload last found no error",
            _seconds(reload.get("last_success_at")),
        ),
        (
            "luad_scheduler_last_tick_timestamp_seconds",
            "When the loop last turned",
            _seconds(status.get("last_tick_at")),
        ),
        ("luad_event_loop_lag_seconds", "How late the loop wakes", lag and lag / 1000),
        ("luad_db_size_bytes", "Size of the store", store.get("size_bytes")),
    )
    for name, words, value in plain:
        if value is not None:
            yield GaugeMetricFamily(name, words, value=value)


# --- small things ------------------------------------------------------------------------------


def _gauge(name: str, words: str) -> GaugeMetricFamily:
    return GaugeMetricFamily(name, words, labels=("job",))


def _add_instant(family: GaugeMetricFamily, labels: tuple[str], at: Instant | None) -> None:
    if at is not None:
        family.add_metric(labels, at / 1000)


def _add(counts: dict[tuple[str, ...], int], key: tuple[str, ...], count: int) -> None:
    counts[key] = counts.get(key, 0) + count


def _counter(
    name: str, words: str, labels: tuple[str, ...], counts: Mapping[tuple[str, ...], int]
) -> Metric:
    family = CounterMetricFamily(name, words, labels=labels)
    for key, count in counts.items():
        family.add_metric(key, count)
    return family


def _histogram(name: str, words: str, histograms: Mapping[str, Histogram]) -> Metric:
    family = HistogramMetricFamily(name, words, labels=("job",))
    for job, histogram in histograms.items():
        total, buckets = 0, []
        for bound, count in zip((*BUCKETS_S, "+Inf"), histogram.counts, strict=True):
            total += count
            buckets.append((str(bound), total))
        family.add_metric((job,), buckets, histogram.total_s)
    return family


def _merge(into: dict[str, Histogram], name: str, histogram: Histogram | None) -> None:
    if histogram is None:
        return
    known = into.get(name)
    if known is None:
        into[name] = histogram
        return
    into[name] = Histogram(
        [left + right for left, right in zip(known.counts, histogram.counts, strict=True)],
        known.total_s + histogram.total_s,
    )


def _copy(tally: Tally) -> Tally:
    """A copy that the loop does not change while a thread reads it."""
    return replace(
        tally,
        strip="",
        run_counts=dict(tally.run_counts),
        skip_counts=dict(tally.skip_counts),
        durations=_copy_histogram(tally.durations),
        delays=_copy_histogram(tally.delays),
    )


def _copy_histogram(histogram: Histogram | None) -> Histogram | None:
    return None if histogram is None else Histogram(list(histogram.counts), histogram.total_s)


def _seconds(text: str | None) -> float | None:
    from luad.wire import parse_instant  # noqa: PLC0415 - one of two uses

    return None if text is None else parse_instant(text) / 1000
