"""Looking: list, next, show, history, logs, status, against recorded answers of the daemon."""

from __future__ import annotations

import csv
import io
import json
import re
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest

from luad.clock import wall_ms
from luad.wire import format_instant

RUN = "run_01KAPQ7V8W0000000000000001"


def ago(seconds: float) -> str:
    return format_instant(wall_ms() - int(seconds * 1000))


def make_job(name: str, **more: Any) -> dict[str, Any]:
    return {
        "id": "job_01KAPQ7V8W0000000000000001",
        "name": name,
        "description": "",
        "handler": "app:work",
        "source": "file",
        "dynamic": False,
        "status": "active",
        "health": "ok",
        "enabled": True,
        "schedule": {"type": "cron", "expression": "*/15 * * * *", "timezone": "UTC"},
        "schedule_text": "every 15 minutes",
        "timezone": "UTC",
        "tags": [],
        "overlap": "skip",
        "catch_up": "latest",
        "timeout_seconds": 300,
        "retry": {"max_attempts": 3},
        "metadata": {},
        "last_run": None,
        "recent_runs": [],
        "running": 0,
        "queued": 0,
        "consecutive_failures": 0,
        "next_run_at": ago(-660),
        "pause": None,
        "file": {"path": f"jobs.d/{name}.yaml", "line": 1, "revision": "9f2c1ab", "stale": False},
        "revision": "9f2c1ab",
        **more,
    }


def make_run(**more: Any) -> dict[str, Any]:
    return {
        "id": RUN,
        "job": "billing-sync",
        "status": "failed",
        "trigger": "schedule",
        "scheduled_for": ago(241),
        "started_at": ago(240.5),
        "completed_at": ago(239.5),
        "duration_ms": 1043,
        "start_delay_ms": 40,
        "attempt": 3,
        "max_attempts": 3,
        "missed_count": 0,
        "count": 1,
        "reason": None,
        "revision": "9f2c1ab",
        "result": None,
        "exit_code": 1,
        "signal": None,
        "error": {
            "type": "HTTPStatusError",
            "message": "502 Bad Gateway\nand more",
            "traceback": "Traceback (most recent call last):\n"
            '  File "/srv/venv/lib/python3.11/site-packages/httpx/api.py", line 3, in get\n'
            "    raise x\n"
            '  File "/srv/handlers/billing.py", line 58, in sync\n'
            "    r.raise_for_status()\n"
            "HTTPStatusError: 502 Bad Gateway",
        },
        "dropped_bytes": 0,
        "retry_of": None,
        "retry_at": None,
        "pid": 4711,
        **more,
    }


def page(*jobs: dict[str, Any], cursor: str | None = None) -> dict[str, Any]:
    return {"jobs": list(jobs), "hidden_dynamic": 7, "next_cursor": cursor}


@pytest.fixture
def jobs(peer: Any) -> Any:
    strip = [{"id": "r", "status": "succeeded", "duration_ms": ms} for ms in (500, 41_000)]
    peer.answers["GET /jobs"] = page(
        make_job(
            "billing-sync",
            health="failing",
            consecutive_failures=3,
            recent_runs=[*strip, {"status": "skipped"}, {"status": "timed_out"}],
            last_run={"id": RUN, "status": "failed", "completed_at": ago(240), "duration_ms": 1043},
            tags=["money"],
        ),
        make_job("health-check", running=1, last_run={"status": "running", "started_at": ago(12)}),
        make_job(
            "weekly-report",
            status="paused",
            pause={"reason": "Q4 numbers", "author": "ann", "until": None, "at": ago(99)},
        ),
        make_job(
            "report",
            health="stale",
            file={"path": "jobs.d/report.yaml", "line": 1, "revision": "1", "stale": True},
        ),
        make_job(
            "nightly",
            health="never_run",
            schedule={"type": "cron", "expression": "0 2 * * *", "timezone": "Asia/Tokyo"},
            schedule_text="02:00 daily",
            timezone="Asia/Tokyo",
            next_run_at=None,
        ),
    )
    return peer


