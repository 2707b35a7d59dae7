"""Random requests, edits, fires and kill -9 against a live daemon, and a model of what must be true.

What was acknowledged is there after any crash; nothing fires after its removal was acknowledged; no
occurrence is run twice; metadata are what a plain dict would be. LUAD_STEPS and LUAD_SEEDS make it long.
"""

from __future__ import annotations

import os
import random  # noqa: TID251 - the world is made of dice; the seed is the test
import threading
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from time import sleep
from typing import Any

import pytest
from support.forked_daemon import ForkedDaemon
from support.live_daemon import LiveDaemon
from support.stateful_model import Thing, Truth

from luad.client import Client
from luad.clock import wall_ms
from luad.errors import LuadError, UnavailableError

STEPS = int(os.environ.get("LUAD_STEPS", "70"))
SEEDS = int(os.environ.get("LUAD_SEEDS", "2"))
CLIENTS = 4
GRACE_MS = 2_000  # a process that was being started when its job was removed
VALUES: tuple[Any, ...] = (0, 1, True, None, "a", [1], {"a": 1}, {"a": {"b": 2}})
HANDLER = """
import os, time

def tick(job):
    at = job.scheduled_for.timestamp()
    line = f"{job.id} {job.run_id} {job.attempt} {at:.3f} {job.trigger_kind} {time.time_ns() // 10**6}\\n"
    fd = os.open(os.path.join(os.path.dirname(__file__), "fired"), os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(fd, line.encode())
    os.close(fd)
"""


@dataclass
class Step:
    """One request about one job. *error*: the code it should be refused with; *happen*: what it changes."""

    name: str
    method: str
    path: str
    body: Any = None
    error: str | None = None
    happen: Callable[[], None] = lambda: None
    is_run: bool = False


