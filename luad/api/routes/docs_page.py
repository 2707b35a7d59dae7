"""The OpenAPI document as an HTML page: `/docs`.

Rule: pure; the page has no script, and fetches nothing.
"""

from __future__ import annotations

import json
from functools import cache
from html import escape
from typing import TYPE_CHECKING, Any, Final

from luad.api.routes.openapi import document

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from luad.api.routes.endpoint import Endpoint

POLICY: Final = "default-src 'none'; style-src 'unsafe-inline'"
"""A browser may only show the page."""

_STYLE: Final = (
    "body{font:16px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem}"
    "h2{font-size:1rem;border-top:1px solid #8885;padding-top:1rem;margin:1.5rem 0 .25rem}"
    "pre{overflow:auto;background:#8881;padding:.5rem}td,th{text-align:left;padding:0 1rem 0 0}"
    ":root{color-scheme:light dark}"
)


@cache
def page(table: tuple[Endpoint, ...]) -> str:
    """Return the page of a route table."""
    about = document(table)
    callers = {(row.method, row.path): _callers(row) for row in table}
    info = about["info"]
    return "".join(
        [
            "<!doctype html><html lang=en><meta charset=utf-8>",
            '<meta name=viewport content="width=device-width"><title>luad: HTTP API</title>',
            f"<style>{_STYLE}</style><h1>luad {escape(info['version'])}: HTTP API</h1>",
            f"<p>{escape(info['description'])} For programs: ",
            '<a href="/v1/openapi.json">/v1/openapi.json</a>.</p>',
            *_operations(about["paths"], callers),
            "<h1>Bodies and answers</h1>",
            *_schemas(about["components"]["schemas"]),
            "</html>\n",
        ]
    )


def _operations(paths: Mapping[str, Any], callers: Mapping[tuple[str, str], str]) -> Iterator[str]:
    for path, methods in paths.items():
        for method, each in methods.items():
            name = f"{method.upper()} {path}"
            yield f"<h2 id={escape(each['operationId'])}><code>{escape(name)}</code></h2>"
            about = (
                f"{each['summary']}. {callers[method.upper(), path]} {each.get('description', '')}"
            )
            yield f"<p>{escape(about.strip())}</p>"
            yield from _parameters(each["parameters"])
            yield from _schema_of("Body", each.get("requestBody", {}))
            yield from _schema_of("Answer", next(iter(each["responses"].values())))
            kinds = [
                f"{status}: {', '.join(answer.get('content', ())) or 'nothing'}"
                for status, answer in each["responses"].items()
            ]
            yield f"<p>Answers: {escape('; '.join(kinds))}</p>"


def _schema_of(word: str, holder: Mapping[str, Any]) -> Iterator[str]:
    for content in holder.get("content", {}).values():
        name = escape(content["schema"].get("$ref", "").rpartition("/")[2])
        if name:
            yield f'<p>{word}: <a href="#{name}">{name}</a></p>'
        return


def _callers(row: Endpoint) -> str:
    """Return the sentence about the clients that may send a request."""
    if row.is_public:
        return "Public."
    return f"For the roles {', '.join(sorted(row.roles))}."


def _parameters(parameters: list[Mapping[str, Any]]) -> Iterator[str]:
    if not parameters:
        return
    yield "<table>"
    for each in parameters:
        schema = json.dumps(each["schema"], ensure_ascii=False)
        cells = (each["name"], each["in"], schema, each.get("description", ""))
        yield "<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in cells) + "</tr>"
    yield "</table>"


def _schemas(schemas: Mapping[str, object]) -> Iterator[str]:
    for name, schema in schemas.items():
        text = json.dumps(schema, indent=2, ensure_ascii=False)
        yield f"<h2 id={escape(name)}>{escape(name)}</h2><pre>{escape(text)}</pre>"
