"""The start of fuzzing: examples of each target, and the words that they are made of.

Light on purpose: nothing of luad is imported here, for what is imported before atheris is not measured.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

PROJECT: Final = Path(__file__).parents[2]
NAMES: Final = (
    "job-file", "users-file", "settings", "variables", "cron", "body", "words", "wire", "log-line",
)  # fmt: skip
_LARGEST: Final = 4_000
_CRON: Final = (
    "* * * * *", "*/5 9-17 * * MON-FRI", "0 9 1,15 JAN,JUL *", "30 0 0 L * *", "0 0 13 * 5#2",
    "0 0 * * L5", "@daily", "1-1 2/3 ? * 7", "0 12 29 FEB *",
)  # fmt: skip
_PATHS: Final = (
    "/healthz", "/metrics", "/docs", "/v1/openapi.json", "/v1/status", "/v1/config", "/v1/jobs",
    "/v1/jobs?status=active&sort=name&limit=1&count=true", "/v1/jobs/tidy", "/v1/jobs/tidy/runs",
    "/v1/jobs/tidy/next?n=5", "/v1/jobs/tidy/metadata", "/v1/jobs/tidy/revisions",
    "/v1/runs?status=failed&since=2026-11-22T10:00:00Z", "/v1/runs/run_x/log?tail=3", "/v1/users",
    "/v1/schedule?from=2026-11-22T10:00:00Z&until=2026-11-23T10:00:00Z", "/v1/audit", "/v1/tokens",
    "/v1/logs?follow=1", "/v1/events",
)  # fmt: skip
_BODY: Final = {
    "name": "followup", "handler": "crm:follow_up", "user": "ann", "timeout": "5m", "keep": True,
    "schedule": {"type": "once", "execute_at": "2026-11-24T09:32:00Z"}, "metadata": {"a": [1.5]},
    "retry": {"max_attempts": 3, "backoff_seconds": 60}, "tags": ["crm"], "env": {"A": "b"},
}  # fmt: skip
_POSTS: Final = (
    ("POST", "/v1/jobs", {**_BODY, "if_exists": "replace"}),
    ("PATCH", "/v1/jobs/followup", {"timeout": 60, "description": "x"}),
    ("PATCH", "/v1/jobs/tidy/metadata", {"a": None}),
    ("PUT", "/v1/jobs/tidy/metadata", {"b": {"c": 1}}),
    ("POST", "/v1/jobs/tidy/deactivate", {"reason": "x", "until": "1h"}),
    ("POST", "/v1/jobs/tidy/activate", {"catch_up": "none"}),
    ("POST", "/v1/jobs/tidy/trigger", {"metadata": {"a": 1}}),
    ("POST", "/v1/jobs:batch", {"action": "deactivate", "jobs": ["tidy"], "dry_run": True}),
    ("POST", "/v1/explain", {"schedule": {"type": "cron", "expression": "0 9 * * *"}}),
    ("POST", "/v1/users", {"id": "ann", "channels": ["inbox"], "if_exists": "replace"}),
    ("POST", "/v1/users/ann/send", {"messages": [{"type": "text", "text": "hi"}]}),
    ("POST", "/v1/tokens", {"name": "ci", "role": "viewer", "expires_in": "1h"}),
    ("POST", "/v1/config/check", {}),
    ("POST", "/v1/runs/run_x/cancel", {}),
    ("DELETE", "/v1/jobs/followup", {}),
)
_VARIABLES: Final = (
    "TIMEZONE=Europe/London\nLOG_LEVEL=debug\nDRAIN=10s\nMAX_JOBS=5\nJOBS=a:b",
    "LISTEN=127.0.0.1:5823\nTRUSTED_PROXIES=10.0.0.0/8\nALERT_TO=ann\nALERT_ALSO=missed",
    "TLS_CERTIFICATE=a\nTLS_KEY=b\nMAX_FILE_SIZE=1M\nPERMIT_INSECURE=yes\nWATCH=no",
)


def seeds(name: str) -> Iterator[bytes]:
    """Yield good and bad examples for a target."""
    corpus = PROJECT / "tests" / "corpus"
    match name:
        case "job-file":
            yield from _small([*corpus.glob("*.yaml"), *(PROJECT / "jobs.d").glob("*.yaml")])
        case "users-file":
            yield from _small([*corpus.glob("users/*.yaml"), *(PROJECT / "users.d").glob("*.yaml")])
        case "settings":
            yield from (json.dumps({key: each}).encode() for key, each in examples("luad"))
            yield from _small(list(PROJECT.glob("systemd/*.yaml")))
        case "variables":
            yield from (text.encode() for text in _VARIABLES)
        case "cron":
            yield from (text.encode() for text in _CRON)
        case "body":
            yield json.dumps(_BODY).encode()
            yield from (json.dumps({**_BODY, key: each}).encode() for key, each in examples("job"))
            user = {"id": "ann"}
            yield from (json.dumps({**user, key: each}).encode() for key, each in examples("users"))
        case "words":
            texts = (
                "90s",
                "1h30m",
                "2d",
                "0.5s",
                "512M",
                "1.5G",
                "2026-12-25T09:00:00.123Z",
                "MTIz",
            )
            yield from (text.encode() for text in (*texts, "2026-03-29 01:30:00+05:30", "//a:b@c"))
        case "wire":
            yield from (_request("GET", path) for path in _PATHS)
            yield from (_request(method, path, json.dumps(b)) for method, path, b in _POSTS)
            yield _request("GET", "/v1/jobs") + _request("GET", "/v1/jobs/tidy")
            yield b"POST /v1/explain HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n"
        case _:
            yield b'secret: {"a": "\\u2028"}\x1b[31m\xed\xa0\x80'


def dictionary(name: str) -> list[str]:
    """Return words that inputs of a target are made of."""
    match name:
        case "job-file":
            return [*words("job"), "---\n", ": ", "- ", "&a ", "*a", "!!str ", "|\n", ">-\n", '"']
        case "users-file":
            return [*words("users"), "---\n", "${A}", "file:/", "credential:", "https://a:b@c/"]
        case "settings":
            return [*words("luad"), ": ", "127.0.0.1:1"]
        case "variables":
            return [key.upper() + "=" for key in words("luad")]
        case "cron":
            signs = ["*", "*/", "?", "L", "#", ",", "-", "/", "@", "W", "H", "R", "5#2", "L5"]
            return [*signs, "MON", "SUN", "JAN", "DEC", "@hourly", "59", "60", "31", "00"]
        case "body":
            return [*words("job"), *words("users"), "\\ud800", "\\u0000", "1e999", "null"]
        case "wire":
            pieces = [
                "GET ",
                "POST ",
                "PATCH ",
                "DELETE ",
                " HTTP/1.1\r\n",
                "\r\n",
                "%2f",
                "%00",
                "?",
            ]
            pieces += ["transfer-encoding: chunked\r\n", "content-length: ", "expect: 100-continue"]
            pieces += [
                "if-match: ",
                "idempotency-key: ",
                "accept: ",
                "luad-run: ",
                "content-type: ",
            ]
            return [*pieces, *_PATHS, *words("job")]
        case _:
            return ["\x1b[", "\u2028", "\u202e", "\\u", '"']


def _small(paths: list[Path]) -> Iterator[bytes]:
    for path in sorted(paths):
        if path.stat().st_size <= _LARGEST:
            yield path.read_bytes()


def examples(schema: str) -> Iterator[tuple[str, Any]]:
    """Yield the keys of a schema with its examples of their values."""
    for key, each in _schema(schema)["properties"].items():
        for example in each.get("examples", ()):
            yield key, example


def words(schema: str) -> list[str]:
    """Return the keys that a schema has, at every depth, and a few values."""
    text = json.dumps(_schema(schema))
    keys = re.findall(r'"([a-z_]{2,24})": \{"(?:title|\$ref)', text)
    return sorted({*keys, "type", "true", "null"})


def _schema(name: str) -> Any:
    return json.loads((PROJECT / "schemas" / f"{name}.schema.json").read_text())


def _request(method: str, path: str, body: str = "") -> bytes:
    head = f"{method} {path} HTTP/1.1\r\nhost: x\r\n"
    if body:
        head += f"content-type: application/json\r\ncontent-length: {len(body)}\r\n"
    return f"{head}\r\n{body}".encode()