class Player:
    """Plays random steps, and compares."""

    def __init__(self, live: LiveDaemon, seed: int) -> None:
        self.live = live
        self.dice = random.Random(seed)  # noqa: S311 - not for secrets
        self.truth = Truth()
        self.client = Client(live.socket)
        self.files: dict[str, tuple[int, dict[str, Any]]] = {}
        self.once: dict[str, str] = {}  # job id by name
        self.count = 0
        self.seen: Counter[str] = Counter()

    def play(self) -> None:
        plays = [self.one, self.edit, self.batch, self.short, self.storm]
        (chosen,) = self.dice.choices(plays, [10, 2, 1, 1.5, 1])
        self.seen[chosen.__name__] += 1
        chosen()

    # --- requests ---

    def one(self) -> None:
        self.ask(self.step(self.dice.randrange(CLIENTS)))

    def step(self, client: int) -> Step:
        """A request about one of the names that this client has to itself."""
        name = f"j{client}{self.dice.choice('abc')}"
        ways = [self.create, self.delete, self.change, self.write]
        ways += [self.pause, self.resume, self.trigger]
        (make,) = self.dice.choices(ways, [2, 1, 1, 2, 1, 1, 1])
        return make(name)

    def create(self, name: str) -> Step:
        self.count += 1
        declared = {key: self.dice.choice(VALUES) for key in "ab" if self.dice.random() < 0.5}
        seconds = self.dice.choice([1, 2, 3600])
        if_exists = self.dice.choice(["error", "keep", "replace"])
        body = {
            "name": name,
            "handler": "h:tick",
            "schedule": {"type": "interval", "seconds": seconds},
            "metadata": declared | {"n": self.count},
            "activate": self.dice.random() < 0.8,
            "if_exists": if_exists,
        }
        there = self.truth.jobs.get(name)
        new = Thing(seconds, dict(body["metadata"]), is_paused=not body["activate"])
        step = Step(name, "POST", "/jobs", body)
        if there is not None and not there.is_dynamic:
            step.error = "file_owned"
        elif there is not None and if_exists == "error":
            step.error = "name_taken"
        elif there is None or if_exists == "replace":
            step.happen = lambda: self.truth.jobs.update({name: new})
        return step

    def delete(self, name: str) -> Step:
        step = self.about(name, "DELETE", "", is_own=True)
        if step.error is None:
            step.happen = lambda: self.truth.remove(name)
        return step

    def change(self, name: str) -> Step:
        self.count += 1
        body: dict[str, Any] = {"description": f"change {self.count}"}
        seconds = self.dice.choice([None, 1, 3600])
        if seconds is not None:
            body["schedule"] = {"type": "interval", "seconds": seconds}
        step = self.about(name, "PATCH", "", body, is_own=True)

        def happen() -> None:
            thing = self.truth.jobs[name]
            thing.description = body["description"]
            thing.seconds = seconds or thing.seconds

        return self.then(step, happen)

    def write(self, name: str) -> Step:
        values = {key: self.dice.choice(VALUES) for key in "abc" if self.dice.random() < 0.6}
        method = self.dice.choice(["PATCH", "PATCH", "PUT"])
        step = self.about(name, method, "/metadata", values)

        def happen() -> None:
            thing = self.truth.jobs[name]
            thing.metadata = {**thing.metadata, **values} if method == "PATCH" else dict(values)

        return self.then(step, happen)

    def pause(self, name: str) -> Step:
        step = self.about(name, "POST", "/deactivate", {"reason": "a while"})
        return self.then(step, lambda: setattr(self.truth.jobs[name], "is_paused", True))

    def resume(self, name: str) -> Step:
        step = self.about(name, "POST", "/activate", {})
        return self.then(step, lambda: setattr(self.truth.jobs[name], "is_paused", False))

    def trigger(self, name: str) -> Step:
        step = self.about(name, "POST", "/trigger", {})
        step.is_run = True
        return step

    def about(
        self, name: str, method: str, what: str, body: Any = None, *, is_own: bool = False
    ) -> Step:
        thing = self.truth.jobs.get(name)
        error = None if thing is not None else "not_found"
        if thing is not None and is_own and not thing.is_dynamic:
            error = "file_owned"
        return Step(name, method, f"/jobs/{name}{what}", body, error)

    @staticmethod
    def then(step: Step, happen: Callable[[], None]) -> Step:
        if step.error is None:
            step.happen = happen
        return step

    def ask(self, step: Step) -> None:
        """Ask, and compare the answer; raises `UnavailableError` when there is none."""
        job_id = self.truth.ids.get(step.name)
        error, answer = None, None
        try:
            answer = self.client.request(step.method, step.path, step.body)
        except UnavailableError:
            raise
        except LuadError as refused:
            error = refused.code
        if error is not None:
            is_busy = step.is_run and error == "already_running"
            assert is_busy or error == step.error, f"{step} was refused: {error}"
            self.seen[error] += 1
            return
        assert step.error is None, f"{step} was answered by {answer}"
        step.happen()
        if step.is_run:
            self.truth.runs.add(answer["id"])
        elif step.method == "DELETE":
            self.truth.ids.pop(step.name, None)
            if job_id is not None:
                self.truth.removed_at[job_id] = wall_ms()
        elif step.path == "/jobs":
            self.truth.ids[step.name] = answer["id"]
        elif step.path.endswith("/metadata"):
            assert answer == self.truth.jobs[step.name].metadata
        self.seen[f"{step.method} {step.path.rpartition('/')[2][:8] if step.is_run else ''}"] += 1

    # --- files, and many at once ---

    def edit(self) -> None:
        """A file is written or removed, and the folder loaded; some of its names are dynamic jobs'."""
        name = f"j{self.dice.randrange(CLIENTS)}a"
        if name in self.files and self.dice.random() < 0.5:
            del self.files[name]
            (self.live.jobs / f"{name}.yaml").unlink()
        else:
            self.count += 1
            seconds = self.dice.choice([1, 5, 3600])
            self.files[name] = seconds, {"n": self.count}
            text = f"name: {name}\nhandler: h:tick\nmetadata: {{n: {self.count}}}\n"
            text += f"schedule: {{type: interval, seconds: {seconds}}}\n"
            self.live.write_job(name, text)
        self.client.post("/config/reload", {})
        self.truth.load(self.files)
        self.compare()

    def batch(self) -> None:
        self.count += 1
        names = [f"b{self.count}-{number}" for number in range(20)]
        schedule = {"type": "interval", "seconds": 1}
        bodies = [{"name": name, "handler": "h:tick", "schedule": schedule} for name in names]
        answer = self.client.post("/jobs:batch", {"action": "create", "jobs": bodies})
        assert all(each["ok"] for each in answer["results"])
        ids = {each["job"]: each["id"] for each in answer["results"]}
        for name in names:
            self.truth.jobs[name] = Thing(1, {})
        answer = self.client.post("/jobs:batch", {"action": "delete", "jobs": names[2:]})
        assert all(each["ok"] for each in answer["results"])
        for name in names[2:]:
            self.truth.remove(name)
            self.truth.removed_at[ids[name]] = wall_ms()

    def short(self, in_s: float | None = None) -> None:
        """A job for the next moment; it leaves by itself."""
        if in_s is None:
            in_s = self.dice.choice([0, 0.2, 1])
        self.count += 1
        name = f"once-{self.count}"
        body = {"name": name, "handler": "h:tick", "in": in_s}
        self.once[name] = self.client.post("/jobs", body)["id"]

    # --- kill -9 ---

    def storm(self) -> None:
        """Several clients ask at once, and in the middle of it the daemon is killed."""
        steps = threading.Event()
        failures: list[BaseException] = []
        clients = [
            threading.Thread(target=self.ask_until_killed, args=(number, steps, failures))
            for number in range(CLIENTS)
        ]
        for client in clients:
            client.start()
        # A kill comes when it comes.
        sleep(self.dice.choice([0.02, 0.05, 0.1]) * self.dice.random())
        self.live.kill()
        steps.set()
        for client in clients:
            client.join()
        assert not failures, failures
        self.live.start()
        self.truth.load(self.files)
        self.compare()

    def ask_until_killed(
        self, number: int, is_over: threading.Event, failures: list[BaseException]
    ) -> None:
        while not is_over.is_set():
            step = self.step(number)
            job_id = self.truth.ids.get(step.name)
            try:
                self.ask(step)
            except UnavailableError:
                self.seen["unanswered"] += 1
                if step.error is None:
                    self.truth.doubt(step.name, step.happen)
                if step.method == "DELETE" and job_id is not None:
                    self.truth.ids.pop(step.name, None)
                return
            except BaseException as error:  # noqa: BLE001 - it is told by the thread that waits
                failures.append(error)
                return

    def compare(self) -> None:
        views = self.client.get("/jobs", include_dynamic=True)["jobs"]
        self.truth.settle([view for view in views if not view["name"].startswith("once-")])

    # --- in the end ---

    def judge(self) -> None:
        rows = self.live.rows
        twice = rows(
            "SELECT job_id, occurrence, count(*) FROM runs WHERE occurrence IS NOT NULL "
            "GROUP BY job_id, occurrence HAVING count(*) > 1"
        )
        assert twice == []
        there = {row[0] for row in rows("SELECT id FROM runs")}
        assert there >= self.truth.runs, "a run that was granted is in the history"
        for job_id, at in self.truth.removed_at.items():
            late = rows("SELECT id FROM runs WHERE job_id = ? AND claimed_at > ?", job_id, at)
            assert late == [], "nothing fires after its removal was acknowledged"
        for name, job_id in self.once.items():
            ran = rows("SELECT state FROM runs WHERE job_id = ?", job_id)
            assert len(ran) == 1, f"{name}: {ran}"
        self.judge_what_fired()

    def judge_what_fired(self) -> None:
        fired = [line.split() for line in (self.live.handlers / "fired").read_text().splitlines()]
        attempts = Counter((run_id, attempt) for _, run_id, attempt, *_ in fired)
        assert [key for key, count in attempts.items() if count > 1] == []
        by_schedule = Counter(
            (job_id, at) for job_id, _, _, at, kind, _ in fired if kind in {"schedule", "catchup"}
        )
        assert [key for key, count in by_schedule.items() if count > 1] == []
        assert len(by_schedule) > 0
        for job_id, *_, at in fired:
            until = self.truth.removed_at.get(job_id)
            assert until is None or int(at) <= until + GRACE_MS, f"{job_id} fired after its removal"


