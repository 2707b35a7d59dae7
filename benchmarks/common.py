"""The parts that all benchmarks share: clock, speed and noise of the machine, tables, result files.

A figure of one machine says little; beside it stand that machine's speed (a Python loop, an fsync, a
fork), how busy it was with other things, and what the figure should be.
"""

from __future__ import annotations

import argparse
import compileall
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

ROOT: Final = Path(__file__).resolve().parents[1]
RESULTS: Final = ROOT / "benchmarks" / "results"
QUIET_PERCENT: Final = 10
TICKS_PER_S: Final = os.sysconf("SC_CLK_TCK")

GUARD: Final = 1.5
"""A quick run on a busy machine may miss its ratios by this factor."""
QUICK: Final = "LUAD_BENCH_QUICK"
P99_SAMPLES: Final = 1_000

now_s = time.perf_counter  # noqa: TID251 - a benchmark measures
wall_ns = time.time_ns  # noqa: TID251 - as above


# --- figures -----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Figure:
    """One measured value. *target*: it should be at most that; None where nothing is demanded."""

    what: str
    value: float
    unit: str
    target: float | None = None
    note: str = ""

    @property
    def verdict(self) -> str:
        if self.target is None:
            return ""
        return "ok" if self.value <= self.target else "OVER"


def quantile(values: Sequence[float], share: float) -> float:
    """The value that *share* of all values do not exceed (nearest rank)."""
    ranked = sorted(values)
    return ranked[min(len(ranked) - 1, max(0, round(share * len(ranked) + 0.5) - 1))]


def is_quick() -> bool:
    """Return whether this is the quick run, which judges ratios alone, with a guard band."""
    return bool(os.environ.get(QUICK))


def spread(values: Sequence[float], unit: str = "") -> str:
    """How far the rounds lie apart, as a note."""
    return f"{len(values)} rounds, {_number(min(values))}-{_number(max(values))}{unit}"


def _number(value: float) -> str:
    if value == int(value) and abs(value) < 1e6:
        return str(int(value))
    return (
        f"{value:.3f}" if abs(value) < 1 else f"{value:.2f}" if abs(value) < 10 else f"{value:.1f}"
    )


def table(figures: Iterable[Figure]) -> str:
    """The figures as a Markdown table, readable as it is."""
    rows = [("what", "figure", "target", "", "")]
    for each in figures:
        wanted = "" if each.target is None else f"<= {_number(each.target)} {each.unit}".rstrip()
        figure = f"{_number(each.value)} {each.unit}".rstrip()
        rows.append((each.what, figure, wanted, each.verdict, each.note))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = []
    for row in rows:
        what, *rest = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        lines.append(f"| {what} | {' | '.join(rest)} |")
    lines.insert(1, "|" + "|".join("-" * (width + 2) for width in widths) + "|")
    return "\n".join(lines)


# --- the machine -------------------------------------------------------------------------------


def machine_line() -> str:
    """Return the machine and the Python of this run, in one line."""
    model = "unknown processor"
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            model = line.split(":", 1)[1].strip()
            break
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return (
        f"{os.cpu_count()} x {model}, {memory:.0f} GB, Linux {platform.release().split('-')[0]}, "
        f"Python {platform.python_version()}"
    )


def _python_loop() -> float:
    began = now_s()
    total = 0
    for number in range(200_000):
        total += number * number
    return (now_s() - began) * 1e3


def _fsync(descriptor: int) -> float:
    os.write(descriptor, bytes(4096))
    began = now_s()
    os.fsync(descriptor)
    return (now_s() - began) * 1e3


def _fork() -> float:
    began = now_s()
    pid = os.fork()
    if pid == 0:
        os._exit(0)
    os.waitpid(pid, 0)
    return (now_s() - began) * 1e3


def calibrate() -> dict[str, float]:
    """Milliseconds of a Python loop of 200,000 turns, a 4 KiB fsync and a fork of this process: medians."""
    with tempfile.TemporaryFile() as file:
        syncs = [_fsync(file.fileno()) for _ in range(40)]
    return {
        "python_loop_ms": round(statistics.median(_python_loop() for _ in range(9)), 2),
        "fsync_ms": round(statistics.median(syncs), 3),
        "fork_ms": round(statistics.median(_fork() for _ in range(20)), 3),
    }


