"""Everything, one after the other, each in a process of its own.

    python -m benchmarks [--quick] [NAME]...      all, or only those: wheel, start, check, beside, ...

A figure over its target fails the command. `--quick` takes less than 90 seconds and judges ratios alone, with a guard
band, because a machine that builds things is busy. A benchmark of it that is over a target is measured once more, with
twice the rounds, and that result counts: three rounds are few where the speed of the machine changes. Results are in
benchmarks/results/: NAME.json with every sample, and summary.md with all tables.
"""

from __future__ import annotations

import os
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

from benchmarks.common import (
    QUICK,
    RESULTS,
    ROOT,
    calibrate,
    commit,
    compile_modules,
    load_average,
    machine_line,
    now_s,
)

FOLDER = Path(__file__).parent
TELL_EVERY_S = 5.0
ALL: dict[str, list[str]] = {
    "cli": [],
    "check": [],
    "start": [],
    "reload": [],
    "api": [],
    "questions": [],
    "herd": [],
    "lateness": ["--seconds", "30"],
    "beside": [],
    "idle": [],
    "history": [],
    "wheel": [],
}
ALL |= {each.stem[6:]: [] for each in sorted(FOLDER.glob("bench_*.py")) if each.stem[6:] not in ALL}
SUBSET: dict[str, list[str]] = {
    "wheel": ["--cron", "100000", "--random", "1000,100000", "--rounds", "3"],
    "cron": ["--rounds", "3"],
    "questions": ["--sizes", "500,5000", "--samples", "30"],
}
"""The benchmarks of `--quick`."""


def run(name: str, options: list[str], place: str) -> bool:
    """Run a benchmark; return whether it ended well, with no figure over its target."""
    command = [sys.executable, "-m", f"benchmarks.bench_{name}", *options]
    print(f"[{place}] {name}", flush=True)
    if "import Bench" in (FOLDER / f"bench_{name}.py").read_text():  # it writes its results itself
        with subprocess.Popen(command, cwd=ROOT) as process:
            wait(process, f"[{place}] {name}")
        return process.returncode == 0
    done = subprocess.run(command, cwd=ROOT, check=False, stdout=subprocess.PIPE, text=True)
    print(done.stdout, flush=True)
    (RESULTS / f"{name}.md").write_text(f"### {name}\n\n```\n{done.stdout}```\n")
    return done.returncode == 0


def with_more_rounds(options: list[str]) -> list[str]:
    """The *options* of a benchmark with twice the rounds, where they say how many."""
    found = list(options)
    if "--rounds" in found:
        place = found.index("--rounds") + 1
        found[place] = str(2 * int(found[place]))
    return found


def wait(process: subprocess.Popen[bytes], what: str) -> None:
    """Wait for the end, and show on standard error how long it has taken: on a terminal in one line."""
    began = now_s()
    is_terminal = sys.stderr.isatty()
    while True:
        try:
            process.wait(1 if is_terminal else TELL_EVERY_S)
        except subprocess.TimeoutExpired:
            text = f"{what} ... {now_s() - began:.0f} s"
            print(
                f"\r{text}" if is_terminal else text,
                end="" if is_terminal else "\n",
                file=sys.stderr,
            )
            sys.stderr.flush()
        else:
            break
    if is_terminal:
        print("\r\x1b[K", end="", file=sys.stderr, flush=True)


def main() -> int:
    names = [each for each in sys.argv[1:] if each != "--quick"]
    chosen = ALL
    if "--quick" in sys.argv[1:]:
        os.environ[QUICK] = "1"
        chosen = SUBSET
    names = names or list(chosen)
    if unknown := [name for name in names if name not in chosen]:
        print(f"no benchmark {', '.join(unknown)}; there are {', '.join(chosen)}", file=sys.stderr)
        return 2
    RESULTS.mkdir(exist_ok=True)
    compile_modules()
    began, load = now_s(), load_average()
    speed = ", ".join(f"{key.removesuffix('_ms')} {value} ms" for key, value in calibrate().items())
    failed = []
    for number, name in enumerate(names, 1):
        place = f"{number} of {len(names)}"
        is_good = run(name, chosen[name], place)
        if not is_good and chosen is SUBSET:
            is_good = run(name, with_more_rounds(chosen[name]), f"{place}, again")
        if not is_good:
            failed.append(name)
    tables = [path for name in names if (path := RESULTS / f"{name}.md").exists()]
    parts = [
        f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC, revision {commit()}.",  # noqa: TID251 - when it was measured
        f"{machine_line()}; {speed}; load {load} before, {load_average()} after.",
        *(path.read_text() for path in tables),
    ]
    (RESULTS / "summary.md").write_text("\n\n".join(part.strip() for part in parts) + "\n")
    print(
        f"{len(names) - len(failed)} of {len(names)} benchmarks in {now_s() - began:.0f} s;", end=""
    )
    print(f" {RESULTS.relative_to(ROOT)}/summary.md has the tables")
    if failed:
        print(f"failed, or over a target: {', '.join(failed)}", file=sys.stderr)
    return bool(failed)


if __name__ == "__main__":
    sys.exit(main())
