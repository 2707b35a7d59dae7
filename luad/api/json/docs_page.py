"""The OpenAPI document as a page for people: `/docs`.

Room rule: pure; text out of the document. No script, and nothing that is fetched from anywhere.
"""

from __future__ import annotations

import json
from functools import cache
from html import escape
from typing import TYPE_CHECKING, Any, Final

from luad.api.auth.roles import OPEN, role_for
from luad.api.json.openapi import document

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

POLICY: Final = "default-src 'none'; style-src 'unsafe-inline'"
"""What a browser may do with the page: show it."""

_STYLE: Final = (
    "body{font:16px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem}"
    "h2{font-size:1rem;border-top:1px solid #8885;padding-top:1rem;margin:1.5rem 0 .25rem}"
    "pre{overflow:auto;background:#8881;padding:.5rem}td,th{text-align:left;padding:0 1rem 0 0}"
    ":root{color-scheme:light dark}"
)


@cache
def page() -> str:
    """Return the page."""
    about = document()
    info = about["info"]
    return "".join(
        [
            "<!doctype html><html lang=en><meta charset=utf-8>",
            '<meta name=viewport content="width=device-width"><title>luad: HTTP API</title>',
            f"<style>{_STYLE}</style><h1>luad {escape(info['version'])}: HTTP API</h1>",
            f"<p>{escape(info['description'])} For programs: ",
            '<a href="/v1/openapi.json">/v1/openapi.json</a>.</p>',
            *_operations(about["paths"]),
            "<h1>Bodies</h1>",
            *_schemas(about["components"]["schemas"]),
            "</html>\n",
        ]
    )


def _operations(paths: Mapping[str, Any]) -> Iterator[str]:
    for path, methods in paths.items():
        for method, each in methods.items():
            name = f"{method.upper()} {path}"
            yield f"<h2 id={escape(each['operationId'])}><code>{escape(name)}</code></h2>"
            yield f"<p>{escape(each['summary'])}. For {_whom(method.upper(), path)}.</p>"
            yield from _parameters(each["parameters"])
            for content in each.get("requestBody", {}).get("content", {}).values():
                body = content["schema"]["$ref"].rpartition("/")[2]
                yield f'<p>Body: <a href="#{escape(body)}">{escape(body)}</a></p>'
                break
            kinds = [
                f"{status}: {', '.join(answer.get('content', ())) or 'nothing'}"
                for status, answer in each["responses"].items()
            ]
            yield f"<p>Answers: {escape('; '.join(kinds))}</p>"


def _whom(method: str, path: str) -> str:
    if path in OPEN:
        return "everybody"
    role = role_for(method, path).name.lower()
    return f"{'an' if role[0] in 'ao' else 'a'} {role}"


def _parameters(parameters: list[Mapping[str, Any]]) -> Iterator[str]:
    if not parameters:
        return
    yield "<table>"
    for each in parameters:
        schema = json.dumps(each["schema"], ensure_ascii=False)
        cells = (each["name"], each["in"], schema, each.get("description", ""))
        yield "<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in cells) + "</tr>"
    yield "</table>"


def _schemas(schemas: Mapping[str, Any]) -> Iterator[str]:
    for name, schema in schemas.items():
        text = json.dumps(schema, indent=2, ensure_ascii=False)
        yield f"<h2 id={escape(name)}>{escape(name)}</h2><pre>{escape(text)}</pre>"
