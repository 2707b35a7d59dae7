"""On a terminal: width, colour, questions. The terminal is a real one, a pty."""

from __future__ import annotations

import os
import pty
import re
import struct
import subprocess
import sys
import termios
from fcntl import ioctl
from typing import Any

import pytest

ANSI = re.compile(r"\x1b\[[0-9;]*m")


def on_terminal(*args: str, columns: int = 80, answer: str = "") -> tuple[int, str]:
    """Call luad with all three streams on a terminal; return the exit code and what it showed."""
    ours, theirs = pty.openpty()
    ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    environ = {key: text for key, text in os.environ.items() if key not in {"COLUMNS", "LINES"}}
    process = subprocess.Popen(
        [sys.executable, "-m", "luad", *args],
        stdin=theirs, stdout=theirs, stderr=theirs, env={**environ, "TERM": "xterm"},
    )  # fmt: skip
    os.close(theirs)
    os.write(ours, answer.encode())
    shown = b""
    try:
        while data := os.read(ours, 65536):
            shown += data
    except OSError:  # EIO: the other end is closed
        pass
    os.close(ours)
    return process.wait(), shown.decode()


@pytest.mark.parametrize("columns", [40, 80, 200])
@pytest.mark.slow
def test_a_table_fits_the_terminal(peer: Any, columns: int) -> None:
    strip = [{"status": "succeeded", "duration_ms": 10}] * 19 + [{"status": "failed"}]
    job = {
        "name": "a-job-with-quite-a-long-name-that-goes-on-and-on",
        "schedule_text": "Mon–Fri 09:00 and then some more words",
        "status": "active",
        "health": "failing",
        "recent_runs": strip,
    }
    peer.answers["GET /jobs"] = {"jobs": [job], "hidden_dynamic": 0, "next_cursor": None}
    code, shown = on_terminal("list", columns=columns)
    assert code == 0
    assert "\x1b[" in shown
    lines = ANSI.sub("", shown).splitlines()
    assert all(len(line) <= columns for line in lines[:2])
    if columns == 200:
        assert job["name"] in lines[1]
    else:
        assert "…" in lines[1]
        assert "JOB" in lines[0]
        assert job["name"][:15] in lines[1]  # which job it is outlives all else
    assert "✗" in lines[1].split("…")[-1] or columns == 40, "the newest run is what is kept"


@pytest.mark.slow
def test_a_run_is_named_whole_or_not_at_all(peer: Any) -> None:
    run = {"id": "run_01M82P2FB8ZSFG85SP6Z64AKDC", "job": "billing-sync", "status": "failed"}
    peer.answers["GET /runs"] = {"runs": [run], "next_cursor": None}
    for columns, has_id in ((80, True), (40, False)):
        shown = ANSI.sub("", on_terminal("history", columns=columns)[1]).splitlines()
        assert ("run_01M82P2FB8ZSF" in shown[1]) is has_id
        assert "billing-sync  ✗ failed" in shown[1]


@pytest.mark.slow
def test_a_question_is_asked_on_a_terminal(peer: Any) -> None:
    peer.answers["GET /jobs"] = {"jobs": [{"name": "a"}], "next_cursor": None}
    peer.answers["POST /jobs/a/deactivate"] = {"name": "a", "pause": {}}
    code, shown = on_terminal("pause", "--all", answer="n\n")
    assert code == 130
    assert "Pause all 1 job? [y/N]" in shown
    assert all(asked.method == "GET" for asked in peer.asked)
    code, shown = on_terminal("pause", "--all", answer="y\n")
    assert code == 0
    assert peer.asked[-1].path == "/jobs/a/deactivate"


@pytest.mark.slow
def test_json_is_indented_for_people(peer: Any) -> None:
    peer.answers["GET /status"] = {"status": "ok"}
    assert '{\r\n  "status": "ok"\r\n}' in on_terminal("status", "--json")[1]


CONCEALED = "\x1b[8m"  # as innocent as a colour, and nobody sees what follows
EVIL = CONCEALED + "\x1b]0;title\x07\x1b[2J\x9b31m\u202egnp\u2028.\rfake"


def is_tame(shown: str) -> bool:
    rest = ANSI.sub("", shown).replace("\r\n", "\n")
    return CONCEALED not in shown and not any(
        char != "\n" and (not char.isprintable() or char in "\u202e\u2028") for char in rest
    )


@pytest.mark.parametrize(
    ("answers", "args"),
    [
        ({"POST /jobs/a/deactivate": {"name": "a", "pause": {"reason": EVIL}}}, ["pause", "a"]),
        (
            {"GET /jobs/a": {"id": "job_1", "name": "a"}, "GET /jobs/job_1/metadata": {EVIL: EVIL}},
            ["metadata", "a"],
        ),
        ({"GET /status": {"status": EVIL}}, ["status", "--json"]),
    ],
)
@pytest.mark.slow
def test_what_others_wrote_does_not_steer_the_terminal(
    peer: Any, answers: dict[str, Any], args: list[str]
) -> None:
    peer.answers.update(answers)
    _, shown = on_terminal(*args)
    assert "fake" in shown
    assert is_tame(shown), ascii(shown)


