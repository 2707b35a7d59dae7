"""A client that a generator makes from the served document works against a live daemon."""

from __future__ import annotations

import importlib
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import httpx
import pytest
from support.forked_daemon import ForkedDaemon
from support.live_daemon import LiveDaemon

from luad.api.routes.openapi import PREFIX
from luad.api.routes.table import TABLE

PACKAGE = "generated_luad_client"
JOB = "name: tidy\nhandler: h:tick\nschedule: {type: interval, seconds: 3600}\n"
USER = "id: ann\nemails: [ann@example.com]\ntimezone: Europe/Berlin\n"


@dataclass
class Generated:
    """The generated package, its client, and the document that it was made from."""

    client: Any
    document: dict[str, Any]

    def operation(self, name: str) -> Any:
        return importlib.import_module(f"{PACKAGE}.api.default.{name}")

    def model(self, kind: str, /, **values: Any) -> Any:
        models = importlib.import_module(f"{PACKAGE}.models")
        return getattr(models, kind).from_dict(values)

    def call(self, name: str, *path: str, status: int = 200, **arguments: Any) -> Any:
        """Send one request; return the parsed answer."""
        answer = self.operation(name).sync_detailed(*path, client=self.client, **arguments)
        assert answer.status_code == status, (name, answer.status_code, answer.content[:500])
        return answer.parsed


@pytest.fixture(scope="module")
def live(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveDaemon]:
    folder = tmp_path_factory.mktemp("generated")
    users = folder / "users.d"
    users.mkdir()
    (users / "ann.yaml").write_text(USER)
    live = ForkedDaemon(folder, "--users", str(users))
    live.write_handler("h", "def tick(job):\n    print('tick')\n    return {'n': 1}\n")
    live.write_job("tidy", JOB)
    with live:
        yield live


@pytest.fixture(scope="module")
def generated(live: LiveDaemon) -> Iterator[Generated]:
    transport = httpx.HTTPTransport(uds=str(live.socket))
    with httpx.Client(transport=transport) as plain:
        document = plain.get("http://luad/v1/openapi.json").raise_for_status().json()
    file, config = live.folder / "openapi.json", live.folder / "config.yaml"
    file.write_text(json.dumps(document))
    config.write_text("post_hooks: []\n")  # the code need not be formatted
    command = [sys.executable, "-m", "openapi_python_client", "generate", "--fail-on-warning"]
    command += ["--path", str(file), "--config", str(config), "--meta", "none"]
    command += ["--output-path", str(live.folder / PACKAGE)]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(live.folder)
        make = importlib.import_module(PACKAGE).Client
        arguments = {"transport": httpx.HTTPTransport(uds=str(live.socket))}
        with make(base_url="http://luad", httpx_args=arguments) as client:
            yield Generated(client, document)


def test_it_has_every_operation_of_the_document(generated: Generated) -> None:
    rows = {(row.method.lower(), row.path) for row in TABLE if row.path.startswith(PREFIX)}
    operations = {
        (method, path): each["operationId"]
        for path, operations in generated.document["paths"].items()
        for method, each in operations.items()
    }
    assert operations.keys() == rows
    for name in operations.values():
        module = generated.operation(re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower())
        assert callable(module.sync_detailed), name


def test_it_reads_jobs_runs_and_the_daemon(generated: Generated) -> None:
    call = generated.call
    assert [each.name for each in call("get_v1_jobs").jobs] == ["tidy"]
    assert call("get_v1_jobs_job", "tidy").schedule.seconds == 3600
    assert call("get_v1_status").status == "ok"
    assert call("get_v1_healthz").status == "ok"
    assert call("get_v1_readyz").ready is True
    assert len(call("get_v1_jobs_job_next", "tidy", n=3).next_) == 3
    assert call("get_v1_schedule").is_complete is True
    assert call("get_v1_config").problems == []
    assert call("get_v1_jobs_job_revisions", "tidy").revisions[0].is_current is True
    assert [each.id for each in call("get_v1_users").users] == ["ann"]
    assert call("get_v1_users_user", "ann").timezone == "Europe/Berlin"
    assert call("get_v1_audit").next_cursor is None


def test_it_makes_changes_and_deletes_a_job(generated: Generated) -> None:
    call, model = generated.call, generated.model
    schedule = {"type": "interval", "every": "2h"}
    job = model("LuadJob", name="later", handler="h:tick", schedule=schedule, user="ann")
    made = call("post_v1_jobs", status=201, body=job, idempotency_key="once")
    assert (made.name, made.created, made.dynamic) == ("later", True, True)
    assert made.definition.to_dict() == job.to_dict() | {"name": "later"}, "no key was added"
    paused = call("post_v1_jobs_job_deactivate", "later", body=model("Deactivate", reason="rest"))
    assert (paused.status, paused.pause.reason) == ("paused", "rest")
    assert call("post_v1_jobs_job_activate", "later", body=model("Activate")).status == "active"
    changed = call("patch_v1_jobs_job", "later", body=model("Object", tags=["a"]))
    assert changed.tags == ["a"]
    call("put_v1_jobs_job_metadata", "later", body=model("Object", region="emea"))
    shown = call("get_v1_jobs_job_metadata", "later")
    assert shown.to_dict() == {"region": "emea"}
    batch = model("Batch", action="pause", jobs=["later", "nowhere"])
    assert [each.ok for each in call("post_v1_jobs_batch", body=batch).results] == [True, False]
    assert call("delete_v1_jobs_job", "later").deleted is True


def test_it_starts_a_run_and_reads_it(generated: Generated, live: LiveDaemon) -> None:
    call, model = generated.call, generated.model
    run = call("post_v1_jobs_job_trigger", "tidy", status=202, body=model("Trigger"))
    live.wait_for("run.ended", run_id=run.id)
    shown = call("get_v1_runs_run", run.id)
    assert (shown.status, shown.result) == ("succeeded", {"n": 1})
    assert run.id in [each.id for each in call("get_v1_runs", job="tidy").runs]
    assert call("get_v1_runs_run_deliveries", run.id).deliveries == []
    assert json.loads(call("get_v1_runs_run_log", run.id))["message"] == "tick"
    again = call("post_v1_runs_run_retry", run.id, status=202, body=model("Empty"))
    assert again.retry_of == run.id


def test_it_sends_a_message(generated: Generated) -> None:
    call, model = generated.call, generated.model
    texts = "hello", {"text": "hello"}, ["hello", {"type": "text", "text": "again"}]
    for number, text in enumerate(texts):
        body = model("Send", messages=text, title=str(number))
        assert call("post_v1_users_user_send", "ann", body=body).ok is True
    shown = call("get_v1_users_user_messages", "ann", limit=10).messages
    assert {each.title for each in shown} == {"0", "1", "2"}


def test_a_refusal_is_a_problem(generated: Generated) -> None:
    call, model = generated.call, generated.model
    assert call("get_v1_jobs_job", "nowhere", status=404).code == "not_found"
    assert call("get_v1_runs", status=422, limit=9_999).code == "validation"
    refused = call("delete_v1_jobs_job", "tidy", status=409)
    assert (refused.code, refused.status) == ("file_owned", 409)
    body = model("Batch", action="create", jobs=[{"handler": "h:tick", "schedule": {}}])
    (item,) = call("post_v1_jobs_batch", body=body).results
    assert (item.ok, item.error.code) == (False, "validation")
