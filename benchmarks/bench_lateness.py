"""How late an every-second job is: from the instant it is due to the first line of its handler.

    python -m benchmarks.bench_lateness [--seconds 40] [--rounds 2]

`luad, Python handler`: the handler's first line reads the clock. `luad, shell` and `cronstable` run the
same command line, `date`, which reads it once it is up, so that these two compare like with like. By
turns; one daemon at a time, nothing else to do for it.
"""

from __future__ import annotations

import signal
import statistics
import subprocess
import threading
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from benchmarks.common import Bench, arguments, benchmark, quantile, wall_ns, work_folder
from benchmarks.live import Daemon
from benchmarks.loads import HANDLER_MODULE, stamps, write_handlers
from benchmarks.peers import Peer, installed

TARGET_P50_MS = 10
TARGET_P99_MS = 40
WARM_UP_S = 3  # a daemon that has just begun still has things to do
DATE = "exec date +%s%N >> {}"

Lateness = list[float]
Case = Callable[[Path, int], Lateness]


def _job(name: str, handler: str, metadata: str) -> str:
    return f"""\
name: {name}
handler: {handler}
schedule: {{type: cron, expression: "* * * * * *"}}
metadata: {{{metadata}}}
"""


def luad_python(folder: Path, seconds: int) -> Lateness:
    """A Python handler."""
    out = folder / "stamps"
    daemon = Daemon(folder)
    write_handlers(daemon.handlers)
    text = _job("tick", f"{HANDLER_MODULE}:stamp", f'stamps: "{out}"')
    (daemon.jobs / "tick.yaml").write_text(text)
    with daemon:
        time.sleep(seconds + WARM_UP_S)
    taken = stamps(out)["tick"]
    return [1e3 * (ran - due) for due, ran in taken[WARM_UP_S:]]


def luad_shell(folder: Path, seconds: int) -> Lateness:
    """The shipped shell handler."""
    out = folder / "stamps"
    daemon = Daemon(folder)
    text = _job("tick", "luad.handlers.shell:run", f'command: "{DATE.format(out)}"')
    (daemon.jobs / "tick.yaml").write_text(text)
    with daemon:
        time.sleep(seconds + WARM_UP_S)
    return _since_the_second(out)


def cronstable(peer: Peer, folder: Path, seconds: int) -> Lateness:
    """Cronstable, which needs seven fields for a second."""
    out = folder / "stamps"
    config = folder / "cronstable.yaml"
    config.write_text(
        "jobs:\n  - name: tick\n"
        f'    command: "{DATE.format(out)}"\n    schedule: "* * * * * * *"\n'
        "    timezone: UTC\n"
    )
    process = subprocess.Popen(
        [peer.command, "-c", str(config)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        time.sleep(seconds + WARM_UP_S + 2)
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
    return _since_the_second(out)


def _since_the_second(out: Path) -> Lateness:
    """Milliseconds since the last full second, for stamps without the instant they were due at."""
    return [int(line) % 1_000_000_000 / 1e6 for line in out.read_text().split()][WARM_UP_S:]


def idle_machine(seconds: int) -> Lateness:
    """The floor: a thread that sleeps until each full second, with nothing around it."""
    found = []
    ended = threading.Event()

    def sleeper() -> None:
        for _ in range(seconds):
            due = (wall_ns() // 1_000_000_000 + 1) * 1_000_000_000
            time.sleep((due - wall_ns()) / 1e9)
            found.append((wall_ns() - due) / 1e6)
        ended.set()

    threading.Thread(target=sleeper, daemon=True).start()
    ended.wait()
    return found


def _half(measure: Case, folder: Path, seconds: int) -> Lateness:
    """Return half the time for a case that is only compared."""
    return measure(folder, seconds // 2)


def show(bench: Bench, name: str, values: Sequence[float], *, has_target: bool) -> None:
    goal_p50, goal_p99 = (TARGET_P50_MS, TARGET_P99_MS) if has_target else (None, None)
    bench.add(f"{name}: p50", quantile(values, 0.5), "ms", goal_p50, f"{len(values)} runs")
    bench.add(f"{name}: p95", quantile(values, 0.95), "ms")
    bench.tail(name, values, "ms", goal_p99)
    bench.details[name] = [round(value, 3) for value in values]


def stages(bench: Bench, daemon_folder: Path) -> None:
    """Say where the time goes, from the rows of the last round."""
    rows = Daemon(daemon_folder).rows(
        "SELECT claimed_at - fire_at, started_at - fire_at FROM runs"
        " WHERE state = 'succeeded' AND trigger = 'schedule' ORDER BY fire_at LIMIT -1 OFFSET 3"
    )
    claimed = statistics.median(row[0] for row in rows)
    started = statistics.median(row[1] for row in rows)
    bench.note(f"of that, by the rows (whole ms): decided after {claimed}, started after {started}")


def main() -> None:
    asked = arguments(
        __doc__, {"seconds": (40, "of each round"), "rounds": (2, "of each, by turns")}
    )
    with (
        benchmark("lateness", "Lateness of an every-second job") as bench,
        installed(bench, "cronstable") as peers,
    ):
        cases: dict[str, Case] = {
            "luad, Python handler": luad_python,
            "luad, shell": partial(_half, luad_shell),
        }
        for peer in peers:
            cases[f"cronstable {peer.version}, shell"] = partial(_half, partial(cronstable, peer))
        taken: dict[str, Lateness] = {name: [] for name in cases}
        for _ in range(asked.rounds):
            for name, measure in cases.items():
                with work_folder() as folder:
                    taken[name] += measure(folder, asked.seconds)
                    if measure is luad_python:
                        stages(bench, folder)
        for name, values in taken.items():
            show(bench, name, values, has_target=name == "luad, Python handler")
        show(bench, "floor: a sleeping thread", idle_machine(5), has_target=False)


if __name__ == "__main__":
    main()
