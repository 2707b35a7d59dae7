"""A handler file with a reserved name, under a real daemon."""

from __future__ import annotations

from pathlib import Path

from support.forked_daemon import ForkedDaemon

JOB = 'name: {name}\nhandler: {handler}\nschedule: {{type: cron, expression: "0 0 1 1 *"}}\n'


def test_one_file_name_is_a_problem_of_its_own_job_and_of_no_other(tmp_path: Path) -> None:
    daemon = ForkedDaemon(tmp_path)
    daemon.write_handler("queue", "def run(job):\n    return 'mine'\n")
    daemon.write_handler("report", "import queue\ndef run(job):\n    return queue.Queue.__name__\n")
    daemon.write_job("bad", JOB.format(name="bad", handler="queue:run"))
    daemon.write_job("good", JOB.format(name="good", handler="report:run"))
    with daemon:
        [told] = [line for line in daemon.lines if line["event"] == "config.problem"]
        assert (told["code"], Path(told["place"].partition(":")[0]).name) == ("LU310", "bad.yaml")
        assert "handler: queue_jobs:run" in told["help"]
        daemon.luad("run", "good", "--wait")
        assert daemon.json("show", "@last")["result"] == "Queue"
        daemon.luad("run", "bad", "--wait", check=False)
        shown = daemon.json("show", "@last")
        assert (shown["status"], shown["retryable"]) == ("failed", False)
        [problem] = daemon.json("status")["problems"]
        assert problem["code"] == "LU310"
        (daemon.handlers / "queue.py").rename(daemon.handlers / "queue_jobs.py")
        daemon.write_job("bad", JOB.format(name="bad", handler="queue_jobs:run"))
        daemon.luad("reload")
        assert daemon.json("status")["problems"] == []
        daemon.luad("run", "bad", "--wait")
        assert daemon.json("show", "@last")["result"] == "mine"
