"""Random requests, edits, fires and kill -9 against a live daemon, and a model of what must be true.

What was acknowledged is there after any crash; nothing fires after its removal was acknowledged; no
occurrence has two rows. A request whose answer never came may have happened or not: the model then takes
what it finds.
"""

from __future__ import annotations

import os
import random  # noqa: TID251 - the world is made of dice; the seed is the test
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from live import LiveDaemon

from luad.client import Client
from luad.clock import wall_ms
from luad.errors import ConflictError, LuadError, NotFoundError, UnavailableError

STEPS = int(os.environ.get("LUAD_STEPS", "120"))
HANDLER = "def tick(job):\n    return job.attempt\n"


class Model:
    """What has been acknowledged: metadata by job name; when a job was removed."""

    def __init__(self) -> None:
        self.jobs: dict[str, dict[str, Any]] = {}
        self.removed_at: dict[str, int] = {}  # job id -> when the removal was answered
        self.unsure: set[str] = set()


class Player:
    """Plays random steps, and compares."""

    def __init__(self, live: LiveDaemon, seed: int) -> None:
        self.live = live
        self.dice = random.Random(seed)  # noqa: S311 - not for secrets
        self.model = Model()
        self.client = Client(live.socket)
        self.count = 0

    def name(self) -> str:
        return f"j{self.dice.randrange(12):02}"

    def step(self) -> None:
        steps = [self.create, self.create, self.batch, self.write, self.write, self.delete]
        steps += [self.replace, self.trigger, self.pause, self.edit, self.kill]
        weights = [3, 3, 1, 3, 3, 2, 1, 2, 1, 1, 0.4]
        (chosen,) = self.dice.choices(steps, weights)
        chosen()

    def body(self, name: str) -> dict[str, Any]:
        self.count += 1
        return {
            "name": name,
            "handler": "h:tick",
            "schedule": {"type": "interval", "seconds": self.dice.choice([1, 2, 3600])},
            "metadata": {"made": self.count},
        }

    def create(self) -> None:
        name = self.name()
        body = self.body(name)
        try:
            self.client.post("/jobs", body)
        except ConflictError:
            assert name in self.model.jobs, f"{name} was refused, and nobody had made it"
            return
        assert name not in self.model.jobs, f"{name} was made twice"
        self.model.jobs[name] = dict(body["metadata"])

    def replace(self) -> None:
        name = self.name()
        body = {**self.body(name), "if_exists": "replace"}
        self.client.post("/jobs", body)
        self.model.jobs[name] = dict(body["metadata"])

    def batch(self) -> None:
        bodies = [self.body(f"b{self.count}-{n}") for n in range(20)]
        answer = self.client.post("/jobs:batch", {"action": "create", "jobs": bodies})
        assert all(each["ok"] for each in answer["results"])
        for body in bodies:
            self.model.jobs[body["name"]] = dict(body["metadata"])
        names = [body["name"] for body in bodies[:15]]
        self.forget(names)
        self.client.post("/jobs:batch", {"action": "delete", "jobs": names})

    def forget(self, names: list[str]) -> None:
        for name in names:
            self.model.jobs.pop(name, None)

    def write(self) -> None:
        name = self.name()
        values = {self.dice.choice("abc"): self.count}
        try:
            written = self.client.patch(f"/jobs/{name}/metadata", values)
        except NotFoundError:
            assert name not in self.model.jobs
            return
        self.model.jobs[name] |= values
        assert written == self.model.jobs[name]

    def delete(self) -> None:
        name = self.name()
        try:
            job = self.client.get(f"/jobs/{name}")
            self.client.delete(f"/jobs/{name}")
        except NotFoundError:
            assert name not in self.model.jobs
            return
        self.model.removed_at[job["id"]] = wall_ms()
        del self.model.jobs[name]

    def trigger(self) -> None:
        name = self.name()
        try:
            self.client.post(f"/jobs/{name}/trigger", {})
        except (NotFoundError, ConflictError):
            return

    def pause(self) -> None:
        word = self.dice.choice(["activate", "deactivate"])
        try:
            self.client.post(f"/jobs/{self.name()}/{word}", {})
        except NotFoundError:
            return

    def edit(self) -> None:
        seconds = self.dice.choice([1, 5, 3600])
        text = (
            f"name: from-file\nhandler: h:tick\nschedule: {{type: interval, seconds: {seconds}}}\n"
        )
        self.live.write_job("from-file", text)
        self.client.post("/config/reload", {})
        assert self.client.get("/jobs/from-file")["schedule"]["seconds"] == seconds

    def kill(self) -> None:
        self.live.kill()
        self.live.start()
        self.compare()

    def compare(self) -> None:
        jobs = self.client.get("/jobs", include_dynamic=True)["jobs"]
        there = {job["name"]: job["metadata"] for job in jobs if job["dynamic"]}
        assert there == self.model.jobs


@pytest.mark.slow
@pytest.mark.parametrize("seed", [1, 2])
def test_what_was_acknowledged_holds(tmp_path: Path, seed: int) -> None:
    live = LiveDaemon(tmp_path)
    live.write_handler("h", HANDLER)
    with live:
        player = Player(live, seed)
        for _ in range(STEPS):
            player.step()
        player.kill()
        removed = dict(player.model.removed_at)
    twice = live.rows(
        "SELECT job_id, occurrence, count(*) FROM runs WHERE occurrence IS NOT NULL "
        "GROUP BY job_id, occurrence HAVING count(*) > 1"
    )
    assert twice == []
    for job_id, at in removed.items():
        late = live.rows("SELECT id FROM runs WHERE job_id = ? AND claimed_at > ?", job_id, at)
        assert late == [], "nothing fires after its removal was acknowledged"
    assert live.rows("SELECT count(*) FROM runs WHERE state = 'succeeded'")[0][0] > 0


def test_a_request_that_was_cut_off_is_settled_by_its_key(tmp_path: Path) -> None:
    """Killed between asking and answering, again and again: the same key makes one job."""
    live = LiveDaemon(tmp_path)
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
