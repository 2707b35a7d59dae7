"""`luad worker` beside a node that starts no run itself: runs are spread, ended once, and drained."""

from __future__ import annotations

import os
import signal
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

pytest.importorskip("procrastinate")

from cluster.real_nodes import wait_until
from cluster.serving import metric
from postgres import database_url
from support.live_daemon import LiveDaemon

pytestmark = pytest.mark.slow

HANDLER = """
import os
import time
from pathlib import Path

from luad.sync import Jobs

HERE = Path(__file__).parent


def note(job):
    handle = os.open(HERE.parent.parent / "starts.txt", os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(handle, f"{job.run_id} {job.attempt} {HERE.parent.name}\\n".encode())


def tick(job):
    note(job)


def hang(job):
    note(job)
    print("hangs")
    while not (HERE.parent.parent / "go").exists():
        time.sleep(0.05)


def talk(job):
    Jobs.create(name="follow-up", handler="work:tick", in_="1h")
    job.update_metadata({"seen": job.attempt})
"""
MANUAL = 'handler: work:{function}\nschedule: {{type: cron, expression: "0 0 1 1 *"}}\n{more}'


class LiveWorker(LiveDaemon):
    """`luad worker` in a folder of its own."""

    def command(self) -> list[str]:
        command = [sys.executable, "-m", "luad", "worker", "--handlers", str(self.handlers)]
        command += ["--state", str(self.state), "--socket", str(self.socket)]
        return [*command, "--log-format", "json", *self.options]


class Machines:
    """One node that starts no run, and workers."""

    def __init__(self, folder: Path, url: str) -> None:
        self.folder, self.url = folder, url
        self.node = self._place(LiveDaemon, "node", LUAD_WORK="no")
        self.workers: dict[str, LiveWorker] = {}
        self.connection = psycopg.connect(url, autocommit=True)

    def _place(self, kind: type[Any], name: str, *options: str, **env: str) -> Any:
        found = kind(
            self.folder / name, *options, env={"LUAD_STORE": self.url, "LUAD_NODE": name, **env}
        )
        found.complaints = self.folder / f"{name}.err"
        found.write_handler("work", HANDLER)
        return found

    def job(self, name: str, function: str, more: str = "") -> None:
        self.node.write_job(name, f"name: {name}\n" + MANUAL.format(function=function, more=more))

    def work(self, name: str, *options: str, is_started: bool = True) -> LiveWorker:
        worker: LiveWorker = self._place(LiveWorker, name, *options)
        self.workers[name] = worker
        if is_started:
            worker.start(wait=False)
        return worker

    def ask(self, query: str) -> list[tuple[Any, ...]]:
        return self.connection.execute(query.encode()).fetchall()

    def starts(self) -> list[list[str]]:
        """Each start of a process: its run, its attempt, its worker."""
        path = self.folder / "starts.txt"
        return [line.split() for line in path.read_text().splitlines()] if path.exists() else []

    def states(self) -> Counter[str]:
        return Counter(state for (state,) in self.ask("SELECT state FROM runs"))

    def end(self) -> None:
        for daemon in (self.node, *self.workers.values()):
            if daemon._process is not None:
                daemon.kill()
        self.connection.close()


@pytest.fixture
def machines(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Machines]:
    url = database_url(f"workers_{os.getpid()}_{abs(hash(request.node.name))}")
    found = Machines(tmp_path, url)
    try:
        yield found
    finally:
        found.end()


def test_runs_are_spread_over_workers_and_none_starts_twice(machines: Machines) -> None:
    machines.job("hello", "hang", "overlap: allow\nmax_running: 100\n")
    machines.node.start()
    workers = [machines.work(name, "--concurrency", "2") for name in ("one", "two")]
    for worker in workers:
        worker.wait_ready()
    for _ in range(4):  # two for each
        machines.node.luad("run", "hello")
    wait_until(lambda: len(machines.starts()) == 4)
    assert Counter(worker for _, _, worker in machines.starts()) == {"one": 2, "two": 2}
    (machines.folder / "go").touch()
    wait_until(lambda: machines.states() == {"succeeded": 4})
    run = machines.starts()[0][0]
    wait_until(lambda: "hangs" in machines.node.luad("logs", run).stdout)
    status = workers[0].json("status")
    assert (status["worker"]["name"], status["worker"]["queues"]) == ("one", ["default"])
    assert machines.ask("SELECT count(DISTINCT worker) FROM attempts") == [(2,)]


def test_a_run_of_a_killed_worker_is_lost_and_starts_again_only_if_told(
    machines: Machines,
) -> None:
    machines.job("once", "hang")
    machines.job("again", "hang", "on_lost: retry\nretry: {max_attempts: 2, backoff_seconds: 1}\n")
    machines.node.start()
    worker = machines.work("one")
    worker.wait_ready()
    for name in ("once", "again"):
        machines.node.luad("run", name)
    wait_until(lambda: len(machines.starts()) == 2)
    worker.kill()
    (machines.folder / "go").touch()
    worker.start()
    wait_until(lambda: machines.states() == {"lost": 1, "succeeded": 1})
    attempts = Counter((run, attempt) for run, attempt, _ in machines.starts())
    assert sorted(attempts.values()) == [1, 1, 1]
    ((again,),) = machines.ask("SELECT id FROM runs WHERE state = 'succeeded'")
    assert (again, "2") in attempts


