"""Runs a cluster on this machine until Ctrl-C: a PostgreSQL server, nodes with the sample jobs, and workers.

    python -m demo.cluster [--nodes 3] [--workers 2] [--port 0]

Everything is in a temporary folder, which is deleted at the end.
"""

from __future__ import annotations

import argparse
import os
import queue
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from demo.postgres_server import Server

HERE: Final = Path(__file__).parent.parent
LUAD: Final = (sys.executable, "-m", "luad")
PATIENCE_S: Final = 60.0


class Member:
    """A process of the cluster in *folder*, started by `luad` with *words*."""

    def __init__(self, name: str, folder: Path, store: str, words: Sequence[str]) -> None:
        self.name = name
        self.folder = folder / name
        self.folder.mkdir()
        self.socket = self.folder / "luad.sock"
        self.log = self.folder / "log"
        command = [*LUAD, *words, "--state", str(self.folder), "--log-format", "console"]
        env = {"LUAD_STORE": store, "LUAD_NODE": name, "LUAD_SOCKET": str(self.socket)}
        with self.log.open("w") as log:
            self.process = subprocess.Popen(
                command,
                env={**os.environ, **env, "LUAD_DRAIN": "5s"},
                stdout=log,
                stderr=log,
                start_new_session=True,  # Ctrl-C reaches this program alone, which ends them in order
            )

    def tell_end(self, ended: queue.SimpleQueue[str]) -> None:
        """Put the name into *ended* when the process has ended."""

        def wait() -> None:
            self.process.wait()
            ended.put(self.name)

        threading.Thread(target=wait, daemon=True).start()

    def stop(self) -> None:
        """Stop the process in order; kill it if that takes too long."""
        self.process.terminate()
        try:
            self.process.wait(PATIENCE_S)
        except subprocess.TimeoutExpired:
            self.process.kill()


def main() -> int:
    """Start the server, the nodes and the workers, wait for Ctrl-C or the end of all, and stop them."""
    parser = argparse.ArgumentParser(prog="python -m demo.cluster")
    parser.add_argument("--nodes", type=int, default=3)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--port", type=int, default=0, help="of the dashboard; default: a free one")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    folder = Path(tempfile.mkdtemp(prefix="luad-cluster-"))
    folder.chmod(0o755)  # the user of PostgreSQL passes through it
    server = Server(folder / "postgresql")
    nodes: list[Member] = []
    workers: list[Member] = []
    try:
        server.start()
        for number in range(1, options.nodes + 1):
            words = ["serve", "--jobs", str(HERE / "jobs.d")]
            words += ["--listen", f"127.0.0.1:{options.port}"] if number == 1 else []
            nodes.append(Member(f"node-{number}", folder, server.url, words))
        for number in range(1, options.workers + 1):
            words = ["worker", "--handlers", str(HERE / "handlers")]
            workers.append(Member(f"worker-{number}", folder, server.url, words))
        _show(server, nodes, workers)
        _wait([*nodes, *workers])
    except KeyboardInterrupt:
        print("\nstopping the nodes, the workers and PostgreSQL")
    finally:
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        for member in (*nodes, *workers):
            member.process.terminate()
        for member in (*nodes, *workers):
            member.stop()
        server.stop()
        shutil.rmtree(folder, ignore_errors=True)
    return 0


def _show(server: Server, nodes: list[Member], workers: list[Member]) -> None:
    """Wait until each process serves, and print how to use them."""
    for member in (*nodes, *workers):
        _wait_until_ready(member)
    print(f"\nPostgreSQL: {server.url}")
    for member in (*nodes, *workers):
        print(f"{member.name}: process {member.process.pid}, log {member.log}")
    print("\nIn another terminal:\n")
    luad = Path(sys.executable).parent / "luad"
    print(f"  {luad} --socket {nodes[0].socket} nodes")
    print(f"  {luad} --socket {nodes[-1].socket} list")
    if len(nodes) > 1:
        print(
            f"  kill -9 {nodes[-1].process.pid}      the others take over its jobs within seconds"
        )
    print("\nThe dashboard; Ctrl-C ends all of it:\n")
    print(_luad(nodes[0], "web"), end="", flush=True)


def _wait_until_ready(member: Member) -> None:
    pause = threading.Event()
    while not _answers(member):
        if member.process.poll() is not None:
            raise SystemExit(f"{member.name} has ended:\n{member.log.read_text()}")
        pause.wait(0.2)


def _answers(member: Member) -> bool:
    command = [*LUAD, "--socket", str(member.socket), "status"]
    return not subprocess.run(command, capture_output=True, check=False).returncode


def _luad(node: Member, *words: str) -> str:
    command = [*LUAD, "--socket", str(node.socket), *words]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def _wait(members: list[Member]) -> None:
    """Return when all processes have ended; name each one that does."""
    ended: queue.SimpleQueue[str] = queue.SimpleQueue()
    for member in members:
        member.tell_end(ended)
    for _ in members:
        print(f"{ended.get()} has ended", flush=True)


if __name__ == "__main__":
    sys.exit(main())
