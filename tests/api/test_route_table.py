"""The route table holds what the routes accept: methods, paths, roles, parameters, remote refusals.

`python tests/api/test_route_table.py` writes the golden file again.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from starlette.requests import Request
from starlette.responses import Response

from luad.api.auth.roles import Role
from luad.api.http.api_problems import ApiError
from luad.api.routes.endpoint import Endpoint
from luad.api.routes.openapi import document
from luad.api.routes.table import API, TABLE

GOLDEN = Path(__file__).with_name("route_table.json")
REFERENCE = [{"name": "x", "type": "webhook", "url": "${SECRET}"}]


def facts() -> list[str]:
    """Return one line for each operation: method, path, role, parameters, body, answers."""
    found = []
    for path, operations in document(TABLE)["paths"].items():
        for method, each in operations.items():
            roles = API.roles_for(method.upper(), path)
            role = "public" if roles is None else next(one.value for one in Role if one in roles)
            parameters = [
                f"{one['in']}:{one['name']}={json.dumps(one['schema'], sort_keys=True)}"
                for one in each["parameters"]
            ]
            bodies = sorted(
                f"{kind}={content['schema']['$ref'].rpartition('/')[2]}"
                for kind, content in each.get("requestBody", {}).get("content", {}).items()
            )
            answers = sorted(
                f"{status} {kind}"
                for status, answer in each["responses"].items()
                for kind in answer.get("content", {"": None})
            )
            parts = [method.upper(), path, role, *sorted(parameters), *bodies, *answers]
            found.append(" | ".join(parts))
    return sorted(found)


def test_the_table_is_as_it_was() -> None:
    assert facts() == json.loads(GOLDEN.read_text())


@pytest.mark.parametrize(
    ("method", "path", "body", "code"),
    [
        ("POST", "/v1/jobs", {"handler": "house:tidy", "env": {"A": "b"}}, "forbidden"),
        ("PATCH", "/v1/jobs/made", {"env": {"A": "b"}}, "forbidden"),
        ("POST", "/v1/jobs", {"handler": "house:tidy", "in": "1h", "isolation": "shared"}, "forbidden"),
        ("PATCH", "/v1/jobs/made", {"isolation": "shared"}, "forbidden"),
        ("POST", "/v1/jobs/tidy/trigger", {"metadata": {"a": 1}}, "handler_not_allowed"),
        ("PATCH", "/v1/jobs/tidy/metadata", {"a": 1}, "handler_not_allowed"),
        ("PUT", "/v1/jobs/tidy/metadata", {"a": 1}, "handler_not_allowed"),
        ("POST", "/v1/users", {"id": "bob", "channels": REFERENCE}, "forbidden"),
        ("PATCH", "/v1/users/ann", {"channels": REFERENCE}, "forbidden"),
        ("PATCH", "/v1/users/ann", {"channels": [{"type": "apprise"}]}, "forbidden"),
        ("POST", "/v1/users/ann/send", {"messages": [{"type": "file", "path": "/etc/passwd"}]}, "forbidden"),
        ("POST", "/v1/users/ann/send", {"messages": {"type": "file", "path": "/etc/passwd"}}, "forbidden"),
    ],
)  # fmt: skip
async def test_a_remote_client_is_refused_what_only_the_unix_socket_may(
    far: Any, daemon: Any, kit: Any, method: str, path: str, body: Any, code: str
) -> None:
    await far.make_token("root", "admin")
    await daemon.install(kit.make_job())
    await far.api.post("/v1/jobs", {"name": "made", "handler": "house:tidy", "in": "1h"})
    await far.api.post("/v1/users", {"id": "ann"})
    daemon.dynamic = kit.replace(daemon.dynamic, handlers=("nothing:*",))
    status, answer = await far.ask(method, path, "root", body)
    assert (status, answer["code"]) == (403, code)


@pytest.mark.parametrize("more", [{"env": {"A": "b"}}, {"isolation": "shared"}])
async def test_a_remote_batch_refuses_each_item_that_chooses_its_process(
    far: Any, more: Any
) -> None:
    await far.make_token("root", "admin")
    items = [{"handler": "house:tidy", "in": "1h", **more}]
    body = {"action": "create", "jobs": items}
    status, answer = await far.ask("POST", "/v1/jobs:batch", "root", body)
    assert (status, answer["results"][0]["error"]["code"]) == (200, "forbidden")


async def test_a_remote_client_brings_no_shared_revision_back(far: Any) -> None:
    await far.make_token("root", "admin")
    made = {"name": "made", "handler": "house:tidy", "in": "1h", "isolation": "shared"}
    first = (await far.api.post("/v1/jobs", made)).json["revision"]
    changed = await far.api.ask("PATCH", "/v1/jobs/made", {"isolation": "process"})
    assert (changed.status, changed.json["isolation"]) == (200, "process")
    for path in ("/v1/jobs/made/restore", "/v1/jobs/made/trigger"):
        status, answer = await far.ask("POST", path, "root", {"revision": first})
        assert (status, answer["code"]) == (403, "forbidden")
    back = await far.api.post("/v1/jobs/made/restore", {"revision": first})
    assert (back.status, back.json["isolation"]) == (200, "shared")
    status, answer = await far.ask("PATCH", "/v1/jobs/made", "root", {"description": "x"})
    assert (status, answer["isolation"]) == (200, "shared")


async def test_a_row_refuses_all_tokens_and_all_remote_clients_that_it_does_not_name() -> None:
    async def answer(_: Request) -> Response:
        return Response()

    row = Endpoint("GET", "/v1/forgotten", "Forgotten", answer)
    assert not row.roles
    scope = {"type": "http", "headers": [], "query_string": b"", "state": {"is_tcp": True}}
    with pytest.raises(ApiError) as refused:
        await row.answer_request(Request(scope))
    assert refused.value.code == "forbidden"
    assert (await row.answer_request(Request({**scope, "state": {}}))).status_code == 200


def test_each_row_names_roles_and_a_remote_rule() -> None:
    assert [row.path for row in TABLE if not row.roles or row.remote is None] == []


if __name__ == "__main__":
    GOLDEN.write_text(json.dumps(facts(), indent=0) + "\n")
