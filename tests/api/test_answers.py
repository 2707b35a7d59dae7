"""Each route answers as its row of the table says, to a good request and to bad ones.

The fixtures hold every answer against the schema that the document states for it.
"""

from __future__ import annotations

import secrets
from typing import Any

from luad.api.routes.endpoint import Endpoint
from luad.api.routes.table import TABLE
from luad.api.service import Health
from luad.store.web_access import WebSession

NEW = {"name": "new", "handler": "house:tidy", "schedule": {"type": "interval", "seconds": 60}}
BODIES: dict[str, Any] = {
    "Batch": {"action": "pause", "jobs": ["tidy", "missing"]},
    "Explain": {"schedule": NEW["schedule"]},
    "NewJob": NEW,
    "NewToken": {"name": "ci"},
    "NewUser": {"id": "bob"},
    "RunBatch": {"action": "retry", "runs": ["run_missing"]},
    "Send": {"messages": "hello"},
}
"""Bodies that are accepted, by the names of their schemas; the others may be empty."""
STREAMS = {"/v1/events"}
NOT_HERE = {"/v1/sign-in-codes", "/v1/config/files/{file}"}
"""Routes that this daemon, which serves no pages and reads no files, refuses."""


async def places(api: Any, daemon: Any) -> dict[str, str]:
    """Make what an earlier request may have deleted; return a value for each part of a path."""
    channels = [{"type": "inbox"}, {"type": "webhook", "url": "https://example.com"}]
    await daemon.users.add({"id": "ann", "channels": channels}, if_exists="keep")
    await api.post("/v1/jobs", NEW | {"name": "made", "if_exists": "keep"})
    await api.post("/v1/jobs/made/trigger", {"force": True})
    run = await daemon.begin()
    await daemon.end()
    await api.post("/v1/tokens", {"name": "old"})
    now, secret = daemon.clock.wall, secrets.token_hex(32)
    session = WebSession(secret, "ann", "viewer", "luad.example", now, now, now + 1_000)
    await daemon.store.web.add_session(session)
    revisions = (await api.get("/v1/jobs/made/revisions")).json["revisions"]
    BODIES["Restore"] = {"revision": revisions[0]["revision"]}
    daemon.is_well = Health(is_ready=True, faults=("the disk is full",))
    (fault,) = (await api.get("/v1/attention")).json["attention"][:1]
    await api.post("/v1/users/ann/send", {"messages": "by a webhook that does not answer"})
    message = (await api.get("/v1/users/ann/messages")).json["messages"][0]["id"]
    known = {"job": "made", "run": run, "user": "ann", "token": "old", "code": "validation"}
    known["session"] = secret[:16]
    handler = "luad.handlers.files:prune"
    return known | {"id": fault["id"], "message": message, "handler": handler}


def target(row: Endpoint, places: dict[str, str]) -> str:
    path = row.path
    for name, value in places.items():
        path = path.replace(f"{{{name}}}", value)
    return path


async def test_a_good_request_gets_the_answer_of_its_row(api: Any, daemon: Any, kit: Any) -> None:
    await daemon.install(kit.make_job())
    for row in TABLE:
        if row.path in NOT_HERE:
            continue
        known = await places(api, daemon)
        if row.path.endswith("/cancel"):
            await api.post("/v1/jobs/tidy/trigger")
            known["run"] = daemon.started[-1].run.id  # one that is open
        if row.path in STREAMS:
            response = (await api.stream(target(row, known))).response
            status, media = response.status, response.getheader("content-type")
        else:
            body = None if row.method == "GET" or not row.body else BODIES.get(row.body, {})
            answer = await api.ask(row.method, target(row, known), body)
            status, media = answer.status, answer.headers["content-type"]
        if row.path.endswith(("/trigger", "/cancel", "/retry")):
            await daemon.begin()
            await daemon.end()
        place = f"{row.method} {row.path}: give this file a body, or a value for the path"
        assert status in row.statuses, place
        assert media.partition(";")[0] in row.media, (row.method, row.path)


async def test_a_bad_request_gets_a_problem(api: Any, daemon: Any, kit: Any) -> None:
    await daemon.install(kit.make_job())
    known = await places(api, daemon)
    for row in TABLE:
        answers = []
        if row.query is not None:
            answers.append(await api.get(target(row, known) + "?unknown_parameter=1"))
        if row.body:
            nonsense = b'{"a": NaN}' if row.body == "Object" else {"unknown_key": 1}
            for body in (b"[", b"[]", nonsense):
                headers = {"Content-Type": "application/json"}
                answers.append(await api.ask(row.method, target(row, known), body, **headers))
        if "{" in row.path:
            body = BODIES.get(row.body, {}) if row.body else None
            missing = target(row, dict.fromkeys(known, "missing"))
            answers.append(await api.ask(row.method, missing, body))
        for answer in answers:
            assert 400 <= answer.status < 500, (row.method, row.path, answer.body)
            if row.media != ("text/plain",):
                assert answer.headers["content-type"] == "application/problem+json"
                assert answer.json["status"] == answer.status


async def test_a_probe_of_a_failing_daemon_gets_503(api: Any, daemon: Any) -> None:
    daemon.is_well = Health(is_ready=False, faults=("the store cannot be written",))
    for path in ("/v1/healthz", "/v1/readyz"):
        assert (await api.get(path)).status == 503
