"""The jobs of a soak: files, handlers, and the ledger that the handlers keep themselves.

The ledger is the second witness beside the database: every handler appends a line when it begins and
one when it ends, so that a run which the daemon forgot, or started twice, is seen all the same.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from support.live_daemon import LiveDaemon

HANDLERS = """
import os, sys, time


def _note(job, what):
    due, now = round(1000 * job.scheduled_for.timestamp()), time.time_ns() // 1_000_000
    text = f"{what} {job.run_id} {job.attempt} {job.name} {due} {now}\\n"
    ledger = os.open(job.metadata["ledger"], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    os.write(ledger, text.encode())
    os.close(ledger)


def quick(job):
    _note(job, "begin")
    _note(job, "end")


def talks(job):
    _note(job, "begin")
    print("a line\\n" * 200, flush=True)
    _note(job, "end")
    return {"lines": 200}


def fails(job):
    _note(job, "begin")
    _note(job, "end")
    if job.attempt == 1:
        raise RuntimeError("the first attempt fails")


def takes_a_while(job):
    _note(job, "begin")
    time.sleep(0.3)
    _note(job, "end")


async def tells(job):
    _note(job, "begin")
    await (await job.user()).send(f"hello from {job.name}")
    _note(job, "end")
"""
SETTINGS = """\
retention: {history: 30d, runs_per_job: 200, logs: 1d}
"""
USER = "id: ann\nchannels: [inbox]\n"
KINDS = ("quick", "quick", "quick", "talks", "fails", "takes_a_while", "quick", "quick")


@dataclass
class Scene:
    """A daemon's folder with *count* jobs of every second, spread over the second."""

    folder: Path
    count: int
    _read_until: int = 0
    _begun: int = 0

    @property
    def ledger(self) -> Path:
        return self.folder / "ledger"

    def set_up(self) -> LiveDaemon:
        """Write everything; the daemon is not started."""
        self.folder.mkdir()
        (self.folder / "users.d").mkdir()
        (self.folder / "users.d" / "ann.yaml").write_text(USER)
        (self.folder / "luad.yaml").write_text(SETTINGS)
        daemon = LiveDaemon(self.folder, "--config", str(self.folder / "luad.yaml"))
        daemon.write_handler("soaking", HANDLERS)
        for number in range(self.count):
            self.edit(daemon, number, 0)
        return daemon

    def edit(self, daemon: LiveDaemon, number: int, edition: int) -> None:
        """Write the file of a job anew; only its metadata differ."""
        daemon.write_job(
            f"job-{number}",
            f"name: job-{number}\n"
            f"handler: soaking:{KINDS[number % len(KINDS)]}\n"
            f"schedule: {{type: interval, seconds: 1, start_at: '2026-01-01T00:00:00."
            f"{1_000 * number // self.count:03}Z'}}\n"
            "retry: {max_attempts: 2, backoff_seconds: 0}\n"
            f"metadata: {{ledger: '{self.ledger}', edition: {edition}}}\n",
        )

    def count_begun(self) -> int:
        """How many attempts have begun so far; reads only what is new."""
        if self.ledger.exists():
            with self.ledger.open("rb") as ledger:
                ledger.seek(self._read_until)
                text = ledger.read()
            whole = text[: text.rfind(b"\n") + 1]
            self._read_until += len(whole)
            self._begun += whole.count(b"begin ")
        return self._begun

    def witnessed(self) -> Iterator[Witnessed]:
        """Yield what the handlers wrote down."""
        for line in self.ledger.read_text().splitlines():
            what, run_id, attempt, job, scheduled_for, at = line.split()
            yield Witnessed(what, run_id, int(attempt), job, int(scheduled_for), int(at))


@dataclass(frozen=True)
class Witnessed:
    """A line of the ledger: a handler began, or was about to end."""

    what: str
    run_id: str
    attempt: int
    job: str
    scheduled_for: int
    at: int
