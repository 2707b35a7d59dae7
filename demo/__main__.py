"""Builds the demonstration in a folder, and serves its dashboard on this machine until Ctrl-C.

    python -m demo [--folder .luad-demo] [--port 0] [--keep]

With --keep, the history of the last call stays.
"""

from __future__ import annotations

import argparse
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from time import sleep
from typing import Final

from demo.history import make
from luad.clock import SystemClock

HERE: Final = Path(__file__).parent
LUAD: Final = (sys.executable, "-m", "luad")
OLD: Final = 1_780_000_000
"""When the handlers were saved, so that they are older than the history."""
BROKEN: Final = ("expression:", "expresion:")


def main() -> int:
    """Build, serve, and print a link; return the exit code of the daemon."""
    parser = argparse.ArgumentParser(prog="python -m demo")
    parser.add_argument("--folder", type=Path, default=Path(".luad-demo"))
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--keep", action="store_true", help="do not make the history again")
    options = parser.parse_args()
    folder = options.folder.resolve()
    if not options.keep or not (folder / "state").exists():
        print("making the history, which takes about half a minute")
        prepare(folder)
    daemon = start(folder, options.port)
    signal.signal(signal.SIGTERM, lambda *_: daemon.terminate())
    try:
        happen(folder, daemon)
        print("\nThe dashboard of the demonstration; Ctrl-C ends it:\n")
        print(luad(folder, "web", "--role", "admin"))
        return daemon.wait()
    except KeyboardInterrupt:
        return daemon.wait()  # Ctrl-C has reached the daemon as well
    finally:
        if daemon.poll() is None:
            daemon.terminate()


def prepare(folder: Path) -> None:
    """Copy the project to *folder*, and make its history."""
    shutil.rmtree(folder, ignore_errors=True)
    project = folder / "project"
    shutil.copytree(HERE, project, ignore=shutil.ignore_patterns("*.py", "__pycache__"))
    shutil.copytree(HERE / "handlers", project / "handlers", dirs_exist_ok=True)
    for path in (project / "handlers").iterdir():
        os.utime(path, (OLD, OLD))
    make(project, folder / "state", SystemClock().now().wall)


def start(folder: Path, port: int) -> subprocess.Popen[bytes]:
    """Start the daemon of *folder*, and return its process."""
    project = folder / "project"
    report = project / "jobs.d" / "report.yaml"
    report.write_text(report.read_text().replace(BROKEN[1], BROKEN[0]))
    command = [*LUAD, "serve", "--jobs", str(project / "jobs.d"), "--state", str(folder / "state")]
    command += ["--socket", str(folder / "state" / "luad.sock")]
    command += ["--users", str(project / "users.d"), "--log-format", "json"]
    command += ["--listen", f"127.0.0.1:{port}"]
    command += ["--drain", "0s"]  # its runs are invented: Ctrl-C need not wait for them
    with (folder / "luad.log").open("a") as log:
        return subprocess.Popen(command, stdout=log, cwd=project)


def happen(folder: Path, daemon: subprocess.Popen[bytes]) -> None:
    """Wait until the daemon answers; then break a file, pause a job, and start a slow run."""
    while daemon.poll() is not None or not is_ready(folder):
        if daemon.poll() is not None:
            raise SystemExit(f"luad has ended; see {folder}/luad.log")
        sleep(0.2)
    report = folder / "project" / "jobs.d" / "report.yaml"
    report.write_text(report.read_text().replace(*BROKEN))
    luad(folder, "run", "etl-load", check=False)
    luad(folder, "pause", "weekly-report", "--reason", "Q4 numbers", "--until", "3d")
    luad(folder, "reload", check=False)


def is_ready(folder: Path) -> bool:
    """Return whether the daemon of *folder* answers."""
    command = [*LUAD, "--socket", str(folder / "state" / "luad.sock"), "status"]
    return not subprocess.run(command, capture_output=True, check=False).returncode


def luad(folder: Path, *words: str, check: bool = True) -> str:
    """Return what a command of luad writes."""
    command = [*LUAD, "--socket", str(folder / "state" / "luad.sock"), *words]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if check and done.returncode:
        raise SystemExit(done.stderr)
    return done.stdout


if __name__ == "__main__":
    sys.exit(main())
