"""`luad create --from`: many jobs at once, from YAML or JSON.

Rule: it sends the documents to the daemon, which validates them.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from luad.cli.project.target_daemon import connect
from luad.cli.terminal.failure import CommandError, EarlyExit, ExitCode, as_text, exit_code_of
from luad.cli.terminal.labels import plural
from luad.cli.terminal.progress import progress
from luad.errors import error_from_problem

if TYPE_CHECKING:
    from luad.cli.session import Session
    from luad.json_text import JsonObject

STDIN: Final = "-"
AT_ONCE: Final = 1_000
"""Jobs in one request: below the limit of the daemon, and it can answer others in between."""

TIMEOUT_SECONDS: Final = 120.0
MAX_BYTES: Final = 64 << 20
MAX_SHOWN: Final = 20


def create_from(session: Session, source: str, if_exists: str) -> int:
    """Create every job of *source* (a file, or `-`); print the error of each refused one."""
    bodies = [
        {"if_exists": if_exists, **each} if isinstance(each, dict) else each
        for each in _jobs(session, source)
    ]
    if not bodies:
        raise CommandError(f"{source} contains no jobs", code="usage")
    client = connect(session, TIMEOUT_SECONDS)
    results: list[JsonObject] = []
    with progress(session.out, lambda: f"created {len(results)} of {plural(len(bodies), 'job')}"):
        for start in range(0, len(bodies), AT_ONCE):
            part = bodies[start : start + AT_ONCE]
            results += client.post("/jobs:batch", {"action": "create", "jobs": part})["results"]
    if session.json:
        session.out.json({"results": results, "count": len(results)})
    else:
        _tell(session, results)
    codes = {exit_code_of(_error(each)) for each in results if not each["ok"]}
    return codes.pop() if len(codes) == 1 else ExitCode.ERROR if codes else ExitCode.OK


def _tell(session: Session, results: list[JsonObject]) -> None:
    refused = [(number, each) for number, each in enumerate(results, 1) if not each["ok"]]
    for number, each in refused[:MAX_SHOWN]:
        first, *rest = as_text(_error(each))
        session.out.warn(f"{each['job'] or f'job {number}'}: {first}", "red")
        for line in rest:
            session.out.warn(line)
    if len(refused) > MAX_SHOWN:
        session.out.warn(f"and {len(refused) - MAX_SHOWN} more  (--json has all)")
    made = [each for each in results if each["ok"] and each["status"] == 201]
    kept = len(results) - len(refused) - len(made)
    text = f"Created {plural(len(made), 'job')}"
    if 0 < len(made) <= MAX_SHOWN:
        text += ": " + ", ".join(each["job"] for each in made)
    text += f"; {kept} existed already" if kept else ""
    session.out.info(text + (f"; {len(refused)} refused" if refused else ""))


def _error(result: JsonObject) -> Any:
    return error_from_problem(result["error"], result["status"])


def _jobs(session: Session, source: str) -> list[object]:
    jobs: list[object] = []
    for value in documents(session, source):
        jobs += value if isinstance(value, list) else [value]
    return jobs


def documents(session: Session, source: str) -> list[object]:
    """Return the documents of *source*; prints the problems of its YAML and ends the command."""
    data = _read(source)
    if data.lstrip()[:1] in {b"[", b"{"}:
        try:
            return [json.loads(data)]
        except ValueError:  # it may be YAML, of which the parser has better messages
            pass
    from luad.config.problems import render_full, with_excerpts
    from luad.config.yaml.reader import Limits, parse_yaml

    shown = "standard input" if source == STDIN else source
    limits = Limits(max_bytes=MAX_BYTES, max_nodes=2_000_000)
    found = list(parse_yaml(data, shown, limits))
    problems = [problem for each in found for problem in each.problems]
    if problems:
        text = render_full(with_excerpts(problems[: limits.max_problems], data))
        session.out.warn(text.rstrip())
        raise EarlyExit(ExitCode.USAGE)
    return [each.value for each in found]


def one_object(name: str) -> dict[str, object]:
    """Return the JSON object in the file *name*. Raises `CommandError` (usage)."""
    try:
        found = json.loads(_read(name))
    except ValueError as error:
        raise CommandError(f"{name} is not JSON: {error}", code="usage") from error
    if not isinstance(found, dict):
        raise CommandError(f"{name} is not a JSON object", code="usage")
    return found


def _read(source: str) -> bytes:
    if source == STDIN:
        return sys.stdin.buffer.read()
    try:
        return Path(source).read_bytes()
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise CommandError(f"cannot read {source}: {reason}", code="usage") from error
