"""The document says what the API does, and nothing else."""

from __future__ import annotations

from typing import Any

import jsonschema
import pytest

from luad.api.http.api_problems import TABLE as CODES
from luad.api.routes.openapi import PREFIX, document
from luad.api.routes.table import TABLE


def test_every_route_is_in_the_document_and_nothing_else() -> None:
    served = {
        (method.lower(), path)
        for path, operations in document(TABLE)["paths"].items()
        for method in operations
    }
    rows = {(row.method.lower(), row.path) for row in TABLE if row.path.startswith(PREFIX)}
    assert rows == served


def test_its_schemas_are_schemas_and_every_reference_leads_somewhere() -> None:
    components = document(TABLE)["components"]["schemas"]
    for schema in components.values():
        jsonschema.Draft202012Validator.check_schema(schema)

    def references(value: Any) -> Any:
        if isinstance(value, dict):
            if isinstance(value.get("$ref"), str):
                yield value["$ref"]
            for each in value.values():
                yield from references(each)
        elif isinstance(value, list):
            for each in value:
                yield from references(each)

    for reference in references(document(TABLE)):
        assert reference.removeprefix("#/components/schemas/") in components


def test_headers_that_mean_something_stand_where_they_do() -> None:
    def named(method: str, path: str) -> set[str]:
        found = document(TABLE)["paths"][path][method]["parameters"]
        return {each["name"] for each in found if each["in"] == "header"}

    assert named("post", "/v1/jobs") == {"Idempotency-Key", "Luad-Run"}
    assert named("post", "/v1/jobs:batch") == {"Luad-Run"}
    assert named("post", "/v1/jobs/{job}/trigger") == {"Idempotency-Key"}
    assert named("patch", "/v1/jobs/{job}/metadata") == {"If-Match"}
    assert named("get", "/v1/runs/{run}/log") == {"Last-Event-ID"}
    assert named("get", "/v1/jobs/{job}") == {"If-None-Match"}
    assert "304" in document(TABLE)["paths"]["/v1/jobs/{job}"]["get"]["responses"]


def test_a_log_is_offered_in_every_form_that_it_has() -> None:
    answer = document(TABLE)["paths"]["/v1/runs/{run}/log"]["get"]["responses"]["200"]
    assert set(answer["content"]) == {"application/x-ndjson", "text/plain", "text/event-stream"}


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("/v1/runs/{run}/log", "offset"),
        ("/v1/runs/{run}/log", "tail"),
        ("/v1/runs", "offset"),
        ("/v1/logs", "tail"),
    ],
)
async def test_the_bounds_of_a_number_are_those_that_hold(
    api: Any, daemon: Any, kit: Any, path: str, name: str
) -> None:
    parameters = document(TABLE)["paths"][path]["get"]["parameters"]
    (most,) = (each["schema"]["maximum"] for each in parameters if each["name"] == name)
    await daemon.install(kit.make_job())
    await api.post("/v1/jobs/tidy/trigger")
    place = path.replace("{run}", str(await daemon.begin()))
    await daemon.end()
    assert (await api.get(f"{place}?{name}={most}")).status == 200
    assert (await api.get(f"{place}?{name}={most + 1}")).status == 422


async def test_it_is_served_and_so_is_a_page_for_every_problem(api: Any) -> None:
    answer = await api.get("/v1/openapi.json")
    assert answer.json["openapi"] == "3.1.0"
    for code, (status, title) in CODES.items():
        page = (await api.get(f"/problems/{code.replace('_', '-')}")).body.decode()
        assert title in page
        assert str(status) in page
    assert (await api.get("/problems/nonsense")).status == 404


async def test_people_get_a_page_of_every_operation_and_body_that_fetches_nothing(
    api: Any,
) -> None:
    answer = await api.get("/docs")
    assert answer.headers["content-type"].startswith("text/html")
    assert answer.headers["content-security-policy"].startswith("default-src 'none'")
    text = answer.body.decode()
    for row in TABLE:
        if row.path.startswith(PREFIX):
            assert f"<code>{row.method} {row.path}</code>" in text
            assert not row.body or f"<h2 id={row.body}>" in text
    assert "<script" not in text
    assert "http://" not in text
    assert "For the roles admin, operator, viewer." in text.partition("GET /v1/jobs<")[2][:200]
    assert "Public." in text.partition("GET /v1/healthz<")[2][:200]
