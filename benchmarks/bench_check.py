"""How long it takes to check 1,000 job files: luad's, and the same jobs by yacron and cronstable.

    python -m benchmarks.bench_check [--files 1000] [--rounds 5]

By turns, each in a fresh process; medians of the whole command's wall time, start of the interpreter
included. luad checks with and without importing the handlers that the jobs name.
"""

from __future__ import annotations

import os
import statistics
from pathlib import Path

from benchmarks.common import Bench, arguments, benchmark, now_s, wall_of, work_folder
from benchmarks.live import LUAD
from benchmarks.loads import write_handlers, write_jobs, write_peer_jobs
from benchmarks.peers import DAEMONS, Peer, installed

TARGET_S = 1.0
OF_PEERS = 0.25


def measure(bench: Bench, folder: Path, peers: list[Peer], files: int, rounds: int) -> None:
    write_jobs(folder / "jobs.d", files)
    write_handlers(folder / "handlers")
    write_peer_jobs(folder / "peers", files)
    commands = {
        "luad check --no-import": [*LUAD, "check", "--no-import"],
        "luad check": [*LUAD, "check"],
    }
    for peer in peers:
        commands[f"{peer.name} {peer.version}"] = [
            peer.command, "-c", str(folder / "peers"), "-v",
        ]  # fmt: skip
    taken: dict[str, list[float]] = {name: [] for name in commands}
    peaks: dict[str, float] = {}
    for _ in range(rounds):
        for name, command in commands.items():
            seconds, peak = _timed(command, folder)
            taken[name].append(seconds)
            peaks[name] = max(peaks.get(name, 0), peak)
    own = taken["luad check"]
    for name, times in taken.items():
        note = f"{min(times):.2f}-{max(times):.2f} s, {peaks[name]:.0f} MB"
        target = TARGET_S if name.startswith("luad") else None
        bench.add(f"{files:,} files: {name}", statistics.median(times), "s", target, note)
        if not name.startswith("luad"):
            bench.ratio(f"luad check, of {name}", own, times, OF_PEERS)
    bench.details.update(taken)


def _timed(command: list[str], folder: Path) -> tuple[float, float]:
    """Wall seconds and peak resident MB of a command that has to succeed, without its output."""
    quiet = [(os.POSIX_SPAWN_OPEN, out, os.devnull, os.O_WRONLY, 0) for out in (1, 2)]
    before = Path.cwd()
    os.chdir(folder)
    try:
        began = now_s()
        pid = os.posix_spawn(command[0], command, os.environ, file_actions=quiet)
        _, status, used = os.wait4(pid, 0)
        took = now_s() - began
    finally:
        os.chdir(before)
    if status != 0:
        wall_of(command, cwd=folder)  # again, to show what it says
    return took, used.ru_maxrss / 1024


def main() -> None:
    asked = arguments(__doc__, {"files": (1_000, "how many"), "rounds": (5, "of each")})
    with (
        benchmark("check", "Check: 1,000 one-job files") as bench,
        installed(bench, *DAEMONS) as peers,
        work_folder() as folder,
    ):
        measure(bench, folder, peers, asked.files, asked.rounds)


if __name__ == "__main__":
    main()
