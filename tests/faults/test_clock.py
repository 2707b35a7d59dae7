"""The wall clock of a running daemon is set: forward, back, to and fro, by ten years, and while it is suspended.

libfaketime gives the daemon a clock of its own, which follows a file; its monotonic clock is the real one.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from datetime import datetime
from importlib import resources
from itertools import pairwise
from pathlib import Path

import libfaketime
import pytest
from support.cost import turn_s
from support.live_daemon import LiveDaemon

from luad.client import Client
from luad.clock import wall_ms

HOUR, YEAR = 3_600, 365 * 86_400
JOB = """\
name: {name}
handler: work:note
schedule: {schedule}
"""
WORK = """
def note(job):
    with open(__file__ + ".told", "a") as file:
        file.write(f"{job.name} {job.scheduled_for.timestamp()} {job.trigger_kind}\\n")
"""


class Clock:
    """The file that says how far the daemon's wall clock is ahead."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.ahead = 0
        self.step(0)

    def step(self, seconds: int) -> None:
        self.ahead += seconds
        draft = self.path.with_suffix(".draft")
        draft.write_text(f"{self.ahead:+d}\n")
        draft.replace(self.path)

    def environment(self) -> dict[str, str]:
        _, preload = libfaketime.get_reload_information()
        return {
            **preload,
            "FAKETIME_TIMESTAMP_FILE": str(self.path),
            "FAKETIME_NO_CACHE": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        }


@pytest.fixture
def clock(tmp_path: Path) -> Clock:
    return Clock(tmp_path / "clock")


@pytest.fixture
def daemon(tmp_path: Path, clock: Clock) -> Iterator[LiveDaemon]:
    live = LiveDaemon(tmp_path, env=clock.environment())
    live.write_handler("work", WORK)
    live.write_job("paced", JOB.format(name="paced", schedule="{type: interval, seconds: 1}"))
    cron = '{type: cron, expression: "* * * * * *"}'
    live.write_job("civil", JOB.format(name="civil", schedule=cron))
    with live:
        on_time(live, clock)
        yield live


def on_time(daemon: LiveDaemon, clock: Clock) -> None:
    """Two runs of each job, one after the other, at the time that the daemon is made to believe."""
    for job in ("civil", "paced", "civil", "paced"):
        line = daemon.wait_for("run.ended", job=job, status="succeeded")
    believed = datetime.fromisoformat(line["ts"]).timestamp()
    assert abs(believed - wall_ms() / 1_000 - clock.ahead) < 60, line


def spans(daemon: LiveDaemon, after: int) -> list[tuple[int, int]]:
    """First and last instant of each row of the cron job behind *after*, in order."""
    return daemon.rows(
        "SELECT coalesce(skip_first, scheduled_for), scheduled_for FROM runs "
        "WHERE job_name = 'civil' AND scheduled_for > ? ORDER BY 1",
        after,
    )


def assert_nothing_twice(daemon: LiveDaemon) -> None:
    told = (daemon.handlers / "work.py.told").read_text().splitlines()
    assert len(told) == len(set(told))
    twice = "SELECT job_id, occurrence FROM runs WHERE occurrence IS NOT NULL GROUP BY 1, 2 HAVING count(*) > 1"
    assert daemon.rows(twice) == []


def cpu_s(daemon: LiveDaemon) -> float:
    fields = Path(f"/proc/{daemon.process.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def resident_kb(daemon: LiveDaemon) -> int:
    status = Path(f"/proc/{daemon.process.pid}/status").read_text()
    return int(status.partition("VmRSS:")[2].split()[0])


def test_a_clock_that_is_set_forward_leaves_no_second_without_a_row_and_runs_the_latest(
    daemon: LiveDaemon, clock: Clock
) -> None:
    before = max(last for _, last in spans(daemon, 0))
    for seconds in (HOUR // 2, 8 * HOUR):
        daemon.process.send_signal(signal.SIGSTOP)  # as when the lid is closed
        clock.step(seconds)
        daemon.process.send_signal(signal.SIGCONT)
        on_time(daemon, clock)
    rows = spans(daemon, before)
    assert rows[0][0] == before + 1_000
    for (_, last), (first, _) in pairwise(rows):
        assert first == last + 1_000
    assert rows[-1][1] - before > (8 * HOUR + HOUR // 2) * 1_000
    assert len(rows) < 200
    # On a busy machine, a job of each second also catches up when the daemon was late by two.
    caught_up = daemon.rows(
        "SELECT count(*) FROM runs WHERE job_name = 'civil' AND \"trigger\" = 'catchup' AND missed_count > 60"
    )
    assert caught_up == [(2,)]
    assert_nothing_twice(daemon)


def test_a_clock_that_is_set_back_and_to_and_fro_starts_nothing_twice(
    daemon: LiveDaemon, clock: Clock
) -> None:
    clock.step(-2 * HOUR)
    on_time(daemon, clock)
    for seconds in (90, -90, 90, -90, 3, -3):
        clock.step(seconds)
        daemon.wait_for("run.ended", job="paced", status="succeeded")
    on_time(daemon, clock)
    clock.step(2 * HOUR)
    on_time(daemon, clock)
    assert_nothing_twice(daemon)


def test_ten_years_ahead_cost_two_rows_and_no_time(daemon: LiveDaemon, clock: Clock) -> None:
    cpu, resident = cpu_s(daemon), resident_kb(daemon)
    count = len(spans(daemon, 0))
    clock.step(10 * YEAR)
    on_time(daemon, clock)
    assert len(spans(daemon, 0)) < count + 60
    assert (cpu_s(daemon) - cpu) / turn_s() < 5_000
    assert resident_kb(daemon) - resident < 30_000
    clock.step(-10 * YEAR)
    on_time(daemon, clock)
    assert_nothing_twice(daemon)


# --- the rules of a zone ---------------------------------------------------------------------------


def test_rules_of_a_zone_that_change_count_from_the_next_start(tmp_path: Path) -> None:
    """Until then all of luad goes by the old ones: what it says and what it does never differ."""
    rules = tmp_path / "zones" / "Test" / "Town"
    rules.parent.mkdir(parents=True)
    rules.write_bytes(zone_data("Etc/GMT-1"))
    live = LiveDaemon(tmp_path, env={"PYTHONTZPATH": str(tmp_path / "zones")})
    live.write_handler("work", WORK)
    daily = '{type: cron, expression: "0 9 * * *", timezone: Test/Town}'
    live.write_job("daily", JOB.format(name="daily", schedule=daily))
    with live:
        assert next_hour(live) == "T08:00"
        rules.write_bytes(zone_data("Etc/GMT-3"))
        live.write_job("late", JOB.format(name="late", schedule=daily.replace("9", "10")))
        live.luad("reload")
        assert next_hour(live) == "T08:00"
        assert next_hour(live, "late") == "T09:00"
    with live:
        assert next_hour(live) == "T06:00"
        assert next_hour(live, "late") == "T07:00"


def zone_data(name: str) -> bytes:
    return resources.files("tzdata").joinpath("zoneinfo", *name.split("/")).read_bytes()


def next_hour(daemon: LiveDaemon, name: str = "daily") -> str:
    at = str(Client(daemon.socket).get(f"/jobs/{name}")["next_run_at"])
    return at[10:16]
