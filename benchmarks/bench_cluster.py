"""Several nodes and workers on one PostgreSQL server: lateness, take-over, outages, and what an idle node costs.

    python -m benchmarks.bench_cluster [--seconds 20] [--claims 1000] [--most 5000] [--outage 20]

The server, the nodes, the workers and the benchmark share this machine. `claimed` is the instant of the row that
claims an occurrence, by the clock of PostgreSQL. Where a figure says `claims only`, no worker serves the queue, so no
process is started. A machine without PostgreSQL 14 or later skips the benchmark.
"""

from __future__ import annotations

import importlib.util
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Final

from benchmarks.bench_dynamic import Connection
from benchmarks.common import Bench, arguments, benchmark, now_s, quantile, work_folder
from benchmarks.live import LUAD, PATIENCE_S, Daemon, cpu_s, tree_cpu_s
from benchmarks.loads import HANDLER_MODULE, stamps, write_handlers
from demo.postgres_server import Server
from luad.core.shards import SHARDS

CLAIM_P99_MS: Final = {1: 50, 3: 1_000}  # by the number of nodes
FIRE_P50_MS, FIRE_P95_MS = 50, 150
RUNS_PER_S: Final = 120
KILLED_S, STOPPED_S, OWNED_S = 1, 11, 2
CANCEL_MS: Final = 150
IDLE_PART, IDLE_STATEMENTS = 1, 2  # percent of a core; a second
SETTLE_S: Final = 3
LOOK_S: Final = 0.01

JOB: Final = """\
name: {name}
handler: {handler}
queue: {queue}
schedule: {{type: interval, seconds: 1, start_at: "2026-01-01T00:00:00{part}Z"}}
overlap: allow
max_running: 1000
metadata: {{stamps: "{stamps}"}}
"""
LATER: Final = """\
name: {name}
handler: {handler}
queue: {queue}
schedule: {{type: cron, expression: "0 0 1 1 *"}}
timeout: none
"""
HANG: Final = """
def hang(job):
    time.sleep(600)
"""
OWNERS: Final = """
    SELECT count(DISTINCT l.objid), count(DISTINCT l.pid) FROM pg_locks l
    WHERE l.locktype = 'advisory' AND l.granted
    AND l.classid = (SELECT (value::bigint & 4294967295)::oid FROM meta WHERE key = 'lock_space')
"""
LATE: Final = """
    SELECT claimed_at - scheduled_for FROM runs
    WHERE claimed_at > %s AND claimed_at <= %s AND state NOT IN ('skipped', 'missed')
"""
TWICE: Final = """
    SELECT count(*) FROM (
        SELECT 1 FROM runs WHERE trigger <> 'manual' GROUP BY job_name, scheduled_for HAVING count(*) > 1
    ) AS found
"""
MISSING: Final = """
    SELECT coalesce(sum(due - found), 0) FROM (
        SELECT sum(coalesce(skip_count, 1)) AS found,
        (max(scheduled_for) - min(coalesce(skip_first, scheduled_for))) / 1000 + 1 AS due
        FROM runs WHERE trigger <> 'manual' GROUP BY job_name
    ) AS books
"""


class Node(Daemon):
    """`luad serve` with the job files of *shared*."""

    def __init__(self, shared: Path, name: str, url: str) -> None:
        env = {"LUAD_STORE": url, "LUAD_NODE": name, "LUAD_DRAIN": "0s"}
        super().__init__(shared, env=env)
        self.state = shared / name
        self.socket = shared / f"{name}.sock"

    def die(self) -> None:
        """Kill it, as a machine dies."""
        self.process.kill()
        self.process.wait()


class WorkerProcess(Daemon):
    """`luad worker` for *queue*."""

    def __init__(self, shared: Path, name: str, url: str, queue: str) -> None:
        super().__init__(shared, env={"LUAD_STORE": url, "LUAD_DRAIN": "0s"})
        self.state = shared / name
        self.words = ["--name", name, "--queues", queue, "--handlers", str(self.handlers)]

    def command(self) -> list[str]:
        return [*LUAD, "worker", *self.words]

    def wait_ready(self) -> Any:
        return self.wait_for(b"worker.ready")