@pytest.mark.slow
def test_nor_does_the_name_of_a_logger(peer: Any, lines: Any) -> None:
    line = {
        "ts": "2026-11-22T10:00:00Z",
        "level": "info",
        "logger": EVIL,
        "message": EVIL,
        "run_id": "run_1",
    }
    peer.answers["GET /jobs/a"] = {"id": "job_1", "name": "a"}
    peer.answers["GET /logs"] = lines([line])
    _, shown = on_terminal("logs", "a")
    assert "fake" in shown
    assert is_tame(shown), ascii(shown)


def long_job(name: str, **more: Any) -> dict[str, Any]:
    return {
        "name": name,
        "status": "active",
        "health": "ok",
        "schedule_text": "every 15 min",
        **more,
    }


@pytest.mark.parametrize("columns", [40, 60, 80])
def test_names_that_differ_look_different_however_they_are_cut(peer: Any, columns: int) -> None:
    names = [f"nightly-import-of-the-orders-of-the-{each}-warehouse-{n}"
             for each in ("northern", "southern") for n in (1, 2)]  # fmt: skip
    jobs = [long_job(name) for name in names]
    peer.answers["GET /jobs"] = {"jobs": jobs, "hidden_dynamic": 0, "next_cursor": None}
    shown = ANSI.sub("", on_terminal("list", columns=columns)[1]).splitlines()[:5]
    assert columns == 40 or all(len(line) <= columns for line in shown)
    rows = {line.split()[1] for line in shown[1:]}
    assert len(rows) == 4, rows


@pytest.mark.parametrize("columns", [50, 60, 70])
@pytest.mark.slow
def test_a_time_is_whole_or_left_out(peer: Any, columns: int) -> None:
    run = {"id": "run_01M82P2FB8ZSFG85SP6Z64AKDC", "job": "billing-sync-of-europe", "status": "timed_out",
           "duration_ms": 61_000, "trigger": "schedule", "sent": {"delivered": 1, "total": 12},
           "started_at": "2020-11-22T09:15:00Z", "error": {"type": "E", "message": "x" * 200}}  # fmt: skip
    peer.answers["GET /runs"] = {"runs": [run], "next_cursor": None}
    head, row = ANSI.sub("", on_terminal("history", "--utc", columns=columns)[1]).splitlines()[:2]
    assert len(row) <= columns
    assert "✗ timed out" in row
    assert "22 Nov 2020" in row
    for name, text in (("TOOK", "61 s"), ("SENT", "1/12"), ("TRIGGER", "schedule")):
        assert name not in head or text in row.replace("1 min 1 s", "61 s").replace(
            "1.0 min", "61 s"
        )


@pytest.mark.slow
def test_status_fits_the_terminal_and_divides_no_path(peer: Any) -> None:
    path = "/srv/a-place-with-quite-a-long-name/that-goes-on/jobs.d"
    peer.answers["GET /status"] = {
        "status": "degraded", "version": "1", "pid": 7, "jobs": {"total": 3, "active": 3, "failing": 2,
        "stale": 1, "paused": 1}, "jobs_dirs": [path, path], "max_concurrent_runs": 512,
        "problems": ["the store cannot be written: there is no space left on the device, at all"],
    }  # fmt: skip
    lines = ANSI.sub("", on_terminal("status", columns=60)[1]).splitlines()
    assert all(len(line) <= 60 or path in line for line in lines), lines
    assert sum(path in line for line in lines) == 2
    wide = ANSI.sub("", on_terminal("status", columns=200)[1]).splitlines()
    assert len(wide) < len(lines)


def test_every_help_topic_fits_80_columns(luad: Any) -> None:
    from luad.cli.terminal.topics import TOPICS
    from luad.config.problems import CODES

    for topic in (*TOPICS, "codes", *CODES):
        for line in luad("help", topic).lines:
            assert len(line) <= 80 or line.startswith(" "), (topic, line)
    for topic in TOPICS:
        assert max(map(len, luad("help", topic).lines)) <= 80, topic
    assert max(map(len, luad("help").lines)) <= 80


@pytest.mark.slow
def test_a_schedule_keeps_its_time_when_another_is_cut(peer: Any) -> None:
    strip = [{"status": "succeeded", "duration_ms": 10}] * 20
    often = {"name": "often", "schedule_text": "every 10s", "recent_runs": strip}
    weekly = {"name": "weekly-report", "schedule_text": "Mon–Fri 09:00  Europe/London of all"}
    once = [
        {"name": name, "schedule_text": f"once 2026-12-01 and a long zone and more {name}"}
        for name in "12"
    ]
    peer.answers["GET /jobs"] = {"jobs": [often, weekly, *once], "next_cursor": None}
    shown = ANSI.sub("", on_terminal("list", columns=72)[1])
    assert "weekly-report  Mon–Fri 09:00" in shown
    assert "more 1 " in shown, "those that would be equal lose their middle"
    assert "more 2 " in shown


def test_a_help_topic_is_filled_not_broken(luad: Any) -> None:
    text, _, _ = luad("help", "users").out.partition("\n\nUsage:")
    lines = text.splitlines()[2:-1]
    assert min(map(len, lines)) > 60, "no line but the last ends early"
