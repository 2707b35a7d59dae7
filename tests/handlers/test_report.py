"""luad.handlers.report against a socket that speaks as the daemon does."""

from __future__ import annotations

import json
import socketserver
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit
from zoneinfo import ZoneInfo

import pytest

from luad.errors import UnavailableError
from luad.handlers import report
from luad.handlers.report import bounds, summary
from luad.sdk import Job

MakeJob = Callable[..., Job]
PAGE = 3


def a_run(number: int, **different: Any) -> dict[str, Any]:
    at = f"2025-11-21T{number // 60:02}:{number % 60:02}:00Z"
    return {
        "id": f"run_{number:026}",
        "job": "heartbeat",
        "status": "succeeded",
        "scheduled_for": at,
        "claimed_at": at,
        "duration_ms": 1_000,
        "count": 1,
        "reason": None,
        "error": None,
        "exit_code": 0,
        "signal": None,
    } | different


class Daemon(socketserver.ThreadingUnixStreamServer):
    """Serves `/v1/runs` from a list, in pages of `PAGE`."""

    runs: list[dict[str, Any]]
    asked: list[dict[str, str]]


class Answer(BaseHTTPRequestHandler):
    server: Daemon

    def do_GET(self) -> None:
        url = urlsplit(self.path)
        assert url.path == "/v1/runs"
        query = {key: values[0] for key, values in parse_qs(url.query).items()}
        self.server.asked.append(query)
        start = int(query.get("cursor", "0"))
        end = start + PAGE
        cursor = str(end) if end < len(self.server.runs) else None
        body = json.dumps({"runs": self.server.runs[start:end], "next_cursor": cursor}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def address_string(self) -> str:
        return "unix"

    def log_message(self, *_args: Any) -> None:
        """Keep quiet."""


@pytest.fixture
def daemon(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Daemon]:
    path = tmp_path / "luad.sock"
    monkeypatch.setenv("LUAD_SOCKET", str(path))
    monkeypatch.delenv("LUAD_URL", raising=False)
    with Daemon(str(path), Answer) as server:
        server.runs, server.asked = [], []
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def test_a_day_is_told_in_full(
    make_job: MakeJob, daemon: Daemon, capsys: pytest.CaptureFixture[str]
) -> None:
    daemon.runs = [
        a_run(700, job="nightly-import", status="failed", duration_ms=192_000)
        | {"error": {"type": "ValueError", "message": "row 7 is\n  no number", "traceback": "..."}},
        a_run(600, job="mirror", status="timed_out", duration_ms=300_000, signal=15),
        a_run(540, status="skipped", reason="overlap", duration_ms=None, count=2),
        a_run(530, status="skipped", reason="overlap", duration_ms=None),
        a_run(520, job="mirror", status="missed", reason="downtime", duration_ms=None, count=40),
        *(a_run(number) for number in range(7)),
    ]
    result = summary(make_job(timezone="Europe/Berlin"))
    assert result["counts"] == {
        "failed": 1,
        "missed": 40,
        "skipped": 3,
        "succeeded": 7,
        "timed_out": 1,
    }
    assert result["text"] == capsys.readouterr().out
    assert result["text"].splitlines() == [
        "luad report: Fri 2025-11-21 (Europe/Berlin)",
        "",
        "9 runs: 7 succeeded, 1 failed, 1 timed out",
        "43 occurrences did not run: 40 missed, 3 skipped",
        "",
        "Failed",
        (
            "  12:40:00  nightly-import  failed     ValueError: row 7 is no number  "
            "run_00000000000000000000000700"
        ),
        (
            "  11:00:00  mirror          timed out  signal 15                       "
            "run_00000000000000000000000600"
        ),
        "",
        "Did not run",
        "  mirror     40 missed  downtime",
        "  heartbeat  3 skipped  overlap",
        "",
        "Slowest",
        "  5m     mirror          11:00:00",
        "  3m12s  nightly-import  12:40:00",
        "  1s     heartbeat       01:06:00",
        "  1s     heartbeat       01:05:00",
        "  1s     heartbeat       01:04:00",
    ]


def test_every_page_is_read_within_the_bounds_of_the_day(make_job: MakeJob, daemon: Daemon) -> None:
    daemon.runs = [a_run(number) for number in range(PAGE * 2 + 1)]
    assert summary(make_job())["counts"] == {"succeeded": PAGE * 2 + 1}
    assert [query.get("cursor") for query in daemon.asked] == [None, "3", "6"]
    for query in daemon.asked:
        assert query["since"] == "2025-11-21T00:00:00.000Z"
        assert query["until"] == "2025-11-22T00:00:00.000Z"
        assert query["limit"] == "500"


def test_an_empty_day_is_a_report_too(make_job: MakeJob, daemon: Daemon) -> None:
    text = summary(make_job(period="last_24h"))["text"]
    assert text == "luad report: 2025-11-21 12:00 to 2025-11-22 12:00 (UTC)\n\nNo runs\n"
    assert len(daemon.asked) == 1


def test_the_report_does_not_count_itself(make_job: MakeJob, daemon: Daemon) -> None:
    job = make_job(period="today")
    daemon.runs = [a_run(1, id=job.run_id, status="running", duration_ms=None), a_run(2)]
    result = summary(job)
    assert result["counts"] == {"succeeded": 1}
    assert result["text"].startswith("luad report: Sat 2025-11-22, until 12:00 (UTC)\n")


def test_more_runs_than_fit_are_said_not_to_be_counted(
    make_job: MakeJob, daemon: Daemon, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(report, "MAX_RUNS", 4)
    daemon.runs = [a_run(number, status="failed") for number in range(9)]
    result = summary(make_job())
    assert result["counts"] == {"failed": 4}
    assert "There were more; only the newest 4 rows are counted." in result["text"]


def test_many_failures_are_shortened(make_job: MakeJob, daemon: Daemon) -> None:
    daemon.runs = [a_run(number, status="lost", exit_code=None) for number in range(30)]
    text = summary(make_job())["text"]
    assert "Failed (the newest 20 of 30)" in text
    assert text.count("no error was recorded") == 20


@pytest.mark.parametrize(
    ("zone", "at", "hours"),
    [
        ("UTC", "2025-11-22T06:00Z", 24),
        ("America/New_York", "2025-03-10T12:00Z", 23),  # the day before, the clocks went forward
        ("America/New_York", "2025-11-03T12:00Z", 25),  # the day before, they went back
        ("Pacific/Auckland", "2025-11-22T11:30Z", 24),  # already the 23rd there
    ],
)
def test_yesterday_is_the_day_before_in_that_zone(zone: str, at: str, hours: int) -> None:
    tz = ZoneInfo(zone)
    moment = datetime.fromisoformat(at)
    since, until = bounds("yesterday", tz, moment)
    assert (until - since).total_seconds() == hours * 3600
    assert since.tzinfo is until.tzinfo is UTC
    for edge in (since, until):
        assert f"{edge.astimezone(tz):%H:%M}" == "00:00"
    assert until.astimezone(tz).date() == moment.astimezone(tz).date()


def test_without_a_daemon_it_says_so(
    make_job: MakeJob, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LUAD_SOCKET", str(tmp_path / "nobody.sock"))
    with pytest.raises(UnavailableError, match="cannot reach luad"):
        summary(make_job())


@pytest.mark.parametrize(
    ("metadata", "said"),
    [
        ({"period": "week"}, "metadata.period: 'week' is not one of yesterday, today, last_24h"),
        ({"timezone": "Mars/Olympus"}, "metadata.timezone: 'Mars/Olympus' is not a time zone"),
        ({"timezone": "../../etc/passwd"}, "metadata.timezone: .* is not a time zone"),
        ({"time_zone": "UTC"}, "metadata.time_zone: is unknown; did you mean `timezone`"),
    ],
)
def test_a_wrong_parameter_is_named(make_job: MakeJob, metadata: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        summary(make_job(**metadata))
