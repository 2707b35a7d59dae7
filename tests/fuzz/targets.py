"""What is fuzzed: each target takes bytes that anybody may have made, and asserts what must hold for
whatever they are. `run.py` feeds them by coverage, `test_fuzz.py` replays what was found.

A target raises nothing but `AssertionError` and the bugs it finds.
"""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import replace
from typing import Any, Final

from fuzz.seeds import examples, words
from fuzz.wire import converse

from luad.api.http.api_problems import ApiError
from luad.api.http.paging import read_cursor
from luad.cli.commands.show import job_file
from luad.config.jobs.api_bodies import job_from_body
from luad.config.jobs.job_file import job_from_definition, load_file
from luad.config.jobs.stored_jobs import job_from_store
from luad.config.problems import CODES, render_full, to_github, to_json, to_sarif
from luad.config.secrets import without_passwords
from luad.config.settings.daemon_settings import (
    Settings,
    SettingsError,
    SettingsFile,
    load_settings,
)
from luad.config.users.user_file import load_users, user_from_body
from luad.core.cron.search import (
    CronError,
    compile_cron,
    describe,
    explain_fields,
    load_zone,
    next_after,
    notes,
)
from luad.core.model import Instant, Job
from luad.core.schedule import explain_schedule, fire_at, next_occurrence
from luad.errors import Problem, ValidationError
from luad.logs.redact import Redactor
from luad.logs.render import ConsoleLines, JsonLines
from luad.wire import (
    format_duration_ms,
    format_in_zone,
    format_instant,
    parse_duration_ms,
    parse_instant,
    parse_size,
)

NOW: Final[Instant] = 1_795_341_600_000  # 2026-11-22T10:00:00Z
SETTINGS: Final = Settings()
KEYS: Final = sorted({*words("job"), *words("users")})
EXAMPLES: Final = [each for name in ("job", "users") for _, each in examples(name)]
ZONES: Final = [load_zone(name) for name in ("UTC", "Europe/London", "Australia/Lord_Howe")]


def job_file_target(data: bytes) -> None:
    """A file of `jobs.d`: jobs or problems; a job says the same after store, and after export."""
    parsed = load_file("f.yaml", data, settings=SETTINGS, now=NOW)
    _check_problems(parsed.problems, data)
    assert parsed.is_broken or not any(each.severity.value == "error" for each in parsed.problems)
    for wanted in parsed.jobs:
        _check_job(wanted.job)


def users_file_target(data: bytes) -> None:
    """A file of `users.d`: people or problems; what was called a secret is in no text for people."""
    parsed = load_users("f.yaml", data)
    _check_problems(parsed.problems, data)
    for user in parsed.users:
        json.dumps(dict(user.definition), allow_nan=False)


def settings_target(data: bytes) -> None:
    """`luad.yaml`: settings, or a `SettingsError` with its problems."""
    try:
        load_settings({}, {}, SettingsFile("luad.yaml", data))
    except SettingsError as error:
        assert error.message
        _check_problems(error.problems, data)


def variables_target(data: bytes) -> None:
    """`LUAD_*` variables, one a line: settings, or a `SettingsError` that names the variable."""
    lines = data.decode("utf-8", "replace").replace("\0", "").split("\n")
    pairs = [line.partition("=") for line in lines]
    environ = {f"LUAD_{name}": value for name, _, value in pairs}
    try:
        load_settings({}, environ, None)
    except SettingsError as error:
        assert "LUAD_" in error.message or "tls" in error.message


def cron_target(data: bytes) -> None:
    """A cron expression: a mistake inside the text, or times that only go forward, and words."""
    text = data.decode("utf-8", "replace")
    try:
        rule = compile_cron(text)
    except CronError as error:
        assert 0 <= error.start <= error.end <= max(1, len(text)), (error.start, error.end)
        assert str(error)
        return
    for zone in ZONES:
        at: Instant | None = NOW
        for _ in range(4):
            before, at = at, next_after(rule, zone, at)
            if at is None:
                break
            assert at > before
            assert next_after(rule, zone, at - 1) == at, "the same instant, asked from nearer"
    _check_line(describe(text))
    for said in (*notes(text), *(part for row in explain_fields(text) for part in row)):
        _check_line(said)


def body_target(data: bytes) -> None:
    """The body of a request, after JSON: a job, a person, or a `ValidationError` with its mistakes.

    Bytes that are no JSON stand for an object, choice by choice: a fuzzer finds few objects otherwise.
    """
    try:
        body = json.loads(data)
    except (ValueError, RecursionError):
        body = grow(iter(data), depth=0)
    if not isinstance(body, dict):
        return
    for read in (_job_of, user_from_body):
        try:
            made = read(body)
        except ValidationError as error:
            assert error.errors
            for each in error.errors:
                assert {"pointer", "code", "detail"} <= each.keys()
                _check_line(each["detail"] + each.get("hint", ""))
            json.dumps(error.errors).encode()
            continue
        if isinstance(made, Job):
            _check_job(made)


def words_target(data: bytes) -> None:
    """Durations, sizes, instants and cursors: a value that says the same when it is written, or a
    `ValueError` for people."""
    text = data.decode("utf-8", "replace")
    for read, write in ((parse_duration_ms, format_duration_ms), (parse_instant, format_instant)):
        value = _value_of(read, text)
        if value is not None and value >= 0:
            assert read(write(value)) == value, (read, text, value)
    for zone in ZONES:
        at = _value_of(lambda each, zone=zone: parse_instant(each, zone), text)
        if at is not None:
            assert parse_instant(format_in_zone(at, zone)) == at
    size = _value_of(parse_size, text)
    assert size is None or size >= 0
    with suppress(ApiError):
        read_cursor(text)
    without_passwords(text)


