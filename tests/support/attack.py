"""The parts that attacks on a running daemon share: a well-behaved job, and its promises."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from types import TracebackType

from luad.clock import wall_ms
from support.forked_daemon import ForkedDaemon
from support.live_daemon import LiveDaemon
from support.witness import Witness, worst_delay_ms

TIMES_AS_LATE = 5

HANDLERS = """
def note(job):
    print("noted", job.name)
"""


def job(name: str, handler: str = "work:note", seconds: int = 1, more: str = "") -> str:
    """The text of a job file."""
    schedule = f"schedule: {{type: interval, seconds: {seconds}}}"
    return f"name: {name}\nhandler: {handler}\n{schedule}\n{more}\n"


class WitnessedDaemon(ForkedDaemon):
    """A daemon with a witness beside it while it runs."""

    witness: Witness | None = None

    def start(self, *, wait: bool = True) -> LiveDaemon:
        if self.witness is None:
            self.witness = Witness(self.folder)
        return super().start(wait=wait)

    def stop(self) -> int:
        try:
            return super().stop()
        finally:
            self.dismiss_witness()

    def kill(self) -> None:
        super().kill()
        self.dismiss_witness()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            super().__exit__(kind, error, trace)
        finally:
            self.dismiss_witness()

    def dismiss_witness(self) -> None:
        """End the witness; its notes stay."""
        if self.witness is not None:
            self.witness.close()
            self.witness = None

    def bound_ms(self, most_ms: int) -> int:
        """Return *most_ms*, or a few times the witness's worst delay where that is more."""
        return max(most_ms, TIMES_AS_LATE * worst_delay_ms(self.folder))


def besieged(folder: Path, *options: str, env: dict[str, str] | None = None) -> WitnessedDaemon:
    """A daemon, not yet started, with `tick`: a job that runs every second and harms nobody."""
    daemon = WitnessedDaemon(folder, *options, env=env)
    daemon.write_handler("work", HANDLERS)
    daemon.write_job("tick", job("tick"))
    return daemon


def assert_every_second_has_its_row(daemon: LiveDaemon, name: str = "tick") -> None:
    """No occurrence is without a row, and none has two: row follows row, second by second."""
    rows = daemon.rows(
        "SELECT coalesce(skip_first, scheduled_for), scheduled_for, id FROM runs "
        "WHERE job_name = ? AND \"trigger\" IN ('schedule', 'catchup') ORDER BY 1",
        name,
    )
    assert rows
    for (_, last, one), (first, _, other) in pairwise(rows):
        assert first == last + 1_000, f"{name}: {one} ends at {last}, {other} begins at {first}"


def assert_on_time(daemon: WitnessedDaemon, most_ms: int, name: str = "tick") -> None:
    """Every occurrence ran, none later than *most_ms*, or than a few times the witness's worst.

    An occurrence is skipped if luad does not know yet that the run before it is over. It counts as late
    until the next run starts.
    """
    assert_every_second_has_its_row(daemon, name)
    rows = daemon.rows(
        "SELECT state, reason, coalesce(skip_first, scheduled_for), started_at FROM runs "
        "WHERE job_name = ? ORDER BY scheduled_for",
        name,
    )
    assert {state for state, *_ in rows} <= {"succeeded", "running", "queued", "skipped"}, rows
    assert {reason for state, reason, *_ in rows if state == "skipped"} <= {"overlap"}, rows
    starts = [started for *_, started in rows if started is not None]
    late_ms = [
        next((start for start in starts if start >= due), wall_ms()) - due
        for state, _, due, _ in rows
        if state == "skipped"
    ]
    late_ms += [started - due for *_, due, started in rows if started is not None]
    bound_ms = daemon.bound_ms(most_ms)
    assert max(late_ms) <= bound_ms, (bound_ms, rows)
