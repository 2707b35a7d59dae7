"""Reloads at the worst moment, of the largest files, and of time zones that are not what they seem."""

from __future__ import annotations

import json
import random  # noqa: TID251 - moments in no order; the seed is fixed
import signal
from datetime import UTC, datetime, timedelta
from pathlib import Path
from time import monotonic, sleep  # noqa: TID251 - real moments are what this is about
from typing import Any

from support.attack import assert_every_second_has_its_row, assert_on_time, besieged, job

LATE_MS = 1_500
LEAST_RELOADS = 50


def milliseconds(line: dict[str, str]) -> float:
    return datetime.fromisoformat(line["ts"]).timestamp() * 1_000


def every_second(name: str, number: int, version: int) -> str:
    """A job of every second, so many tenths of a second after it."""
    text = job(name, more=f"description: version {version}")
    start = f"start_at: 2026-01-01T00:00:00.{number}00Z"
    return text.replace("seconds: 1}", f"seconds: 1, {start}}}")


def test_reloads_at_the_very_instant_of_a_fire_lose_nothing_and_double_nothing(
    tmp_path: Path,
) -> None:
    """Four seconds or more of reloads without a pause, most of them with a change: ten jobs of every second, a
    tenth of a second apart, are edited, two of them left alone, and ten others come and go."""
    dice = random.Random(59)  # noqa: S311 - moments, not secrets
    daemon = besieged(tmp_path)

    def write(number: int, version: int) -> None:
        name = f"edited-{number}"
        daemon.write_job(name, every_second(name, number, version))

    def reloads_seen() -> list[dict[str, Any]]:
        return [line for line in daemon.lines if line["event"] == "config.installed"]

    def hammer(for_s: float) -> None:
        ends, version = monotonic() + for_s, 0
        while monotonic() < ends or len(reloads_seen()) <= LEAST_RELOADS:
            version += 1
            write(dice.randrange(8), version)
            expected = {}
            if version % 6 == 0:
                texts = [every_second(f"fleeting-{each}", each, version) for each in range(10)]
                daemon.write_job("fleeting", "---\n".join(texts))
                expected = {"added": 10}
            elif version % 6 == 4 and version > 6:
                (daemon.jobs / "fleeting.yaml").unlink()
                expected = {"removed": 10}
            # SIGHUP believes at once; a notification would let what is gone settle first
            daemon.process.send_signal(signal.SIGHUP)
            if expected:  # come and gone for everybody to see, before the next of their name
                daemon.wait_for("config.installed", **expected)
            sleep(dice.random() / 50)

    for number in range(10):
        write(number, 0)
    with daemon:
        daemon.wait_for("run.ended", job="edited-9")
        hammer(4)
        (daemon.jobs / "fleeting.yaml").unlink(missing_ok=True)
        daemon.luad("reload")
        names = {"tick", *(f"edited-{number}" for number in range(10))}
        assert {each["name"] for each in daemon.json("list")["jobs"]} == names
        assert daemon.stop() == 0
    assert daemon.rows("SELECT max(attempt) FROM runs") == [(1,)]
    for name in names:
        assert_every_second_has_its_row(daemon, name)
    daemon.drain_log()
    reloads = reloads_seen()
    assert len(reloads) > LEAST_RELOADS, "there were hardly any reloads"
    removed = [milliseconds(line) for line in reloads if line["removed"]]
    claims = daemon.rows(
        "SELECT job_id, claimed_at FROM runs WHERE job_name LIKE 'fleeting-%' AND pid IS NOT NULL"
    )
    began = dict(daemon.rows("SELECT job_id, min(first_seen_at) FROM revisions GROUP BY job_id"))
    assert claims, "none of those that came and went has ever run"
    for job_id, claimed_at in claims:
        assert claimed_at <= min(at for at in removed if at > began[job_id])


def test_an_edited_schedule_counts_from_its_edit(tmp_path: Path) -> None:
    """From once a day to every hour and back, with everything that asks for the past to be caught up."""
    daemon = besieged(tmp_path)
    quiet = (datetime.now(UTC) + timedelta(minutes=30)).strftime("%M")  # noqa: TID251
    start = f"start_at: 2020-01-01T00:{quiet}:00Z"
    catch_up = "catch_up: all\ncatch_up_window: 3650d\n"
    texts = [
        f"{{type: interval, every: 1d, {start}}}",
        f"{{type: interval, every: 1h, {start}}}",
        f'{{type: cron, expression: "{quiet} 0 1 1 *"}}',
        f'{{type: cron, expression: "{quiet} * * * *"}}',
        "{type: once, execute_at: 2999-01-01T00:00:00Z}",
    ]
    with daemon:
        for round_ in range(2):
            for number, schedule in enumerate(texts):
                text = f"name: slow\nhandler: work:note\nschedule: {schedule}\n{catch_up}"
                daemon.write_job("slow", text)
                is_first = (round_, number) == (0, 0)
                daemon.wait_for("config.installed", **{"added" if is_first else "replaced": 1})
        daemon.wait_for("run.ended", job="tick")
        daemon.wait_for("run.ended", job="tick")
        assert daemon.rows("SELECT * FROM runs WHERE job_name = 'slow'") == []
        assert_every_second_has_its_row(daemon)


