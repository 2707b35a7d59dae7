"""A real daemon does not repeat finished work, nor failures that a repetition cannot cure."""

from __future__ import annotations

import json
from pathlib import Path

from support.forked_daemon import ForkedDaemon

JOB = """\
name: {name}
handler: {handler}
schedule: {{type: cron, expression: "0 3 1 1 *"}}
retry: {{max_attempts: 3}}
metadata: {metadata}
"""
HANDLERS = """\
import datetime
from pathlib import Path

def done(job):
    Path(job.metadata["mark"]).open("a").write("x")
    return {"at": datetime.datetime(2026, 1, 1)}
"""


def test_finished_work_and_what_cannot_be_cured_is_not_done_again(tmp_path: Path) -> None:
    daemon = ForkedDaemon(tmp_path)
    (daemon.handlers / "work.py").write_text(HANDLERS)
    mark = tmp_path / "mark"
    jobs = {
        "done": ("work:done", {"mark": str(mark)}),
        "absent": ("work:absent", {}),
        "unknown": ("nowhere:run", {}),
        "wrong": ("luad.handlers.shell:run", {"command": 5}),
        "program": ("luad.handlers.shell:run", {"command": ["no-such-program"]}),
        "line": ("luad.handlers.shell:run", {"command": "no-such-program"}),
    }
    for name, (handler, metadata) in jobs.items():
        text = JOB.format(name=name, handler=handler, metadata=json.dumps(metadata))
        (daemon.jobs / f"{name}.yaml").write_text(text)
    with daemon:
        for name in jobs:
            daemon.luad("run", name, "--wait", check=False)
        history = daemon.json("history")["runs"]
        views = {run["job"]: run for run in history}
        warnings = daemon.luad("logs", "done", "--level", "warning").stdout
    assert mark.read_text() == "x"
    assert "datetime.datetime" in views["done"]["result_omitted"]
    assert views["done"]["status"] == "succeeded"
    assert "datetime.datetime" in warnings
    assert "return .isoformat()" in warnings
    assert {name: view["attempt"] for name, view in views.items()} == dict.fromkeys(jobs, 1) | {
        "line": 3
    }
    assert {name for name, view in views.items() if not view["retryable"]} == {
        "absent",
        "unknown",
        "wrong",
        "program",
    }