def _processor_times() -> tuple[int, int, int]:
    """Busy, stolen and all ticks of all processors since the machine started."""
    user, nice, system, idle, iowait, irq, softirq, steal = map(
        int, Path("/proc/stat").read_text().split(maxsplit=9)[1:9]
    )
    busy = user + nice + system + irq + softirq + steal
    return busy, steal, busy + idle + iowait


@dataclass(slots=True)
class Noise:
    """How much else was going on: before and after, and what the hypervisor took meanwhile."""

    load_before: str = ""
    load_after: str = ""
    busy_before_percent: float = 0.0
    steal_percent: float = 0.0
    calibration: list[dict[str, float]] = field(default_factory=list)

    @property
    def is_noisy(self) -> bool:
        """Should the figures be taken again on a quieter machine."""
        loops = [each["python_loop_ms"] for each in self.calibration]
        return (
            self.busy_before_percent > QUIET_PERCENT
            or self.steal_percent > 2
            or max(loops) > 1.15 * min(loops)
        )

    def line(self) -> str:
        first, last = self.calibration[0], self.calibration[-1]
        return (
            f"load {self.load_before} -> {self.load_after}, "
            f"{self.busy_before_percent:.0f} % busy before, steal {self.steal_percent:.1f} %; "
            + ", ".join(f"{key.removesuffix('_ms')} {first[key]}-{last[key]} ms" for key in first)
            + (" (NOISY)" if self.is_noisy else "")
        )


def load_average() -> str:
    """The three load averages, as the system says them."""
    return " ".join(Path("/proc/loadavg").read_text().split()[:3])


def _wait_for_quiet() -> float:
    """Wait a while for the machine to have nothing else to do; return how busy it still is, in percent.

    $LUAD_BENCH_PATIENCE_S says how long at most, 20 s if it does not; a quick run does not wait.
    """
    until = now_s() + float(os.environ.get("LUAD_BENCH_PATIENCE_S", "0" if is_quick() else "20"))
    while True:
        first = _processor_times()
        time.sleep(1)
        last = _processor_times()
        busy = 100 * (last[0] - first[0]) / max(1, last[2] - first[2])
        if busy < QUIET_PERCENT or now_s() > until:
            return busy


# --- a benchmark's frame -----------------------------------------------------------------------


class Bench:
    """Collects the figures of one benchmark, shows them and writes them down."""

    def __init__(self, name: str, title: str) -> None:
        self.name = name
        self.title = title
        self.figures: list[Figure] = []
        self.notes: list[str] = []
        self.details: dict[str, Any] = {}
        self.noise = Noise()

    def add(
        self, what: str, value: float, unit: str, target: float | None = None, note: str = ""
    ) -> None:
        self._append(what, value, unit, None if is_quick() else target, note)

    def _append(self, what: str, value: float, unit: str, target: float | None, note: str) -> None:
        if target is not None and is_quick():
            target *= GUARD
        self.figures.append(Figure(what, round(value, 4), unit, target, note))
        print(f"   {what}: {_number(value)} {unit}  [load {load_average()}]", flush=True)

    def ratio(
        self,
        what: str,
        own: Sequence[float],
        other: Sequence[float],
        target: float | None = None,
        note: str = "",
    ) -> None:
        """Add the median of *own* by *other*, round by round, and the least and the greatest of them."""
        ratios = [mine / max(theirs, 1e-9) for mine, theirs in zip(own, other, strict=True)]
        text = f"{len(ratios)} rounds, {_number(min(ratios))}-{_number(max(ratios))}x"
        self._append(
            what, statistics.median(ratios), "x", target, f"{text}; {note}" if note else text
        )

    def tail(
        self, what: str, values: Sequence[float], unit: str, target: float | None = None
    ) -> None:
        """Add the p99 of at least 1,000 *values*; of fewer, the maximum, which no target judges."""
        if len(values) >= P99_SAMPLES:
            self.add(f"{what}: p99", quantile(values, 0.99), unit, target, f"{len(values)} samples")
        else:
            self.add(
                f"{what}: max", max(values), unit, note=f"{len(values)} samples, too few for p99"
            )

    def skip(self, what: str, reason: str) -> None:
        """Say that *what* was not measured; the line is among the results."""
        self.note(f"SKIPPED {what}: {reason}")

    @property
    def over(self) -> list[str]:
        """The figures that are over their targets."""
        return [each.what for each in self.figures if each.verdict == "OVER"]

    def note(self, text: str) -> None:
        """Say something that belongs beside the figures, such as what was skipped and why."""
        self.notes.append(text)
        print(f"   {text}", flush=True)

    def markdown(self) -> str:
        """The result as people read it."""
        notes = "".join(f"{text}\n" for text in (*self.notes, self.noise.line()))
        return f"### {self.title}\n\n{table(self.figures)}\n\n{notes}"

    def write(self) -> None:
        RESULTS.mkdir(exist_ok=True)
        result = {
            "bench": self.name,
            "at": datetime.now(UTC).isoformat(timespec="seconds"),  # noqa: TID251 - as above
            "machine": machine_line(),
            "commit": commit(),
            "noise": {**asdict(self.noise), "is_noisy": self.noise.is_noisy},
            "figures": [{**asdict(each), "verdict": each.verdict} for each in self.figures],
            "notes": self.notes,
            "details": self.details,
        }
        (RESULTS / f"{self.name}.json").write_text(json.dumps(result, indent=1) + "\n")
        (RESULTS / f"{self.name}.md").write_text(self.markdown())


