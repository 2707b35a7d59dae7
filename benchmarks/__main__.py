"""Everything, one after the other, each in a process of its own.

    python -m benchmarks [NAME]...      all, or only those: wheel, start, check, lateness, ...

Results are in benchmarks/results/: NAME.json with every sample, and summary.md with all tables.
"""

from __future__ import annotations

import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

from benchmarks.common import RESULTS, ROOT, calibrate, commit, load_average, machine_line, now_s

FOLDER = Path(__file__).parent
ALL: dict[str, list[str]] = {
    "cli": [],
    "check": [],
    "start": [],
    "reload": [],
    "api": [],
    "herd": [],
    "lateness": ["--seconds", "30"],
    "idle": [],
    "history": [],
    "wheel": ["--rounds", "1"],
}
ALL |= {each.stem[6:]: [] for each in sorted(FOLDER.glob("bench_*.py")) if each.stem[6:] not in ALL}


def run(name: str) -> bool:
    command = [sys.executable, "-m", f"benchmarks.bench_{name}", *ALL[name]]
    if "import Bench" in (FOLDER / f"bench_{name}.py").read_text():  # it writes its results itself
        return subprocess.run(command, cwd=ROOT, check=False).returncode == 0
    print(f"== {name}", flush=True)
    done = subprocess.run(command, cwd=ROOT, check=False, stdout=subprocess.PIPE, text=True)
    print(done.stdout, flush=True)
    (RESULTS / f"{name}.md").write_text(f"### {name}\n\n```\n{done.stdout}```\n")
    return done.returncode == 0


def main() -> int:
    names = sys.argv[1:] or list(ALL)
    if unknown := [name for name in names if name not in ALL]:
        print(f"no benchmark {', '.join(unknown)}; there are {', '.join(ALL)}", file=sys.stderr)
        return 2
    RESULTS.mkdir(exist_ok=True)
    began, load = now_s(), load_average()
    speed = ", ".join(f"{key.removesuffix('_ms')} {value} ms" for key, value in calibrate().items())
    failed = [name for name in names if not run(name)]
    parts = [
        f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC, revision {commit()}.",  # noqa: TID251 - when it was measured
        f"{machine_line()}; {speed}; load {load} before, {load_average()} after.",
        *((RESULTS / f"{name}.md").read_text() for name in names if name not in failed),
    ]
    (RESULTS / "summary.md").write_text("\n\n".join(part.strip() for part in parts) + "\n")
    print(
        f"{len(names) - len(failed)} of {len(names)} benchmarks in {now_s() - began:.0f} s;", end=""
    )
    print(f" {RESULTS.relative_to(ROOT)}/summary.md has the tables")
    if failed:
        print(f"failed: {', '.join(failed)}", file=sys.stderr)
    return bool(failed)


if __name__ == "__main__":
    sys.exit(main())