@pytest.mark.usefixtures("jobs")
def test_list_shows_each_job_on_a_line(luad: Any) -> None:
    result = luad("list", "--utc")
    assert result.code == 0
    head, billing, health, nightly, report, weekly = result.lines
    assert head.split() == ["JOB", "SCHEDULE", "LAST", "20", "RUNS", "LAST", "TOOK", "NEXT"]
    assert billing.startswith("✗  billing-sync")
    assert "▁▃·✗" in billing
    assert "failed 4 min ago" in billing
    assert "1.0 s" in billing
    assert "in 11 min" in billing
    assert health.startswith("▶  health-check")
    assert "running" in health
    assert "12 s" in health
    assert nightly.startswith("·  nightly")
    assert "02:00 daily  Asia/Tokyo" in nightly
    assert report.startswith("!  report")
    assert "(stale)" in report
    assert 'paused: "Q4 numbers" (ann)' in weekly
    assert "5 jobs: 1 failing, 1 running, 1 paused, 1 stale." in result.err
    assert "7 dynamic jobs hidden (-a)" in result.err
    assert "Times: UTC" in result.err
    assert "warning: jobs.d/report.yaml is broken" in result.err


def test_list_names_broken_files_that_have_no_job(luad: Any, peer: Any) -> None:
    broken = [f"jobs.d/{number}.yaml" for number in range(7)]
    peer.answers["GET /jobs"] = {**page(), "broken_files": broken}
    result = luad("list")
    assert result.err.count(" has an error  (luad status shows it)") == 5
    assert "warning: jobs.d/0.yaml has an error" in result.err
    assert "warning: 2 more files have errors" in result.err


@pytest.mark.usefixtures("jobs")
def test_list_json_is_what_the_daemon_said_and_nothing_else(luad: Any) -> None:
    result = luad("list", "--json")
    assert result.err == ""
    assert result.json["hidden_dynamic"] == 7
    assert result.json["next_cursor"] is None
    assert {job["name"] for job in result.json["jobs"]} >= {"billing-sync", "nightly"}


@pytest.mark.parametrize(
    ("args", "names"),
    [
        (["--status", "failing"], ["billing-sync"]),
        (["--status", "running,paused"], ["health-check", "weekly-report"]),
        (["--status", "stale"], ["report"]),
        (["--tag", "money"], ["billing-sync"]),
        (["--tag", "none"], []),
        (["--sort", "last", "--status", "failing,running"], ["health-check", "billing-sync"]),
    ],
)
@pytest.mark.usefixtures("jobs")
def test_list_filters_and_sorts(luad: Any, args: list[str], names: list[str]) -> None:
    found = [job["name"] for job in luad("list", "--json", *args).json["jobs"]]
    assert found == names


@pytest.mark.usefixtures("jobs")
def test_list_refuses_a_status_that_does_not_exist(luad: Any) -> None:
    result = luad("list", "--status", "broken")
    assert result.code == 2
    assert "is not one of ok, failing" in result.err


def test_list_reads_every_page(luad: Any, peer: Any) -> None:
    pages = {"": page(make_job("a"), cursor="more"), "more": page(make_job("b"))}
    peer.answers["GET /jobs"] = lambda asked: pages[asked.query.get("cursor", "")]
    assert [job["name"] for job in luad("list", "--json").json["jobs"]] == ["a", "b"]
    assert "include_dynamic" not in peer.asked[0].query
    luad("ls", "-a", "--json")
    assert peer.asked[-1].query["include_dynamic"] == "1"