def test_a_file_of_ten_thousand_jobs_makes_nobody_miss_anything(tmp_path: Path) -> None:
    daemon = besieged(tmp_path, env={"LUAD_MAX_FILE_SIZE": "16MiB"})
    many = "---\n".join(job(f"many-{number}", seconds=86_400) for number in range(10_000))
    with daemon:
        daemon.wait_for("run.ended", job="tick")
        path = daemon.write_job("many", many)
        daemon.wait_for("config.installed", added=10_000)
        daemon.wait_for("run.ended", job="tick")
        daemon.write_job("many", many.replace("86400", "43200", 1))
        daemon.wait_for("config.installed", replaced=1)
        path.unlink()
        daemon.luad("reload")
        daemon.wait_for("run.ended", job="tick")
        assert_every_second_has_its_row(daemon)
        late = daemon.rows(
            "SELECT max(started_at - scheduled_for) FROM runs WHERE job_name = 'tick'"
        )
        assert late[0][0] < daemon.bound_ms(2 * LATE_MS), (
            "some skips are those of a run that began late"
        )


FAR = {
    "once-2038": "{type: once, execute_at: 2038-01-19T03:14:08Z}",
    "once-2099": "{type: once, execute_at: 2099-12-31T23:59:59.999Z}",
    "once-9996": "{type: once, execute_at: 9996-01-01T00:00:00Z}",
    "leap": '{type: cron, expression: "0 0 29 2 1#5", timezone: America/New_York}',
    "interval": "{type: interval, every: 36500d}",
    "start": "{type: interval, seconds: 1, start_at: 2999-01-01T00:00:00Z}",
}


def test_what_is_due_in_ages_is_waited_for_and_hinders_nobody(tmp_path: Path) -> None:
    daemon = besieged(tmp_path)
    for name, schedule in FAR.items():
        daemon.write_job(name, f"name: {name}\nhandler: work:note\nschedule: {schedule}\n")
    with daemon:
        for _ in range(2):
            daemon.wait_for("run.ended", job="tick", status="succeeded")
        jobs = {each["name"]: each["next_run_at"] for each in daemon.json("list")["jobs"]}
        assert jobs["once-2038"].startswith("2038-01-19T03:14:08")
        assert jobs["once-2099"].startswith("2099-12-31T23:59:59.999")
        assert jobs["once-9996"].startswith("9996-01-01T00:00:00")
        assert jobs["start"].startswith("2999-01-01T00:00:00")
        assert daemon.rows("SELECT DISTINCT job_name FROM runs") == [("tick",)]
        assert_on_time(daemon, LATE_MS)


# --- zones -------------------------------------------------------------------------------------

NO_ZONES = (
    "Europe/Rga", "europe/riga", "../../etc/passwd", "Europe/../Europe/Riga", "/etc/localtime",
    "/usr/share/zoneinfo/Europe/Riga", "localtime", "posix/Europe/Riga", "Europe", "Riga", "EET5",
)  # fmt: skip


def zoned(name: str, zone: str) -> str:
    schedule = {"type": "cron", "expression": "* * * * * *", "timezone": zone}
    return f"name: {name}\nhandler: work:note\nschedule: {json.dumps(schedule)}\n"


def test_a_zone_that_is_none_stops_its_own_job_only(tmp_path: Path) -> None:
    """There are no zone data on the machine but for the package's."""
    daemon = besieged(tmp_path, env={"PYTHONTZPATH": ""})
    daemon.write_job("riga", zoned("riga", "Europe/Riga"))
    for number, zone in enumerate(NO_ZONES):
        daemon.write_job(f"none-{number}", zoned(f"none-{number}", zone))
    with daemon:
        daemon.wait_for("run.ended", job="riga", status="succeeded")
        daemon.wait_for("run.ended", job="tick", status="succeeded")
        told = [line for line in daemon.lines if line["event"] == "config.problem"]
        assert {line["code"] for line in told} == {"LU205"}
        assert len(told) == len(NO_ZONES)
        assert any("did you mean `Europe/Riga`?" in line["help"] for line in told)
        assert {each["name"] for each in daemon.json("list")["jobs"]} == {"tick", "riga"}
        assert_on_time(daemon, LATE_MS)


def test_without_any_zone_data_a_job_with_a_zone_waits_until_they_are_back(tmp_path: Path) -> None:
    daemon = besieged(tmp_path)
    daemon.write_job("riga", zoned("riga", "Europe/Riga"))
    hidden = tmp_path / "hidden" / "tzdata"
    hidden.mkdir(parents=True)
    (hidden / "__init__.py").touch()
    whole = daemon.env
    with daemon:
        daemon.wait_for("run.ended", job="riga", status="succeeded")
        own_id = daemon.json("show", "riga")["id"]
    daemon.env = {**whole, "PYTHONTZPATH": str(hidden), "PYTHONPATH": str(hidden.parent)}
    daemon.lines.clear()
    with daemon:
        daemon.wait_for("run.ended", job="tick", status="succeeded")
        (told,) = [line for line in daemon.lines if line["event"] == "config.problem"]
        assert "this machine has no zone data" in told["message"]
        assert told["help"] == "run: pip install tzdata"
    daemon.env = whole
    with daemon:
        daemon.wait_for("run.ended", job="riga", status="succeeded")
        assert daemon.json("show", "riga")["id"] == own_id