def _value_of(read: Callable[[str], int], text: str) -> int | None:
    try:
        return read(text)
    except ValueError as error:
        assert str(error)
        return None


def wire_target(data: bytes) -> None:
    """Bytes on a connection get HTTP answers, and so do the bytes after them, never a failure of luad."""
    converse(data)


def log_line_target(data: bytes) -> None:
    """Fields of a line: one JSON object on one line, one line for people, and no secret."""
    text = data.decode("utf-8", "surrogateescape")
    secret = text[:8]
    redactor = Redactor()
    redactor.add(secret)
    fields: dict[str, Any] = {"event": "run.output", "message": text, text[8:40]: [text[:200]]}
    line = JsonLines(redactor)(None, "info", dict(fields))
    assert line.count(b"\n") == 1, line
    told = json.loads(line)
    if len(secret) >= 4 and secret.isprintable() and "*" not in secret and secret == secret.strip():
        for part in (told["message"], told["event"]):
            assert part == "run.output" or secret not in part
    shown = ConsoleLines(redactor, has_colour=False)(None, "info", dict(fields)).decode()
    assert shown.endswith("\n")
    assert not any(_is_active(char) for char in shown), ascii(shown)


TARGETS: Final[dict[str, Callable[[bytes], None]]] = {
    "job-file": job_file_target,
    "users-file": users_file_target,
    "settings": settings_target,
    "variables": variables_target,
    "cron": cron_target,
    "body": body_target,
    "words": words_target,
    "wire": wire_target,
    "log-line": log_line_target,
}


_PLAIN: Final[tuple[Any, ...]] = (
    None, True, False, 0, 1, -1, 0.5, 10**30, "", "a", "a:b", "60s", "* * * * *", "UTC", "\0", "\ud800",
    "***", "2026-12-25T09:00:00Z", "9999-12-31T23:59:59Z", "2026-03-29T01:30:00", "cron", "once", "interval",
)  # fmt: skip
_GOOD: Final[dict[str, Any]] = {
    "name": "a", "handler": "a:b", "schedule": {"type": "interval", "seconds": 60},
}  # fmt: skip


def grow(choices: Iterator[int], *, depth: int) -> dict[str, Any]:
    """Return an object that is made of the words and examples of the schemas, as *choices* say."""
    made = dict(_GOOD) if depth == 0 and next(choices, 0) % 2 else {}
    for _ in range(next(choices, 0) % 8):
        key = KEYS[next(choices, 0) % len(KEYS)]
        match next(choices, 0) % 5:
            case 0 if depth < 4:
                made[key] = grow(choices, depth=depth + 1)
            case 1:
                made[key] = [
                    _PLAIN[next(choices, 0) % len(_PLAIN)] for _ in range(next(choices, 0) % 3)
                ]
            case 2:
                made[key] = EXAMPLES[next(choices, 0) % len(EXAMPLES)]
            case _:
                made[key] = _PLAIN[next(choices, 0) % len(_PLAIN)]
    return made


def _job_of(body: dict[str, Any]) -> Job:
    return job_from_body(body, timezone="Europe/London", also=("if_exists",))


def _check_job(job: Job) -> None:
    """A job that was accepted can be kept, shown, exported, and asked for its times."""
    text = json.dumps(dict(job.definition), allow_nan=False)
    assert job_from_store(text, job.revision) == job
    assert job_from_definition(json.loads(text)) == job
    exported = load_file(
        "export.yaml",
        job_file({"definition": json.loads(text)}).encode(),
        settings=replace(SETTINGS, work_queues=(job.queue,)),
        now=NOW,
    )
    (again,) = exported.jobs
    assert again.job == job or job.keep, exported.problems
    _check_line(explain_schedule(job.schedule))
    occurrence = next_occurrence(job.schedule, NOW, NOW)
    if occurrence is not None:
        assert occurrence > NOW
        assert fire_at(job, NOW, occurrence) >= occurrence


def _check_problems(problems: Iterable[Problem], data: bytes) -> None:
    """Each has a code, a place inside the text, and can be shown in every form."""
    found = list(problems)
    lines = len(data.splitlines()) + data.count(b"\r") + data.count(b"\n") + 1
    for problem in found:
        assert problem.code in CODES, problem.code
        assert problem.message
        assert 0 <= problem.line <= lines, (problem.line, lines)
        assert problem.end_column >= problem.column or problem.end_column == 0
        shown = render_full([problem]) + to_github(problem)
        assert all(char.isprintable() or char == "\n" for char in shown), shown
        json.dumps(to_json(problem), allow_nan=False).encode()
    json.dumps(to_sarif(found), allow_nan=False).encode()
    assert len(found) <= 102


def _is_active(char: str) -> bool:
    """Whether a character does something to a terminal besides taking room."""
    turns = {"LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI"}
    if unicodedata.category(char) in {"Cc", "Zl", "Zp", "Cs"}:
        return char not in "\n\t"
    return unicodedata.bidirectional(char) in turns


def _check_line(text: str) -> None:
    assert "\n" not in text, text
    assert text.isprintable(), repr(text)
