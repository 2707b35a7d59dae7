"""Acting: run, retry, cancel, pause, resume, reload, against recorded answers of the daemon."""

from __future__ import annotations

import json
from typing import Any

import pytest

RUN = "run_01KAPQ7V8W0000000000000001"


def a_run(status: str = "queued", **more: Any) -> dict[str, Any]:
    return {"id": RUN, "job": "nightly", "status": status, "duration_ms": 840, **more}


@pytest.fixture
def nightly(peer: Any) -> Any:
    peer.answers["POST /jobs/nightly/trigger"] = a_run()
    return peer


def ends_as(peer: Any, *states: str) -> None:
    rest = list(states)
    peer.answers[f"GET /runs/{RUN}"] = lambda _: a_run(rest.pop(0))


def test_run_prints_the_id_and_sends_metadata_as_json_or_text(luad: Any, nightly: Any) -> None:
    result = luad("run", "nightly", "-m", "n=3", "-m", "who=ann", "-m", 'x={"a": [1]}', "--force")
    assert (result.code, result.out, result.err) == (0, f"{RUN}\n", "")
    body = nightly.asked[0].body
    assert body["metadata"] == {"n": 3, "who": "ann", "x": {"a": [1]}}
    assert body["force"] is True


def test_metadata_needs_an_equals_sign(luad: Any) -> None:
    result = luad("run", "nightly", "-m", "oops")
    assert result.code == 2
    assert "error[usage]: `oops` has no `=`" in result.err


@pytest.mark.parametrize(
    ("state", "code"),
    [("succeeded", 0), ("failed", 4), ("lost", 4), ("cancelled", 5), ("timed_out", 7)],
)
def test_run_wait_ends_as_the_run_ends(luad: Any, nightly: Any, state: str, code: int) -> None:
    ends_as(nightly, "running", "retrying", state)
    result = luad("run", "nightly", "--wait")
    assert result.code == code
    assert result.out == f"{RUN}\n"
    assert f"nightly {state.replace('_', ' ')} after 0.8 s" in result.err


def test_run_follow_shows_the_log(luad: Any, nightly: Any, lines: Any) -> None:
    nightly.answers[f"GET /runs/{RUN}/log"] = lines([{"message": "hello", "run_id": RUN}])
    ends_as(nightly, "failed")
    result = luad("run", "nightly", "-f")
    assert result.code == 4
    assert result.lines == [RUN, "hello"]


def test_run_wait_json_is_the_run_as_it_ended(luad: Any, nightly: Any) -> None:
    ends_as(nightly, "succeeded")
    result = luad("run", "nightly", "--wait", "--json")
    assert result.json["status"] == "succeeded"
    assert result.err == ""


def test_run_wait_gives_up_after_the_wait_timeout(luad: Any, nightly: Any) -> None:
    nightly.answers[f"GET /runs/{RUN}"] = a_run("running")
    result = luad("run", "nightly", "--wait", "--wait-timeout", "0.1s")
    assert result.code == 7
    assert "error[timeout]: the run had not ended after 100 ms" in result.err or (
        "error[timeout]: the run had not ended after 0.1 s" in result.err
    )


def test_run_by_tag(luad: Any, nightly: Any) -> None:
    job = {"name": "nightly", "tags": ["night"]}
    nightly.answers["GET /jobs"] = {"jobs": [job, {"name": "b", "tags": []}], "next_cursor": None}
    assert luad("run", "-t", "night").out == f"{RUN}\n"
    assert luad("run", "-t", "nope").code == 3
    assert luad("run").code == 2


def test_a_conflict_is_8(luad: Any, peer: Any) -> None:
    document = {
        "code": "already_running",
        "detail": "nightly is already running",
        "hint": "--force",
    }
    peer.answers["POST /jobs/nightly/trigger"] = (409, document)
    result = luad("run", "nightly")
    assert result.code == 8
    assert result.err == "error[already_running]: nightly is already running\n  hint: --force\n"


def test_every_mistake_of_a_request_is_told(luad: Any, peer: Any) -> None:
    errors = [{"pointer": "#/metadata/x", "code": "value", "detail": "too long", "hint": "cut it"}]
    document = {"code": "validation", "detail": "1 problem", "errors": errors}
    peer.answers["POST /jobs/nightly/trigger"] = (422, document)
    result = luad("run", "nightly")
    assert result.code == 2
    assert "  metadata.x: too long\n    hint: cut it" in result.err


def test_retry_of_the_last_failed_run(luad: Any, peer: Any) -> None:
    peer.answers["POST /runs/%40last-failed/retry"] = a_run(id="run_2")
    assert luad("retry", "@last-failed").out == "run_2\n"
    assert luad("retry").code == 2


def test_retry_in_bulk_asks_and_without_a_terminal_needs_yes(luad: Any, peer: Any) -> None:
    peer.answers["GET /runs"] = {"runs": [a_run("failed")], "next_cursor": None}
    peer.answers[f"POST /runs/{RUN}/retry"] = a_run(id="run_2")
    result = luad("retry", "--failed", "--since", "3h")
    assert result.code == 2
    assert "hint: use --yes" in result.err
    assert all(asked.method == "GET" for asked in peer.asked)
    assert luad("retry", "--failed", "--since", "3h", "--yes").out == "run_2\n"
    peer.answers["GET /runs"] = {"runs": [], "next_cursor": None}
    assert luad("retry", "--failed").code == 0


