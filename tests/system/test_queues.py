"""A real daemon and queues: a run of a queue that no worker serves waits, and starts once a worker serves it."""

from __future__ import annotations

from pathlib import Path

from support.forked_daemon import ForkedDaemon
from support.live_daemon import LiveDaemon

WORK = "def work(job):\n    return 'done'\n"
JOB = "name: train\nhandler: work:work\nqueue: gpu\nschedule: {type: interval, every: 1h}\n"


def states(daemon: LiveDaemon) -> list[str]:
    return [state for (state,) in daemon.rows("SELECT state FROM runs ORDER BY claimed_at")]


def test_a_run_of_a_queue_without_a_worker_waits_over_restarts(tmp_path: Path) -> None:
    daemon = ForkedDaemon(tmp_path, env={"LUAD_WORK_QUEUES": "default gpu"})
    daemon.write_handler("work", WORK)
    daemon.start()
    jobs = tmp_path / "later.yaml"
    jobs.write_text(JOB.replace("train", "later"))
    daemon.luad("create", "--from", str(jobs))
    assert daemon.stop() == 0
    daemon.env["LUAD_WORK_QUEUES"] = "default"
    daemon.write_job("train", JOB)
    daemon.start(wait=False)
    assert daemon.wait_for("config.problem")["code"] == "LU209"
    daemon.wait_ready()
    daemon.luad("run", "later")
    assert "no worker serves the queue `gpu`" in daemon.luad("why", "later").stdout
    assert states(daemon) == ["queued"]
    daemon.kill()
    daemon.env["LUAD_WORK_QUEUES"] = "gpu,default"
    daemon.start()
    daemon.wait_for("run.ended", job="later", status="succeeded")
    assert states(daemon) == ["succeeded"]
    assert daemon.stop() == 0