class Cluster:
    """A server with an empty database, and what is started on it."""

    def __init__(self, folder: Path, server: Server, stack: ExitStack) -> None:
        self.folder, self.server, self._stack = folder, server, stack
        self.connect()
        stack.callback(self._close)
        write_handlers(folder / "handlers")
        with (folder / "handlers" / f"{HANDLER_MODULE}.py").open("a") as file:
            file.write(HANG)
        (folder / "jobs.d").mkdir()
        self.nodes: list[Node] = []

    def _close(self) -> None:
        self.connection.close()

    def connect(self) -> None:
        """Connect to the server, also again after an outage."""
        import psycopg  # noqa: PLC0415 - an extra

        self.connection = psycopg.connect(self.server.url, autocommit=True)

    def write(self, count: int, queue: str, handler: str) -> None:
        """Write *count* jobs of each second; they are due at different milliseconds of it."""
        for number in range(count):
            name = f"job-{number:05}"
            part = f".{number * 1_000 // count:03}"
            words = {"part": part, "stamps": self.folder / "stamps", "queue": queue}
            text = JOB.format(name=name, handler=f"{HANDLER_MODULE}:{handler}", **words)
            (self.folder / "jobs.d" / f"{name}.yaml").write_text(text)

    def write_later(self, name: str, handler: str, queue: str) -> None:
        """Write a job that is not due."""
        text = LATER.format(name=name, handler=f"{HANDLER_MODULE}:{handler}", queue=queue)
        (self.folder / "jobs.d" / f"{name}.yaml").write_text(text)

    def start(self, nodes: int, workers: int = 0, queue: str = "work") -> None:
        """Start nodes, then workers of *queue*, and wait until each node has its share."""
        self.nodes = [
            Node(self.folder, f"node-{number}", self.server.url) for number in range(nodes)
        ]
        below: list[Daemon] = [
            WorkerProcess(self.folder, f"worker-{number}", self.server.url, queue)
            for number in range(workers)
        ]
        for each in (*self.nodes, *below):
            each.start()
            self._stack.callback(each.stop)
        for each in (*self.nodes, *below):
            each.wait_ready()
        self.wait(lambda: self.owners() == (SHARDS, nodes))

    def ask(self, question: str, *values: int) -> list[tuple[Any, ...]]:
        """Ask the database."""
        return self.connection.execute(question, values or None).fetchall()  # type: ignore[call-overload,no-any-return]

    def one(self, question: str) -> Any:
        return self.ask(question)[0][0]

    def owners(self) -> tuple[int, int]:
        """The number of owned shards, and of their owners."""
        return self.ask(OWNERS)[0]  # type: ignore[return-value]

    @staticmethod
    def wait(is_so: Callable[[], bool]) -> float:
        """Wait until it is so; return the seconds."""
        began = now_s()
        while not is_so():
            assert now_s() - began < PATIENCE_S, "it does not come to that"
            time.sleep(LOOK_S)
        return now_s() - began


@contextmanager
def cluster() -> Iterator[Cluster]:
    """A server of its own, and a folder for the nodes."""
    with work_folder() as folder, ExitStack() as stack:
        folder.chmod(0o755)  # the user of PostgreSQL passes through it
        server = Server(folder / "postgresql")
        stack.callback(server.stop)
        server.start()
        shared = folder / "shared"
        shared.mkdir()
        yield Cluster(shared, server, stack)


def check_books(bench: Bench, what: str, found: Cluster) -> None:
    """Add what must be zero: an occurrence with two rows, and one without."""
    bench.add(f"{what}: occurrences with two rows", found.one(TWICE), "rows", 0)
    bench.add(f"{what}: occurrences without a row", float(found.one(MISSING)), "rows", 0)


def measure_claims(bench: Bench, nodes: int, count: int, seconds: int) -> None:
    """Let *nodes* claim *count* occurrences a second and hand them over; nobody starts them."""
    what = f"{count:,} due each second, {nodes} node{'s' * (nodes > 1)}, claims only"
    with cluster() as found:
        found.write(count, "nobody", "nothing")
        found.start(nodes)
        time.sleep(SETTLE_S)
        first = found.one("SELECT max(claimed_at) FROM runs")
        busy = [tree_cpu_s(each.pid) for each in found.nodes]
        time.sleep(seconds)
        used = sum(tree_cpu_s(each.pid) for each in found.nodes) - sum(busy)
        late = [float(ms) for (ms,) in found.ask(LATE, first, first + 1_000 * seconds)]
        bench.add(f"{what}: claimed", len(late) / seconds, "a second")
        bench.add(f"{what}: lateness p50", quantile(late, 0.5), "ms")
        bench.tail(f"{what}: lateness", late, "ms", CLAIM_P99_MS.get(nodes))
        bench.add(
            f"{what}: processor time of the nodes", 1e3 * used / max(1, len(late)), "ms a run"
        )
        check_books(bench, what, found)


def measure_runs(bench: Bench, seconds: int) -> None:
    """Fire ten jobs a second on one node, whose runs two workers start."""
    with cluster() as found:
        found.write(10, "work", "stamp")
        found.start(1, workers=2)
        time.sleep(seconds + SETTLE_S)
        marks = stamps(found.folder / "stamps").values()
        late = [1e3 * (ran - due) for mine in marks for due, ran in mine[SETTLE_S:]]
        bench.add("fire to process, 10 a second: p50", quantile(late, 0.5), "ms", FIRE_P50_MS)
        bench.add("fire to process, 10 a second: p95", quantile(late, 0.95), "ms", FIRE_P95_MS)
        check_books(bench, "10 a second", found)
    with cluster() as found:
        found.write(200, "work", "nothing")
        found.start(1, workers=2)
        time.sleep(SETTLE_S)
        ended = "SELECT count(*) FROM runs WHERE state = 'succeeded'"
        before = found.one(ended)
        time.sleep(seconds)
        rate = (found.one(ended) - before) / seconds
        note = f"{RUNS_PER_S} are asked, 200 are due each second"
        bench.add("whole runs, 2 workers", rate, "a second", note=note)
        bench.add("whole runs asked by those done", RUNS_PER_S / max(1e-9, rate), "x", 1)