def test_a_stopped_worker_drains_and_leaves_the_rest_to_others(machines: Machines) -> None:
    machines.job("hello", "hang", "overlap: allow\nmax_running: 100\n")
    machines.node.start()
    one = machines.work("one", "--concurrency", "1", "--drain", "10m")
    one.wait_ready()
    machines.node.luad("run", "hello")
    wait_until(lambda: len(machines.starts()) == 1)
    one.process.send_signal(signal.SIGTERM)
    one.wait_for("daemon.draining")
    machines.node.luad("run", "hello")  # nobody takes it yet
    machines.work("two").wait_ready()
    wait_until(lambda: [worker for _, _, worker in machines.starts()] == ["one", "two"])
    assert one.process.poll() is None
    (machines.folder / "go").touch()
    assert one.process.wait(120) == 0
    wait_until(lambda: machines.states() == {"succeeded": 2})
    assert "worker.stopped" in [line["event"] for line in one.drain_log()]
    assert machines.node.stop() == 0  # it has no worker of its own to drain


def test_a_handler_on_a_worker_creates_jobs_and_changes_metadata(machines: Machines) -> None:
    machines.job("speaker", "talk")
    machines.node.start()
    machines.work("one").wait_ready()
    machines.node.luad("run", "speaker")
    wait_until(lambda: machines.states() == {"succeeded": 1})
    found = machines.ask("SELECT name FROM jobs ORDER BY name")  # durable when the calls returned
    assert found == [("follow-up",), ("speaker",)]
    show = ("show", "follow-up")
    wait_until(lambda: machines.node.luad(*show, check=False).returncode == 0)
    wait_until(lambda: machines.node.json("show", "speaker")["metadata"] == {"seen": 1})


def test_a_queue_that_nobody_serves_says_so_until_a_worker_comes(machines: Machines) -> None:
    machines.job("render", "tick", "queue: gpu\n")
    machines.node.start()
    machines.work("one").wait_ready()
    machines.node.luad("run", "render")
    line = machines.node.wait_for("queue.unserved")
    assert (line["queue"], line["runs"]) == ("gpu", 1)
    wait_until(lambda: metric(machines.node, 'luad_queue_waiting{queue="gpu"}') == 1)
    assert "no worker serves the queue `gpu`" in machines.node.luad("why", "render").stdout
    machines.work("two", "--queues", "gpu")
    machines.node.wait_for("queue.served", queue="gpu")
    wait_until(lambda: machines.states() == {"succeeded": 1})
    assert [worker for _, _, worker in machines.starts()] == ["two"]


def test_a_run_waits_for_a_worker_with_its_handler(machines: Machines) -> None:
    """The first worker has older code than the node that published the job."""
    machines.node.write_handler("work", HANDLER + "\n\ndef added(job):\n    note(job)\n")
    machines.job("newest", "added")
    machines.node.start()
    machines.work("one").wait_ready()
    machines.node.luad("run", "newest")
    line = machines.workers["one"].wait_for("worker.put_back")
    assert "has no function `added`" in line["error"]
    codes = {each["name"]: each["code_digest"] for each in machines.node.json("nodes")["workers"]}
    assert codes["one"] != machines.node.json("nodes")["code_digest"]
    machines.workers["one"].stop()
    two = machines.work("two", is_started=False)
    two.write_handler("work", (machines.node.handlers / "work.py").read_text())
    two.start()
    wait_until(lambda: machines.states() == {"succeeded": 1})
    assert [(attempt, worker) for _, attempt, worker in machines.starts()] == [("1", "two")]
    answer = machines.node.json("nodes")
    assert answer["code_digest"] in {each["code_digest"] for each in answer["workers"]}


@pytest.mark.parametrize(
    ("options", "env", "words"),
    [
        ([], {}, ["needs the PostgreSQL store", "store: postgresql://USER@HOST/DATABASE"]),
        (["--queues", "GPU"], {}, ["--queues", "'GPU' is not the name of a queue"]),
        (["--store", "mysql://x"], {}, ["--store", "postgresql://"]),
        (
            ["--store", "postgresql://u@localhost/x"],
            {"LUAD_WORK": "no"},
            ["$LUAD_WORK says `work: false`", "work: {queues: [default]}"],
        ),
    ],
)
def test_wrong_settings_end_a_worker_for_good(
    tmp_path: Path, options: list[str], env: dict[str, str], words: list[str]
) -> None:
    worker = LiveWorker(tmp_path, env=env)
    done = worker.luad("worker", *options, check=False)
    assert done.returncode == 78
    assert [word for word in words if word not in done.stderr] == []
