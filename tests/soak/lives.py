"""The two lives of a soak: one daemon that goes on and on, and one that is killed all the time.

Both have their own folder and their own thread. Waits are bounded; a life ends when it is told to.
"""

from __future__ import annotations

import json
import random  # noqa: TID251 - when to kill is a matter of dice; the seed is printed
import threading
from contextlib import closing, suppress
from http.client import HTTPConnection
from pathlib import Path
from socket import AF_UNIX, socket
from typing import Any

from soak.scene import Scene
from soak.verdict import Sample
from support.live_daemon import LiveDaemon, children_of

PACE_S = 0.05  # between two edits; the reload itself takes longer


class Asker:
    """Requests over the daemon's socket, one connection for all."""

    def __init__(self, path: Path) -> None:
        self._http = HTTPConnection("luad")
        self._http.sock = socket(AF_UNIX)
        self._http.sock.settimeout(60)
        self._http.sock.connect(str(path))

    def ask(self, method: str, path: str, body: Any = None) -> Any:
        """Return the answer, which has to be a good one."""
        content = None if body is None else json.dumps(body).encode()
        self._http.request(method, f"/v1{path}", content, {"Content-Type": "application/json"})
        response = self._http.getresponse()
        answer = response.read()
        assert response.status < 300, answer.decode()
        return json.loads(answer)

    def close(self) -> None:
        self._http.close()


def read_and_forget(daemon: LiveDaemon) -> None:
    """Read the daemon's log to its end, so that it never waits for us; keep what is no routine."""
    while (line := daemon._queue.get()) is not None:
        if line["level"] in {"error", "critical"}:
            daemon.lines.append(line)


class SteadyLife:
    """A daemon that runs, reloads, makes jobs and tells people, and is measured meanwhile."""

    def __init__(self, scene: Scene) -> None:
        self.scene = scene
        self.daemon = scene.set_up()
        self.runs = self.reloads = 0
        self.samples: list[Sample] = []
        self.trouble: list[BaseException] = []
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._live, name="steady")

    def start(self) -> None:
        self.daemon.start()
        threading.Thread(target=read_and_forget, args=(self.daemon,), daemon=True).start()
        self._thread.start()

    def stop(self) -> None:
        """End it as systemd would."""
        self._over.set()
        self._thread.join(60)
        assert self.daemon.stop() == 0

    def sample(self) -> None:
        """Measure the daemon, its spawner and what both left behind."""
        self.runs = self.scene.count_begun()
        pid = self.daemon.process.pid
        status = Path(f"/proc/{pid}/status").read_text()
        fields = dict(line.split(":", 1) for line in status.splitlines())
        zombies = set()
        for child in children_of(pid):
            with suppress(OSError):
                stat = Path(f"/proc/{child}/stat").read_text()
                if stat.rpartition(")")[2].split()[0] == "Z":
                    zombies.add(child)
        ((rows,),) = self.daemon.rows("SELECT count(*) FROM runs")
        self.samples.append(
            Sample(
                self.runs,
                int(fields["VmRSS"].split()[0]) << 10,
                len(list(Path(f"/proc/{pid}/fd").iterdir())),
                int(fields["Threads"]),
                frozenset(zombies),
                (self.daemon.state / "luad.db").stat().st_size,
                rows,
            )
        )

    def _live(self) -> None:
        try:
            with closing(Asker(self.daemon.socket)) as asker:
                while not self._over.wait(PACE_S):
                    self.reloads += 1
                    self.scene.edit(self.daemon, self.reloads % self.scene.count, self.reloads)
                    asker.ask("POST", "/config/reload")
                    if self.reloads % 10 == 0:
                        self._make_and_remove(asker)
        except BaseException as error:  # noqa: BLE001 - told by whoever waits for this life
            self.trouble.append(error)

    def _make_and_remove(self, asker: Asker) -> None:
        metadata = {"ledger": str(self.scene.ledger)}
        body = {"handler": "soaking:tells", "user": "ann", "metadata": metadata}
        asker.ask("POST", "/jobs", {**body, "name": f"soon-{self.reloads}", "in": "1s"})
        asker.ask("POST", "/jobs", {**body, "name": f"never-{self.reloads}", "in": "1d"})
        asker.ask("DELETE", f"/jobs/never-{self.reloads}")


class KilledLife:
    """A daemon that is killed at random moments; what it acknowledged before has to be there after."""

    def __init__(self, scene: Scene, seed: int) -> None:
        self.scene = scene
        self.daemon = scene.set_up()
        self.kills = 0
        self.acknowledged: list[str] = []
        self.trouble: list[BaseException] = []
        self._dice = random.Random(seed)  # noqa: S311 - no secrets here
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._live, name="killed")

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Let a last daemon clear up after all the killed ones."""
        self._over.set()
        self._thread.join(120)
        with self.daemon, closing(Asker(self.daemon.socket)) as asker:
            for name in self.acknowledged:
                asker.ask("GET", f"/jobs/{name}")

    def _live(self) -> None:
        try:
            while not self._over.is_set():
                self._one_life()
                self.kills += 1
        except BaseException as error:  # noqa: BLE001 - told by whoever waits for this life
            self.trouble.append(error)

    def _one_life(self) -> None:
        if self._dice.random() < 0.2:  # while it starts
            self.daemon.start(wait=False)
            self._over.wait(self._dice.uniform(0, 0.7))
        else:
            self.daemon.start()
            name = f"kept-{self.kills}"
            body = {"handler": "soaking:quick", "name": name, "in": "1d"}
            with closing(Asker(self.daemon.socket)) as asker:
                asker.ask("POST", "/jobs", body)
            self.acknowledged.append(name)
            self._over.wait(self._dice.uniform(0, 0.5))
        self.daemon.kill()
        self.daemon.lines.clear()
