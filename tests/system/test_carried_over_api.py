"""What luad carries over, row by row: the Jobs API, and every way a run can end, on one live daemon.

Each test is a row: on the left what the agent platform has whose Jobs luad continues, on the right what
it has become here.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Any

import pytest
from support.carried_over import ask, carried_daemon, once, wait_for_run, wait_until
from support.live_daemon import LiveDaemon

from luad.errors import LuadError
from luad.sync import HandlerNotImportable, Jobs, NameTaken, ValidationError


@pytest.fixture(scope="module", autouse=True)
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveDaemon]:
    with carried_daemon(tmp_path_factory.mktemp("carried")) as live:
        yield live


# --- the Jobs API --------------------------------------------------------------------------------


def test_create_get_and_get_all() -> None:
    made = Jobs.create(name="listed", handler="rows:look", in_="1h", user=None)
    assert Jobs.get("listed").id == Jobs.get(made.id).id == made.id
    assert "listed" not in [job.name for job in Jobs.get_all()]
    assert "listed" in [job.name for job in Jobs.get_all(include_dynamic=True)]


def test_the_same_over_http() -> None:
    """What there is to ask for: create, list, get, delete, activate, deactivate, trigger, executions,
    metadata, versions."""
    made = ask("POST", "/jobs", {"name": "wire", "handler": "rows:look", "in": "1h"})
    assert made["active"]
    few, all_of_them = ask("GET", "/jobs"), ask("GET", "/jobs", include_dynamic="true")
    assert few["hidden_dynamic"] == len(all_of_them["jobs"]) - len(few["jobs"]) > 0
    assert ask("GET", f"/jobs/{made['id']}")["name"] == "wire"
    ask("POST", "/jobs/wire/deactivate", {"reason": "holiday"})
    assert ask("GET", "/jobs/wire")["pause"]["reason"] == "holiday"
    ask("POST", "/jobs/wire/activate", {})
    for number in (1, 2, 3):
        run = ask("POST", "/jobs/wire/trigger", {"metadata": {"n": number}})
        wait_for_run("wire", number)
    assert ask("GET", f"/runs/{run['id']}")["result"]["metadata"] == {"n": 3}
    newest, older = (ask("GET", "/jobs/wire/runs", limit=1, offset=n)["runs"] for n in (0, 1))
    assert [each["id"] for each in newest] == [run["id"]]
    assert len(older) == 1
    assert older != newest
    assert ask("PATCH", "/jobs/wire/metadata", {"a": 1, "b": None}) == {"a": 1, "b": None}
    assert ask("PUT", "/jobs/wire/metadata", {"c": 1}) == ask("GET", "/jobs/wire/metadata")
    assert ask("GET", "/jobs/wire/metadata") == {"c": 1}
    gone = ask("DELETE", "/jobs/wire")
    assert (gone["deleted"], gone["deactivated"]) == (True, False)
    assert gone["message"]
    assert ask("GET", "/jobs/wire")["status"] == "deleted"


def test_versions_are_read_only_and_stand_in_every_run() -> None:
    job = Jobs.create(name="edited", handler="rows:look", every="1h", user=None)
    first = job.trigger()
    wait_for_run("edited")
    ask("PATCH", "/jobs/edited", {"description": "another one"})
    second = Jobs.get("edited").trigger()
    wait_for_run("edited", 2)
    revisions = ask("GET", "/jobs/edited/revisions")["revisions"]
    ran = {ask("GET", f"/runs/{run.id}")["revision"] for run in (first, second)}
    assert {each["revision"] for each in revisions} == ran
    assert [each["is_current"] for each in revisions].count(True) == 1
    assert len(ran) == 2
    with pytest.raises(LuadError):
        ask("POST", f"/jobs/edited/revisions/{first.id}/publish", {})


def test_a_name_is_taken_once() -> None:
    Jobs.create(name="natural-key", handler="rows:look", in_="1h", user=None)
    with pytest.raises(NameTaken):
        Jobs.create(name="natural-key", handler="rows:look", in_="1h", user=None)
    moved = Jobs.create(
        name="natural-key", handler="rows:look", in_="2h", if_exists="replace", user=None
    )
    assert moved.next_run_at is not None


def test_executions_with_a_limit_and_versions() -> None:
    job = Jobs.get("from-file")
    run = job.trigger()
    wait_for_run("from-file")
    assert run.id in [each.id for each in job.runs(limit=5)]
    (revision,) = ask("GET", "/jobs/from-file/revisions")["revisions"]
    assert revision["is_current"]
    assert revision["revision"] == job.revision


def test_what_cannot_be_imported_later_is_refused_now() -> None:
    def nested(_: object) -> None:
        """Stands inside a function."""

    for handler in (lambda job: job, nested, [].append, print):
        with pytest.raises(HandlerNotImportable):
            Jobs.create(handler=handler, in_="1h", user=None)
    with pytest.raises(HandlerNotImportable, match="no function `lok`") as caught:
        Jobs.create(handler="rows:lok", in_="1h", user=None)
    assert caught.value.hint == "did you mean `look`?"
    with pytest.raises(ValidationError, match=r'metadata\["when"\]'):
        Jobs.create(
            handler="rows:look",
            in_="1h",
            user=None,
            metadata={"when": datetime.min},  # noqa: DTZ901 - a value that is no JSON
        )


def test_repeated_failures_switch_a_job_off() -> None:
    body: dict[str, Any] = {"name": "gives-up", "handler": "rows:fail", "pause_after_failures": 2}
    body["schedule"] = {"type": "interval", "seconds": 86_400}
    ask("POST", "/jobs", body)
    for number in (1, 2):
        Jobs.get("gives-up").trigger()
        wait_for_run("gives-up", number)
    assert "2 failures in a row" in Jobs.get("gives-up").to_dict()["pause"]["reason"]


def test_statuses_cover_every_end() -> None:
    assert once("look", "ends-well", keep=True)["status"] == "succeeded"
    assert once("fail", "ends-badly")["status"] == "failed"
    assert once("forever", "ends-late", timeout=1)["status"] == "timed_out"
    job = Jobs.create(name="is-stopped", handler="rows:forever", in_="1h", user=None)
    run = job.trigger()
    ask("POST", f"/runs/{run.id}/cancel", {})
    assert wait_for_run("is-stopped")["status"] == "cancelled"
    run = Jobs.get("is-stopped").trigger()
    ask("POST", f"/runs/{run.id}/cancel", {"kill": True})
    killed = wait_for_run("is-stopped", 2)
    assert (killed["status"], killed["signal"]) == ("cancelled", 9)


def test_and_everything_before_the_end() -> None:
    body = {"name": "waits", "handler": "rows:forever", "overlap": "queue"}
    ask("POST", "/jobs", body | {"schedule": {"type": "interval", "seconds": 86_400}})
    first, second = (ask("POST", "/jobs/waits/trigger", {})["id"] for _ in range(2))
    wait_until(lambda: ask("GET", f"/runs/{first}")["status"] == "running")
    assert ask("GET", f"/runs/{second}")["status"] == "queued"
    Jobs.create(
        name="comes-back",
        handler="rows:fail",
        in_=0,
        user=None,
        retry={"max_attempts": 2, "backoff_seconds": 60},
    )
    wait_until(lambda: bool(ask("GET", "/runs", job="comes-back", status="retrying")["runs"]))
    for name in ("waits", "comes-back"):
        Jobs.get(name).delete()
    ask("POST", f"/runs/{first}/cancel", {"kill": True})
    assert wait_for_run("waits")["status"] == "cancelled"


def test_a_run_whose_end_nobody_saw_is_lost(daemon: LiveDaemon) -> None:
    run = Jobs.create(name="orphan", handler="rows:forever", in_="1h", user=None).trigger()
    wait_until(lambda: ask("GET", f"/runs/{run.id}")["status"] == "running")
    daemon.kill()
    daemon.start()
    assert ask("GET", f"/runs/{run.id}")["status"] == "lost"
    assert Jobs.get("orphan").dynamic, "and a dynamic job is there again"


def test_what_did_not_run_has_a_status_too() -> None:
    body = {"name": "too-often", "handler": "rows:forever", "user": None}
    ask("POST", "/jobs", body | {"schedule": {"type": "interval", "seconds": 1}})
    wait_until(lambda: bool(ask("GET", "/runs", job="too-often", status="skipped")["runs"]))
    (run,) = ask("GET", "/runs", job="too-often", status="running")["runs"]
    Jobs.get("too-often").delete()
    ask("POST", f"/runs/{run['id']}/cancel", {"kill": True})


def test_the_run_that_made_a_job_is_linked_from_it() -> None:
    run = once("make_child", "parent", user="ann")
    assert run["result"] == "ann", "the child is for the same person"
    child = Jobs.get("child-of-run").to_dict()
    assert child["creation"]["run_id"] == run["id"]
    full = ask("GET", f"/runs/{run['id']}")
    assert full["created_jobs"] == ["child-of-run"]
