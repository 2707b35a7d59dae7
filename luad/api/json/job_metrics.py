"""The numbers of each job as text for Prometheus.

Rule: pure; one job after the other goes in, whole families come out. The client library takes ten
times as long for a line (every label name is checked, every sample is an object of its own), and 10,000
jobs have 430,000 lines; the daemon's own few are left to it (`luad.api.json.metrics`). A test reads what is
written here with the library's parser, and holds it against what the library would write.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import accumulate
from types import MappingProxyType
from typing import TYPE_CHECKING, Final, NamedTuple

from luad.api.json.views import timezone_of
from luad.core.installed import JobStatus
from luad.core.model import RunState, Trigger
from luad.core.schedule import describe_schedule
from luad.live.recent_runs import BUCKETS_S, Histogram, Tally

if TYPE_CHECKING:
    from collections.abc import Iterator

    from luad.live.job_state import JobStateView


class Family(NamedTuple):
    """Lines of one name. *words* say what they are."""

    name: str
    kind: str
    words: str


INFO: Final = Family("luad_job_info", "gauge", "What a job is; always 1")
ACTIVE: Final = Family(
    "luad_job_active", "gauge", "1 while the job is scheduled, 0 paused or completed"
)
STALE: Final = Family(
    "luad_job_stale", "gauge", "1 while the file is broken and its last good version runs"
)
FAILURES: Final = Family(
    "luad_job_consecutive_failures", "gauge", "Failed runs since the last good one"
)
PLANNED: Final = Family("luad_job_next_run_timestamp_seconds", "gauge", "When the job fires next")
LAST_START: Final = Family(
    "luad_job_last_start_timestamp_seconds", "gauge", "When the job's last run began"
)
LAST_SUCCESS: Final = Family(
    "luad_job_last_success_timestamp_seconds", "gauge", "When a run last ended well"
)
LAST_COMPLETION: Final = Family(
    "luad_job_last_completion_timestamp_seconds", "gauge", "When a run last ended"
)
IS_SUCCESS: Final = Family(
    "luad_job_last_run_success", "gauge", "1 if the last run that ended ended well"
)
LAST_DURATION: Final = Family(
    "luad_job_last_run_duration_seconds", "gauge", "How long the last run took"
)
RUNS: Final = Family("luad_runs_total", "counter", "Runs that ended")
MISSED: Final = Family("luad_runs_missed_total", "counter", "Occurrences that did not become a run")
RETRIES: Final = Family("luad_run_retries_total", "counter", "Attempts after the first")
DURATIONS: Final = Family("luad_run_duration_seconds", "histogram", "How long runs took")
DELAYS: Final = Family("luad_run_start_delay_seconds", "histogram", "From fire time to start")

FAMILIES: Final = (
    INFO,
    ACTIVE,
    STALE,
    FAILURES,
    PLANNED,
    LAST_START,
    LAST_SUCCESS,
    LAST_COMPLETION,
    IS_SUCCESS,
    LAST_DURATION,
    RUNS,
    MISSED,
    RETRIES,
    DURATIONS,
    DELAYS,
)
ENDED: Final = (
    RunState.SUCCEEDED,
    RunState.FAILED,
    RunState.TIMED_OUT,
    RunState.CANCELLED,
    RunState.LOST,
)
_FROM_THE_START: Final = {(state, Trigger.SCHEDULE): 0 for state in ENDED}
_ZEROS: Final = tuple(f',status="{each.value}",trigger="schedule"}} 0\n' for each in ENDED)
_NOTHING: Final[Mapping[tuple[RunState, Trigger], int]] = MappingProxyType({})
_NO_RUNS: Final = Tally("")
_BOUNDS: Final = (*map(str, BUCKETS_S), "+Inf")


class JobLines:
    """Collects lines: `add` every job, then take the `texts`."""

    def __init__(self) -> None:
        self._lines: dict[Family, list[str]] = {each: [] for each in FAMILIES}

    def add(self, state: JobStateView, tally: Tally | None) -> None:
        """Write the lines of a static job."""
        label = f'job="{escaped(state.job.name)}"'
        self._about_job(label, state)
        if tally is not None:
            self._about_last_run(label, tally)
        # A counter that first appears with 1 has no increase that an alert could see.
        if tally is None or not (tally.run_counts or tally.skip_counts):
            start = f"{RUNS.name}{{{label}"
            self._lines[RUNS].append("".join([start + zero for zero in _ZEROS]))
            self._about_attempts(label, tally or _NO_RUNS)
        else:
            self._about_runs(label, tally, begun=_FROM_THE_START)

    def add_shared(self, name: str, tally: Tally) -> None:
        """Write the lines that all dynamic jobs of a handler share: reminders must not explode the set."""
        self._about_runs(f'job="{escaped(name)}"', tally)

    def texts(self) -> Iterator[str]:
        """Yield family after family. Nothing can be added any more."""
        for (name, kind, words), lines in self._lines.items():
            yield f"# HELP {name} {words}\n# TYPE {name} {kind}\n{''.join(lines)}"

    # --- one job ---

    def _put(self, family: Family, labels: str, value: float) -> None:
        self._lines[family].append(f"{family.name}{{{labels}}} {value}\n")

    def _put_seconds(self, family: Family, labels: str, ms: int | None) -> None:
        if ms is not None:
            self._put(family, labels, ms / 1000)

    def _about_job(self, label: str, state: JobStateView) -> None:
        job = state.job
        about = (
            f'{label},source="file",schedule="{escaped(describe_schedule(job.schedule))}",'
            f'timezone="{escaped(timezone_of(job.schedule))}",handler="{escaped(job.handler)}"'
        )
        self._put(INFO, about, 1)
        self._put(ACTIVE, label, int(state.status is JobStatus.ACTIVE))
        self._put(STALE, label, int(state.stale))
        self._put(FAILURES, label, state.consecutive_failures)
        self._put_seconds(PLANNED, label, state.next_fire_at)

    def _about_last_run(self, label: str, tally: Tally) -> None:
        self._put_seconds(LAST_START, label, tally.last_start)
        self._put_seconds(LAST_SUCCESS, label, tally.last_success)
        self._put_seconds(LAST_COMPLETION, label, tally.last_completion)
        if tally.is_last_success is not None:
            self._put(IS_SUCCESS, label, int(tally.is_last_success))
        self._put_seconds(LAST_DURATION, label, tally.last_duration_ms)

    def _about_runs(
        self, label: str, tally: Tally, begun: Mapping[tuple[RunState, Trigger], int] = _NOTHING
    ) -> None:
        ended, missed = {**begun, **tally.run_counts}, dict[str, int]()
        for (state, reason), count in tally.skip_counts.items():
            key = (state, Trigger.SCHEDULE)
            ended[key] = ended.get(key, 0) + count
            missed[reason] = missed.get(reason, 0) + count
        for (state, trigger), count in ended.items():
            self._put(RUNS, f'{label},status="{state.value}",trigger="{trigger.value}"', count)
        for reason, count in missed.items():
            self._put(MISSED, f'{label},reason="{reason}"', count)
        self._about_attempts(label, tally)

    def _about_attempts(self, label: str, tally: Tally) -> None:
        self._put(RETRIES, label, tally.retries)
        self._put_histogram(DURATIONS, label, tally.durations)
        self._put_histogram(DELAYS, label, tally.delays)

    def _put_histogram(self, family: Family, label: str, histogram: Histogram | None) -> None:
        if histogram is None:
            return
        start = f'{family.name}_bucket{{{label},le="'
        totals = list(accumulate(histogram.counts))
        buckets = zip(_BOUNDS, totals, strict=True)
        text = "".join([f'{start}{bound}"}} {total}\n' for bound, total in buckets])
        self._lines[family].append(
            f"{text}{family.name}_count{{{label}}} {totals[-1]}\n"
            f"{family.name}_sum{{{label}}} {histogram.total_s}\n"
        )


def escaped(text: str) -> str:
    """Return *text* as a label's value."""
    return text.replace("\\", r"\\").replace("\n", r"\n").replace('"', r"\"")
