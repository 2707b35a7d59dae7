"""Numbers for Prometheus.

Rule: everything happens on the loop, in portions between which it does what else is due; every job
is seen at one moment. Names and labels are a contract (docs/reference/http-api.md); counters start at
zero with the daemon and never go back on a reload.
"""

from __future__ import annotations

import asyncio
import platform
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)

from luad import __version__
from luad.api.json.cluster_metrics import node_families
from luad.api.json.job_metrics import JobLines
from luad.errors import StoreUnavailableError
from luad.json_text import to_bytes
from luad.live.job_choice import JobChoice
from luad.wire import parse_instant

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Iterable, Iterator, Mapping

    from luad.api.service import Service
    from luad.store.query_types import Cluster

CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"

_STATIC_JOBS: Final = JobChoice(is_dynamic=False)
_PORTION: Final = 20
"""Jobs at one go: a millisecond."""


class Numbers(NamedTuple):
    """The counters of the API itself. *refused*: requests of clients without a valid token, by the code of
    the answer; *certificate_until*: when the certificate in use expires, in seconds."""

    refused: Mapping[str, int] = {}
    certificate_until: float | None = None


NO_NUMBERS: Final = Numbers()


async def scrape(service: Service, numbers: Numbers = NO_NUMBERS) -> AsyncGenerator[bytes, None]:
    """Yield the text that Prometheus reads, family after family."""
    lines = JobLines()
    to: str | None = ""
    while to is not None:
        places, to = service.installed.search(_STATIC_JOBS, to, _PORTION)
        tallies = service.recent_runs.tallies
        for state in filter(None, map(service.installed.at, places)):
            lines.add(state, tallies.get(state.job_id))
        await asyncio.sleep(0)
    for handler, tally in service.recent_runs.dynamic.items():
        lines.add_shared(f"dynamic:{handler}", tally)
    for text in lines.texts():
        yield to_bytes(text)
    try:
        cluster = await service.cluster()
    except StoreUnavailableError:
        cluster = None
    yield about_daemon(service, numbers, cluster)


def about_daemon(service: Service, numbers: Numbers, cluster: Cluster | None = None) -> bytes:
    """Return the numbers of the daemon itself, and of the *cluster* that it is a part of."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Collector(service, numbers, cluster))
    return generate_latest(registry)


class _Collector:
    def __init__(self, service: Service, numbers: Numbers, cluster: Cluster | None) -> None:
        self._service = service
        self._cluster = cluster
        self._numbers = numbers

    def describe(self) -> Iterable[Metric]:
        """Nothing beforehand: the registry lives for one scrape."""
        return ()

    def collect(self) -> Iterator[Metric]:
        """Yield every family."""
        build = GaugeMetricFamily("luad_build_info", "Always 1", labels=("version", "python"))
        build.add_metric((__version__, platform.python_version()), 1)
        yield build
        counts = CounterMetricFamily(
            "luad_deliveries", "Messages by channel and outcome", labels=("channel", "status")
        )
        for each in self._service.status().get("deliveries", ()):
            counts.add_metric((each["channel"], each["status"]), each["count"])
        yield counts
        yield from _lag(self._service.status().get("event_loop_lag"))
        yield from _shared(self._service.status().get("shared") or _NO_SHARED)
        refused = CounterMetricFamily(
            "luad_api_refused", "Requests over TCP without a valid token", labels=("reason",)
        )
        for reason, count in self._numbers.refused.items():
            refused.add_metric((reason,), count)
        yield refused
        waiting = GaugeMetricFamily(
            "luad_queue_waiting", "Runs of queues that no worker serves", labels=("queue",)
        )
        load = self._cluster.load if self._cluster else None
        for queue, count in (load.waiting if load else self._service.unserved.counts).items():
            waiting.add_metric((queue,), count)
        yield waiting
        yield from node_families(self._service.status().get("node"), self._cluster)
        until = self._numbers.certificate_until
        words = "When the TLS certificate in use expires"
        gauge = ("luad_tls_certificate_expiry_timestamp_seconds", words, until)
        for name, words, value in (*_plain(self._service), gauge):
            if value is not None:
                yield GaugeMetricFamily(name, words, value=value)


_NO_SHARED: Final = {"processes": 0, "ended": {}}


def _lag(lag: Mapping[str, Any] | None) -> Iterator[Metric]:
    """Yield the histogram of the lags of the event loop, in seconds."""
    if lag is None:
        return
    bounds = [(str(each["le_ms"] / 1000), float(each["count"])) for each in lag["buckets"]]
    yield HistogramMetricFamily(
        "luad_event_loop_delay_seconds",
        "How late the loop woke, twice a second",
        buckets=[*bounds, ("+Inf", float(lag["count"]))],
        sum_value=lag["sum_ms"] / 1000,
    )


def _shared(shared: Mapping[str, Any]) -> Iterator[Metric]:
    """Yield the families of shared processes."""
    yield GaugeMetricFamily("luad_shared_processes", "Shared processes", shared["processes"])
    ended = CounterMetricFamily(
        "luad_shared_processes_ended", "Shared processes that have ended", labels=("reason",)
    )
    for reason, count in shared["ended"].items():
        ended.add_metric((reason,), count)
    yield ended


def _plain(service: Service) -> Iterable[tuple[str, str, float | None]]:
    """Name, words and value of each gauge without labels; None is not shown."""
    status, problems = service.status(), service.problems()
    reload, store = status.get("last_reload") or {}, status.get("store") or {}
    errors = problems.error_count
    counts = service.installed.counts(service.clock.now().wall)
    lag_ms = status.get("event_loop_lag_ms")
    return (
        ("luad_runs_active", "Runs under way", counts.running_runs),
        ("luad_runs_queued", "Runs that wait", counts.queued_runs),
        ("luad_config_errors", "Errors in the job files", errors),
        (
            "luad_config_last_reload_successful",
            "1 if the last reload found no error",
            float(reload.get("ok", not errors)),
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
        (
            "luad_event_loop_lag_seconds",
            "How late the loop wakes",
            None if lag_ms is None else lag_ms / 1000,
        ),
        ("luad_db_size_bytes", "Size of the store", store.get("size_bytes")),
    )


def _seconds(text: str | None) -> float | None:
    return None if text is None else parse_instant(text) / 1000