@pytest.mark.usefixtures("jobs")
def test_list_in_ascii(luad: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LANG", "C")
    result = luad("list")
    assert result.out.isascii()
    assert result.err.isascii()
    assert "_-.x" in result.out


def test_what_a_job_says_cannot_steer_the_terminal(luad: Any, peer: Any) -> None:
    evil = make_run(error={"type": "E", "message": "\x1b[2Jgone", "traceback": ""})
    peer.answers["GET /runs"] = {"runs": [evil], "next_cursor": None}
    result = luad("history")
    assert "\x1b" not in result.out
    assert r"E: \x1b[2Jgone" in result.out


def test_next_is_merged_and_marks_changes_of_the_clocks(luad: Any, peer: Any) -> None:
    row = {"job": "nightly", "timezone": "Europe/London", "note": ""}
    times = ["2027-03-26T02:00:00Z", "2027-03-27T02:00:00Z", "2027-03-28T01:00:00Z"]
    peer.answers["GET /schedule"] = {"next": [{**row, "at": at} for at in times]}
    result = luad("next", "--tz", "Europe/London", "-n", "3")
    assert [line.split("  ")[0] for line in result.lines] == [
        "WHEN",
        "Fri 26 Mar 2027 02:00:00 GMT",
        "Sat 27 Mar 2027 02:00:00 GMT",
        "Sun 28 Mar 2027 02:00:00 BST",
    ]
    assert "clocks +1 h" in result.lines[3]
    assert "clocks" not in result.lines[2]
    rows = luad("next", "--json", "--utc").json["next"]
    assert [row["at"] for row in rows] == times
    assert rows[2]["note"] == "clocks +1 h in Europe/London"


def test_next_of_named_jobs_and_in_a_span(luad: Any, peer: Any) -> None:
    peer.answers["GET /jobs/nig"] = make_job("nightly")
    peer.answers["GET /schedule"] = {"next": []}
    result = luad("next", "nig", "--from", "2027-01-01T00:00Z", "--until", "2027-01-02", "--utc")
    assert result.code == 0
    assert "no job fires in that time" in result.err
    assert peer.asked[-1].query["from"] == "2027-01-01T00:00:00Z"
    assert peer.asked[-1].query["until"] == "2027-01-02T00:00:00Z"


def test_history_is_a_table_with_full_ids_when_piped(luad: Any, peer: Any) -> None:
    missed = make_run(status="missed", reason="downtime", count=12, started_at=None, error=None)
    peer.answers["GET /runs"] = {"runs": [make_run(), missed], "next_cursor": "c2"}
    result = luad("history", "--utc", "-n", "2")
    assert RUN in result.lines[1]
    assert "✗ failed" in result.lines[1]
    assert "HTTPStatusError: 502 Bad Gateway" in result.lines[1]
    assert "missed (downtime) x12" in result.lines[2]
    assert "--cursor c2" in result.err


@pytest.mark.parametrize(
    ("status", "reason", "glyph"), [("missed", "past", "·"), ("skipped", "paused", "·")]
)
def test_a_once_that_never_ran_has_no_tick(
    luad: Any, peer: Any, status: str, reason: str, glyph: str
) -> None:
    row = {"id": RUN, "status": status, "duration_ms": None, "reason": reason}
    bell = make_job("bell", status="completed", health="never_run", recent_runs=[row])
    peer.answers["GET /jobs"] = {"jobs": [bell], "next_cursor": None}
    line = next(line for line in luad("list").lines if "bell" in line)
    assert line.lstrip().startswith(glyph)
    assert "✓" not in line
    assert f"{status} ({reason})" in line
    assert "never" not in line


def test_a_once_that_was_cancelled_has_no_tick(luad: Any, peer: Any) -> None:
    last = {"id": RUN, "status": "cancelled", "started_at": ago(9), "completed_at": ago(8)}
    bell = make_job("bell", status="completed", last_run=last)
    good = make_job("good", status="completed", last_run={**last, "status": "succeeded"})
    peer.answers["GET /jobs"] = {"jobs": [bell, good], "next_cursor": None}
    lines = {name: line for line in luad("list").lines for name in ("bell", "good") if name in line}
    assert "✗" in lines["bell"]
    assert "✓" in lines["good"]


def test_the_runs_of_a_resume_are_named_beside_the_row_of_the_pause(luad: Any, peer: Any) -> None:
    ids = [f"run_01KAPQ7V8W000000000000000{n}" for n in range(2, 7)]
    paused = make_run(
        status="skipped", reason="paused", count=9, started_at=None, error=None, resumed_by=ids
    )
    good = make_run(trigger="resume", status="succeeded", error=None)
    peer.answers["GET /runs"] = {"runs": [good, paused], "next_cursor": None}
    result = luad("history", "--trigger", "resume", "--utc")
    assert peer.asked[-1].query["trigger"] == "resume"
    assert "resume" in result.lines[1]
    assert "skipped (paused) x9" in result.lines[2]
    assert "resumed by run_01KAPQ7V8W000" in result.lines[2]
    assert "and 2 more" in result.lines[2]
    peer.answers[f"GET /runs/{RUN}"] = paused
    shown = luad("show", RUN, "--utc").out
    assert [each for each in ids if each in shown] == ids


def test_history_asks_for_what_was_wanted(luad: Any, peer: Any) -> None:
    peer.answers["GET /runs"] = {"runs": [], "next_cursor": None}
    args = ["--failed", "--since", "2h", "-n", "7", "--trigger", "manual"]
    result = luad("history", "bill", "--exit-status", *args)
    assert result.code == 0
    asked = peer.asked[-1].query
    assert asked["job"] == "bill"
    assert set(asked["status"].split(",")) == {"failed", "timed_out", "lost"}
    assert (asked["limit"], asked["trigger"]) == ("7", "manual")
    assert asked["since"].endswith("Z")
    peer.answers["GET /runs"] = {"runs": [make_run()], "next_cursor": None}
    assert luad("history", "--exit-status").code == 4
    assert luad("history").code == 0


def pages_of(total: int) -> Callable[[Any], dict[str, Any]]:
    """Answer as the daemon does: at most 500 runs, and a cursor while there are more."""

    def answer(asked: Any) -> dict[str, Any]:
        first = int(asked.query.get("cursor", "0"))
        last = min(total, first + min(500, int(asked.query["limit"])))
        runs = [make_run(attempt=number) for number in range(first, last)]
        return {"runs": runs, "next_cursor": str(last) if last < total else None}

    return answer


@pytest.mark.parametrize(
    ("args", "count", "limits"),
    [
        (["-n", "1200"], 1_200, ["500", "500", "200"]),
        (["-n", "500"], 500, ["500"]),
        (["--all"], 1_300, ["500", "500", "500"]),
    ],
)
def test_history_of_any_length_is_fetched_page_by_page(
    luad: Any, peer: Any, args: list[str], count: int, limits: list[str]
) -> None:
    peer.answers["GET /runs"] = pages_of(1_300)
    runs = luad("history", "--json", *args).json["runs"]
    assert [run["attempt"] for run in runs] == list(range(count))
    assert [asked.query["limit"] for asked in peer.asked] == limits


def test_history_as_comma_separated_values(luad: Any, peer: Any) -> None:
    peer.answers["GET /runs"] = pages_of(501)
    result = luad("history", "--csv", "--all", "--exit-status")
    assert result.code == 4
    rows = list(csv.DictReader(io.StringIO(result.out)))
    assert len(rows) == 501
    assert (rows[0]["job"], rows[500]["attempt"]) == (make_run()["job"], "500")
    assert rows[0]["error"] == "HTTPStatusError: 502 Bad Gateway"
    assert luad("history", "--csv", "--json").code == 2


def test_show_a_run_with_the_users_own_frames(luad: Any, peer: Any) -> None:
    peer.answers[f"GET /runs/{RUN}"] = make_run()
    result = luad("show", RUN)
    assert result.lines[0].startswith(
        f"✗ {RUN}  billing-sync   failed after 1.0 s   attempt 3 of 3"
    )
    assert "billing.py" in result.out
    assert "site-packages" not in result.out
    assert "site-packages" in luad("show", RUN, "--traceback", "full").out
    assert "Traceback" not in luad("show", RUN, "--traceback", "none").out
    assert luad("show", RUN, "--json").json["id"] == RUN


def test_a_run_without_its_result_is_marked(luad: Any, peer: Any) -> None:
    omitted = "`result['at']` is of type datetime.datetime"
    run = make_run(status="succeeded", error=None, exit_code=0, result_omitted=omitted)
    peer.answers[f"GET /runs/{RUN}"] = run
    assert f"left out: {omitted}" in luad("show", RUN).out
    peer.answers["GET /runs"] = {"runs": [run], "next_cursor": None}
    assert "result left out" in luad("history").out


def test_a_run_that_is_not_tried_again_says_why(luad: Any, peer: Any) -> None:
    run = make_run(attempt=1, retryable=False)
    peer.answers[f"GET /runs/{RUN}"] = run
    assert "another attempt would fail in the same way" in luad("show", RUN).out
    peer.answers[f"GET /runs/{RUN}"] = make_run(retryable=True)
    assert "repetition" not in luad("show", RUN).out


@pytest.mark.parametrize(
    ("attempt", "allowed", "words"),
    [
        (3, 3, "attempt 3 of 3"),
        (1, 3, "attempt 1 of 3"),
        (3, None, "attempt 3"),
        (3, 1, "attempt 3"),
    ],
)
def test_show_a_run_never_counts_more_attempts_than_there_may_be(
    luad: Any, peer: Any, attempt: int, allowed: int | None, words: str
) -> None:
    """The job may be gone, or allow fewer attempts by now."""
    peer.answers[f"GET /runs/{RUN}"] = make_run(attempt=attempt, max_attempts=allowed)
    first = luad("show", RUN).lines[0]
    assert first.endswith(f"   {words}")


def test_show_a_job_with_what_comes_and_what_failed(luad: Any, peer: Any) -> None:
    job = make_job("billing-sync", health="failing", description="Sync bills")
    peer.answers["GET /jobs/billing"] = job
    peer.answers[f"GET /jobs/{job['id']}/next"] = {"next": [{"at": "2027-01-01T00:00:00Z"}]}
    peer.answers["GET /runs"] = {"runs": [make_run()], "next_cursor": None}
    result = luad("show", "billing", "--utc")
    assert "Sync bills" in result.out
    assert "jobs.d/billing-sync.yaml:1" in result.out
    assert "Fri 1 Jan 2027 00:00:00 UTC" in result.out
    assert f"{RUN}   HTTPStatusError" in result.out
    found = luad("show", "billing", "--json").json
    assert found["last_failure"]["id"] == RUN


def test_show_a_job_names_its_zone(luad: Any, peer: Any) -> None:
    job = make_job("billing-sync", schedule_text="09:00 daily", timezone="Europe/London")
    job["schedule"] = {"type": "cron", "expression": "0 9 * * *", "timezone": "Europe/London"}
    peer.answers["GET /jobs/billing-sync"] = job
    peer.answers[f"GET /jobs/{job['id']}/next"] = {"next": []}
    peer.answers["GET /runs"] = {"runs": [], "next_cursor": None}
    assert "09:00 daily  Europe/London" in luad("show", "billing-sync", "--tz", "Europe/London").out


def test_at_last_is_left_to_the_daemon(luad: Any, peer: Any) -> None:
    peer.answers["GET /runs/%40last"] = make_run()
    assert luad("show", "@last", "--json").json["id"] == RUN
    peer.answers["GET /runs/%40last-failed"] = (404, {"code": "not_found", "detail": "none yet"})
    result = luad("show", "@last-failed")
    assert result.code == 3
    assert result.err == "error[not_found]: none yet\n"


def line(number: int, **more: Any) -> dict[str, Any]:
    return {
        "ts": f"2026-11-22T09:00:0{number}.5Z",
        "level": "info",
        "logger": "app",
        "message": f"line {number}",
        "job": "billing-sync",
        "run_id": RUN,
        "attempt": 1,
        "stream": "log",
        **more,
    }


def test_logs_of_a_run_with_and_without_prefix(luad: Any, peer: Any, lines: Any) -> None:
    body = lines([line(1), line(2, level="error", message="bad")])
    peer.answers[f"GET /runs/{RUN}/log"] = body
    result = luad("logs", RUN, "--utc")
    assert result.lines == [
        "09:00:01.500 INFO    billing-sync app  line 1",
        "09:00:02.500 ERROR   billing-sync app  bad",
    ]
    assert RUN in result.err
    assert luad("logs", RUN, "--raw").lines == ["line 1", "bad"]
    assert luad("logs", RUN, "--no-prefix").lines == ["line 1", "bad"]
    assert luad("logs", RUN, "--raw", "--level", "error").lines == ["bad"]
    assert luad("logs", RUN, "--raw", "--grep", r"\d").lines == ["line 1"]
    assert [json.loads(text) for text in luad("logs", RUN, "--json").lines] == list(body)
    assert luad("logs", RUN, "--grep", "(").code == 2


def test_logs_without_a_line_say_so(luad: Any, peer: Any, lines: Any) -> None:
    peer.answers["GET /logs"] = lines([])
    assert luad("logs", "billing").err == "no lines\n"
    assert luad("logs", "--level", "error").err == "no such lines\n"
    assert luad("logs", "--json").out == ""


@pytest.mark.slow
def test_logs_follow_a_job_over_a_restart_of_the_daemon(luad: Any, peer: Any, lines: Any) -> None:
    # It breaks off, it ends in order, and then it says no for good.
    answers = [
        lines([line(1), line(2)], break_off=True),
        lines([line(2), line(3)]),
        (403, {"code": "forbidden", "detail": "no more"}),
    ]
    peer.answers["GET /logs"] = lambda _: answers.pop(0)
    result = luad("logs", "-f", "billing", "--raw")
    assert result.code == 10
    assert result.lines == ["line 1", "line 2", "line 3"]
    assert result.err.count("waiting for the daemon") == 2
    assert result.err.count("connected again") == 1
    assert [asked.query.get("since") for asked in peer.asked if asked.path == "/logs"] == [
        None, "2026-11-22T09:00:02.5Z", "2026-11-22T09:00:03.5Z",
    ]  # fmt: skip
    assert peer.asked[-1].query["job"] == "billing"


def test_followed_lines_pass_a_pipe_at_once(peer: Any, lines: Any) -> None:
    peer.answers["GET /logs"] = lines([line(1)], break_off=True)
    command = [sys.executable, "-m", "luad", "logs", "-f", "--utc"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"09:00:01.500 INFO    billing-sync app  line 1\n"
        assert process.poll() is None  # it waits for the daemon, and would for ever
        process.kill()


def test_logs_follow_a_run_to_its_end(luad: Any, peer: Any, lines: Any) -> None:
    peer.answers[f"GET /runs/{RUN}/log"] = lines([line(1)])
    result = luad("logs", "-f", RUN, "--raw")
    assert (result.code, result.lines) == (0, ["line 1"])


def test_logs_follow_needs_a_daemon_to_begin_with(luad: Any) -> None:
    assert luad("logs", "-f").code == 11


def test_logs_of_failed_runs(luad: Any, peer: Any, lines: Any) -> None:
    peer.answers["GET /runs"] = {"runs": [make_run()], "next_cursor": None}
    peer.answers[f"GET /runs/{RUN}/log"] = lines([line(1)])
    assert luad("logs", "--failed", "--raw").lines == ["line 1"]


def test_logs_show_the_last_lines_of_those_that_were_asked_for(
    luad: Any, peer: Any, lines: Any
) -> None:
    wanted = [line(each) for each in range(5)]
    peer.answers["GET /logs"] = lines([*wanted, {**line(9), "message": "other"}])
    assert luad("logs", "--grep", "line", "-n", 2, "--raw").lines == ["line 3", "line 4"]
    assert peer.asked[-1].query["tail"] == "10000"
    peer.answers["GET /runs"] = {"runs": [make_run(), make_run()], "next_cursor": None}
    peer.answers[f"GET /runs/{RUN}/log"] = lines(wanted)
    assert luad("logs", "--failed", "-n", 1, "--raw").lines == ["line 4"]
    assert luad("logs", "-n", 0, "--raw").lines == []


STATUS = {
    "status": "degraded",
    "version": "0.1.0",
    "pid": 99,
    "uptime_seconds": 3725,
    "socket": "/run/luad/luad.sock",
    "listen": "127.0.0.1:8642",
    "jobs": {"total": 3, "active": 2, "paused": 1, "failing": 1, "stale": 1, "completed": 0},
    "runs": {"running": 1, "queued": 0},
    "last_reload": {"at": "2026-11-22T09:00:00Z", "ok": False, "files": 3, "problems": 1},
    "problems": [
        {"code": "LU102", "filename": "jobs.d/r.yaml", "location": {"row": 6, "column": 3},
         "message": "unknown key `expresion`"}
    ],
    "store": {"path": "/var/lib/luad/luad.db", "size_bytes": 4_100_000, "writable": True, "runs": 12},
    "event_loop_lag_ms": 0.4,
    "max_concurrent_runs": 512,
    "draining": False,
    "systemd": True,
    "jobs_dirs": ["jobs.d"],
}  # fmt: skip


def test_status_says_how_the_daemon_is(luad: Any, peer: Any) -> None:
    peer.answers["GET /status"] = STATUS
    result = luad("status", "--utc")
    assert result.code == 0
    assert result.lines[0] == "! degraded   luad 0.1.0   pid 99   up 1 h 2 min"
    for text in (
        "3: 2 active, 1 paused",
        "4.1 MB",
        "127.0.0.1:8642",
        "jobs.d/r.yaml:6:3 LU102 unknown key",
    ):
        assert text in result.out
    assert luad("status", "--exit-status").code == 1
    assert luad("status", "--json").json == STATUS
    peer.answers["GET /status"] = {**STATUS, "status": "ok", "problems": []}
    assert luad("status", "--exit-status").code == 0


def test_an_empty_project_is_told_the_next_two_commands(
    luad: Any, peer: Any, tmp_path: Any
) -> None:
    peer.answers["GET /jobs"] = {"jobs": [], "hidden_dynamic": 0, "next_cursor": None}
    (tmp_path / "jobs.d").mkdir()
    for args in ([], ["--offline"]):
        said = luad("list", *args).err
        assert "no jobs yet" in said
        commands = re.findall(r"^  (luad .*?)  +\S", said, re.MULTILINE)
        assert commands == ["luad new hello --every 1h", "luad test hello"]
    for command in commands:
        assert luad(*command.split()[1:]).code == 0
    assert luad("list", "--offline").out.splitlines()[1].split()[1] == "hello"
    for args in (["--tag", "x"], ["--status", "failing"], ["--user", "ann"]):
        assert "no jobs yet" not in luad("list", *args).err
    peer.answers["GET /jobs"] |= {"hidden_dynamic": 2}
    assert "2 dynamic jobs hidden" in luad("list").err
    peer.answers["GET /jobs"] |= {"hidden_dynamic": 0, "broken_files": ["jobs.d/a.yaml"]}
    assert "jobs.d/a.yaml has an error" in luad("list").err