def measure_take_over(bench: Bench) -> None:
    """Kill one of three nodes, then stop one; the others take its shards."""
    for what, number, target in (
        ("kill -9", signal.SIGKILL, KILLED_S),
        ("SIGSTOP", signal.SIGSTOP, STOPPED_S),
    ):
        with cluster() as found:
            found.write(6, "nobody", "nothing")
            found.start(3)
            last = found.nodes[-1]
            last.process.send_signal(number)
            took = found.wait(lambda found=found: found.owners() == (SHARDS, 2))  # type: ignore[misc]
            bench.add(f"shards of a node taken over after {what}", took, "s", target)
            last.die()
            check_books(bench, f"after {what}", found)


def measure_outage(bench: Bench, seconds: int) -> None:
    """Stop PostgreSQL while two nodes and a worker run."""
    with cluster() as found:
        found.write(6, "work", "stamp")
        found.start(2, workers=1)
        time.sleep(SETTLE_S)
        found.connection.close()
        found.server.stop()
        time.sleep(seconds)
        found.server.resume()
        found.connect()
        took = found.wait(lambda: found.owners() == (SHARDS, 2))
        bench.add(f"owned again after an outage of {seconds} s", took, "s", OWNED_S)
        found.wait(lambda: found.one("SELECT count(*) FROM inbox") == 0)
        lost = found.one("SELECT count(*) FROM runs WHERE state = 'lost'")
        bench.add("runs lost by the outage", lost, "runs", 0)
        check_books(bench, "after an outage", found)


def measure_cancel(bench: Bench, count: int) -> None:
    """Cancel runs on a worker, from the request to the row."""
    with cluster() as found:
        for number in range(count):
            found.write_later(f"hanging-{number}", "hang", "work")
        found.start(1, workers=1)
        connection = Connection(found.nodes[0])
        running = "SELECT id FROM runs WHERE state = 'running' AND started_at IS NOT NULL"
        took: list[float] = []
        for number in range(count):
            connection.ask("POST", f"/jobs/hanging-{number}/trigger", {})
            found.wait(lambda: bool(found.ask(running)))
            (row,) = found.ask(running)
            began = now_s()
            connection.ask("POST", f"/runs/{row[0]}/cancel", {})
            found.wait(lambda: not found.ask(running))
            took.append(1e3 * (now_s() - began))
        connection.close()
        bench.add("cancel of a running handler: p50", quantile(took, 0.5), "ms", CANCEL_MS)
        bench.details["cancel"] = took


def measure_idle(bench: Bench, seconds: int) -> None:
    """Look at a node that has nothing to do."""
    with cluster() as found:
        found.write_later("later", "nothing", "default")
        found.start(1)
        node = found.nodes[0]
        node.wait_until_idle()
        time.sleep(SETTLE_S)  # a connection counts what it did at most once a second
        statements = "SELECT xact_commit FROM pg_stat_database WHERE datname = current_database()"
        busy, commits = cpu_s(node.pid), found.one(statements)
        time.sleep(seconds)
        used = 100 * (cpu_s(node.pid) - busy) / seconds
        rate = (found.one(statements) - commits) / seconds
        bench.add("idle node: of a core", used, "%", IDLE_PART)
        bench.add("idle node: transactions a second", rate, "a second", IDLE_STATEMENTS)


def missing() -> str:
    """What this machine lacks; empty if it has everything."""
    if importlib.util.find_spec("psycopg") is None:
        return "it needs pip install '.[cluster]'"
    try:
        Server(Path("unused"))
    except SystemExit as error:
        return str(error)
    return ""


def main() -> None:
    asked = arguments(
        __doc__,
        {
            "seconds": (20, "of each look"),
            "claims": (1_000, "jobs due each second on one node"),
            "most": (5_000, "jobs due each second on three nodes"),
            "outage": (20, "seconds without PostgreSQL"),
            "cancels": (10, "runs to cancel"),
        },
    )
    with benchmark("cluster", "Several nodes on PostgreSQL") as bench:
        if reason := missing():
            bench.skip("the cluster", reason)
            return
        measure_idle(bench, asked.seconds)
        measure_take_over(bench)
        measure_cancel(bench, asked.cancels)
        measure_runs(bench, asked.seconds)
        measure_outage(bench, asked.outage)
        measure_claims(bench, 1, asked.claims, asked.seconds)
        measure_claims(bench, 3, asked.most, asked.seconds)


if __name__ == "__main__":
    main()
