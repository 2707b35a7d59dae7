"""Runs a cluster on this machine until Ctrl-C: a PostgreSQL server of its own, and nodes with the sample jobs.

    python -m demo.cluster [--nodes 2] [--port 0]

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
from pathlib import Path
from typing import Final

from demo.postgres_server import Server

HERE: Final = Path(__file__).parent.parent
LUAD: Final = (sys.executable, "-m", "luad")
PATIENCE_S: Final = 60.0


class Node:
    """A `luad serve` in *folder*, which tells *ended* its name once it has ended."""

    def __init__(self, name: str, folder: Path, store: str, port: int | None) -> None:
        self.name = name
        self.folder = folder / name
        self.folder.mkdir()
        self.socket = self.folder / "luad.sock"
        self.log = self.folder / "log"
        command = [*LUAD, "serve", "--jobs", str(HERE / "jobs.d"), "--state", str(self.folder)]
        command += ["--socket", str(self.socket), "--log-format", "console"]
        if port is not None:
            command += ["--listen", f"127.0.0.1:{port}"]
        env = {"LUAD_STORE": store, "LUAD_NODE": name, "LUAD_DRAIN": "5s"}
        with self.log.open("w") as log:
            self.process = subprocess.Popen(
                command,
                env={**os.environ, **env},
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
    """Start the server and the nodes, wait for Ctrl-C or the end of all nodes, and stop them."""
    parser = argparse.ArgumentParser(prog="python -m demo.cluster")
    parser.add_argument("--nodes", type=int, default=2)
    parser.add_argument("--port", type=int, default=0, help="of the dashboard; default: a free one")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    folder = Path(tempfile.mkdtemp(prefix="luad-cluster-"))
    folder.chmod(0o755)  # the user of PostgreSQL passes through it
    server = Server(folder / "postgresql")
    nodes: list[Node] = []
    try:
        server.start()
        for number in range(1, options.nodes + 1):
            port = options.port if number == 1 else None
            nodes.append(Node(f"node-{number}", folder, server.url, port))
        _show(server, nodes)
        _wait(nodes)
    except KeyboardInterrupt:
        print("\nstopping the nodes and PostgreSQL")
    finally:
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        for node in nodes:
            node.process.terminate()
        for node in nodes:
            node.stop()
        server.stop()
        shutil.rmtree(folder, ignore_errors=True)
    return 0


def _show(server: Server, nodes: list[Node]) -> None:
    """Wait until each node serves, and print how to use them."""
    for node in nodes:
        _wait_until_ready(node)
    print(f"\nPostgreSQL: {server.url}")
    for node in nodes:
        print(f"{node.name}: process {node.process.pid}, log {node.log}")
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


def _wait_until_ready(node: Node) -> None:
    pause = threading.Event()
    while not _answers(node):
        if node.process.poll() is not None:
            raise SystemExit(f"{node.name} has ended:\n{node.log.read_text()}")
        pause.wait(0.2)


def _answers(node: Node) -> bool:
    command = [*LUAD, "--socket", str(node.socket), "status"]
    return not subprocess.run(command, capture_output=True, check=False).returncode


def _luad(node: Node, *words: str) -> str:
    command = [*LUAD, "--socket", str(node.socket), *words]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def _wait(nodes: list[Node]) -> None:
    """Return when all nodes have ended; name each one that does."""
    ended: queue.SimpleQueue[str] = queue.SimpleQueue()
    for node in nodes:
        node.tell_end(ended)
    for _ in nodes:
        print(f"{ended.get()} has ended", flush=True)


if __name__ == "__main__":
    sys.exit(main())