@contextmanager
def benchmark(name: str, title: str) -> Iterator[Bench]:
    """Measure within; the machine is looked at before and after. A figure over its target ends with exit 1."""
    compile_modules()
    bench = Bench(name, title)
    noise = bench.noise
    print(f"== {title}\n   {machine_line()}", flush=True)
    noise.busy_before_percent = _wait_for_quiet()
    noise.load_before = load_average()
    before = _processor_times()
    noise.calibration.append(calibrate())
    yield bench
    noise.calibration.append(calibrate())
    after = _processor_times()
    noise.steal_percent = 100 * (after[1] - before[1]) / max(1, after[2] - before[2])
    noise.load_after = load_average()
    bench.write()
    print(f"\n{bench.markdown()}", flush=True)
    if bench.over:
        sys.exit(f"over the target: {'; '.join(bench.over)}")


def compile_modules() -> None:
    """Compile luad, so that no start measures the compiler; children may write compiled modules too."""
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    compileall.compile_dir(ROOT / "luad", quiet=2)


def commit() -> str:
    """The revision that is measured, with a + when files were changed since."""
    asked = ["git", "-C", str(ROOT), "describe", "--always", "--dirty=+", "--abbrev=10"]
    try:
        done = subprocess.run(asked, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        return ""
    return done.stdout.strip()


def arguments(doc: str | None, options: Mapping[str, tuple[Any, str]]) -> argparse.Namespace:
    """Read the command line; *options*: name to default and help. Lists are given with commas."""
    parser = argparse.ArgumentParser(
        description=doc, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    for name, (default, text) in options.items():
        if isinstance(default, bool):
            parser.add_argument(f"--{name}", action="store_true", help=text)
        elif isinstance(default, list):
            parser.add_argument(
                f"--{name}",
                type=lambda value: [int(each) for each in value.split(",") if each],
                default=default,
                help=f"{text}; default: {','.join(map(str, default))}",
            )
        else:
            parser.add_argument(
                f"--{name}", type=type(default), default=default, help=f"{text}; default: {default}"
            )
    return parser.parse_args()


@contextmanager
def work_folder() -> Iterator[Path]:
    """A folder of one's own on a real disk, gone afterwards."""
    with tempfile.TemporaryDirectory(prefix="luad-bench-", ignore_cleanup_errors=True) as name:
        yield Path(name)


def wall_of(
    command: Sequence[str], **options: Any
) -> tuple[float, subprocess.CompletedProcess[str]]:
    """Seconds from before the start of a command to after its end; it has to succeed."""
    began = now_s()
    done = subprocess.run(command, capture_output=True, text=True, check=False, **options)
    took = now_s() - began
    if done.returncode != 0:
        tail = (done.stderr or done.stdout)[-2000:]
        sys.exit(f"{' '.join(command)}: exit {done.returncode}\n{tail}")
    return took, done