def test_retry_in_bulk_goes_on_after_a_run_that_is_refused(luad: Any, peer: Any) -> None:
    runs = [a_run("failed", id=f"run_{number}") for number in range(3)]
    peer.answers["GET /runs"] = {"runs": runs, "next_cursor": None}
    gone = {"code": "not_found", "detail": "no job named `old`", "hint": "luad list"}
    peer.answers["POST /runs/run_0/retry"] = (404, gone)
    peer.answers["POST /runs/run_1/retry"] = a_run(id="run_8")
    busy = {"code": "already_running", "detail": "nightly is already running"}
    peer.answers["POST /runs/run_2/retry"] = (409, busy)
    result = luad("retry", "--failed", "--yes")
    assert result.out == "run_8\n"
    assert result.code == 3
    assert result.err.splitlines() == [
        "run_0: error[not_found]: no job named `old`",
        "  hint: luad list",
        "run_2: error[already_running]: nightly is already running",
    ]
    told = luad("--json", "retry", "--failed", "--yes")
    assert [each["id"] for each in told.json["runs"]] == ["run_8"]
    assert [json.loads(line)["code"] for line in told.err.splitlines()] == [
        "not_found",
        "already_running",
    ]


def test_cancel_and_kill(luad: Any, peer: Any) -> None:
    peer.answers[f"POST /runs/{RUN}/cancel"] = a_run("running")
    result = luad("cancel", RUN, "--kill")
    assert result.code == 0
    assert peer.asked[0].body == {"kill": True}
    assert "at once" in result.err


def test_pause_says_why_by_whom_and_until_when(luad: Any, peer: Any) -> None:
    peer.answers["POST /jobs/nightly/deactivate"] = lambda asked: {
        "name": "nightly",
        "pause": {**asked.body, "at": "2026-11-22T09:00:00Z"},
    }
    result = luad("pause", "nightly", "--reason", "Q4", "--until", "2099-01-02T09:00", "--utc")
    assert result.code == 0
    assert peer.asked[0].body["until"] == "2099-01-02T09:00:00Z"
    assert 'nightly is paused: "Q4"' in result.err
    assert "until 2 Jan 2099" in result.err
    result = luad("deactivate", "nightly", "--until", "2020-01-01")
    assert result.code == 2
    assert "in the past" in result.err


def test_resume_with_catch_up(luad: Any, peer: Any) -> None:
    peer.answers["POST /jobs/nightly/activate"] = {
        "name": "nightly", "status": "active", "pause": None, "next_run_at": "2099-01-01T00:00:00Z",
    }  # fmt: skip
    result = luad("resume", "nightly", "--catch-up", "one")
    assert result.code == 0
    assert peer.asked[0].body == {"catch_up": "one"}
    assert "nightly is active; next run in" in result.err
    assert luad("activate", "nightly", "--json").json["name"] == "nightly"


def test_pausing_everything_asks_first(luad: Any, peer: Any) -> None:
    peer.answers["GET /jobs"] = {"jobs": [{"name": "nightly"}], "next_cursor": None}
    peer.answers["POST /jobs/nightly/deactivate"] = {"name": "nightly", "pause": {}}
    assert luad("pause", "--all").code == 2
    assert luad("pause", "--all", "--yes").code == 0


RELOAD: dict[str, Any] = {
    "added": ["new-job"],
    "replaced": [{"name": "billing-sync", "changes": ["schedule"]}],
    "removed": ["old-job"],
    "kept": 37,
    "problems": [],
    "stale": [],
}


def test_reload_shows_the_difference(luad: Any, peer: Any) -> None:
    peer.answers["POST /config/reload"] = RELOAD
    result = luad("reload")
    assert result.code == 0
    assert result.lines == ["+ new-job", "~ billing-sync (schedule)", "- old-job"]
    assert "1 added, 1 replaced, 1 removed, 37 kept" in result.err
    assert peer.asked[0].body == {"check_only": False}
    luad("reload", "--check-only")
    assert peer.asked[1].body == {"check_only": True}


def test_reload_fails_when_a_file_is_kept_as_it_was(luad: Any, peer: Any) -> None:
    bad = {"code": "LU102", "severity": "error", "filename": "jobs.d/report.yaml",
           "location": {"row": 6, "column": 3}, "message": "unknown key", "help": "did you mean `tags`?"}  # fmt: skip
    peer.answers["POST /config/reload"] = {
        **RELOAD, "problems": [bad], "stale": ["jobs.d/report.yaml"],
    }  # fmt: skip
    result = luad("reload")
    assert result.code == 1
    assert "! jobs.d/report.yaml (1 error, kept as before)" in result.lines
    said = "error: jobs.d/report.yaml:6:3 LU102 unknown key\n  help: did you mean `tags`?\n"
    assert said in result.err
    advice = {**bad, "severity": "warning"}
    peer.answers["POST /config/reload"] = {**RELOAD, "problems": [advice]}
    assert luad("reload").code == 0