@pytest.mark.slow
@pytest.mark.timeout(120 + STEPS * 2)
@pytest.mark.parametrize("seed", range(1, SEEDS + 1))
def test_what_was_acknowledged_holds(tmp_path: Path, seed: int) -> None:
    live = ForkedDaemon(tmp_path)
    live.write_handler("h", HANDLER)
    with live:
        player = Player(live, seed)
        player.storm()
        for _ in range(STEPS):
            player.play()
        player.short(1.5)  # by then all others are due
        live.wait_for("run.ended", job=f"once-{player.count}")
        player.storm()
    player.judge()
    assert player.seen["unanswered"] >= CLIENTS


def test_a_request_that_was_cut_off_is_settled_by_its_key(tmp_path: Path) -> None:
    """Killed between asking and answering, again and again: the same key makes one job."""
    live = ForkedDaemon(tmp_path)
    live.write_handler("h", HANDLER)
    body = {"name": "only", "handler": "h:tick", "in": "1h"}
    headers = {"Idempotency-Key": '"k"'}
    with live:
        client = Client(live.socket)
        for _ in range(4):
            with suppress(UnavailableError):
                client.request("POST", "/jobs", body, headers=headers)
            live.kill()
            live.start()
        made = client.request("POST", "/jobs", body, headers=headers)
        assert made["name"] == "only"
        with pytest.raises(LuadError):
            client.request("POST", "/jobs", {**body, "in": "2h"}, headers=headers)
        assert len(client.get("/jobs", include_dynamic=True)["jobs"]) == 1
