"""Jobs of documents with mistakes, checked as far as their valid parts allow.

Rule: pure; a value or bytes in, jobs and mistakes out.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final, NamedTuple

from luad.config.jobs.advice import advise
from luad.config.jobs.job_builder import build_job
from luad.config.schema.validator import obeys
from luad.config.schema.value_words import infer_kind
from luad.config.schema.violations import Mistake, find_mistakes
from luad.config.yaml.marks import NO_MARKS, Marks
from luad.config.yaml.reader import STAND_IN, Limits, parse_yaml
from luad.core.model import JSON, SECOND, Instant, Interval, Job, Origin, Wanted

_FAR_S: Final = 3_153_600_000
_STAND_INS: Final[dict[str, Any]] = {
    "name": "x",
    "handler": "x",
    "schedule": {"type": "interval", "seconds": _FAR_S},
}
# The other keys that a warning depends on. If one of them is lost, the warning may be wrong.
_DEPENDS_ON: Final[dict[str, frozenset[str]]] = {
    "LU502": frozenset({"catch_up", "catch_up_window"}),
    "LU503": frozenset({"overlap", "schedule"}),
    "LU504": frozenset({"overlap"}),
    "LU505": frozenset({"handler"}),
    "LU506": frozenset({"handler", "metadata"}),
}


class Known(NamedTuple):
    """The *mistakes* of a document, the *job* of its valid parts, and the *lost* keys.

    *job* is None if no job can be built. Lost keys have placeholders or defaults in it.
    """

    mistakes: tuple[Mistake, ...]
    job: Job | None
    lost: frozenset[str]


def known_of(document: JSON, marks: Marks, timezone: str) -> Known:
    """Return the mistakes of the schema, and those of the parts that obey it."""
    found = find_mistakes(document, "job", marks)
    if not isinstance(document, dict):
        return Known(tuple(found), None, frozenset())
    sound = _sound_parts(document, found)
    if not obeys("job")(sound):
        return Known(tuple(found), None, frozenset())
    more: list[Mistake] = []
    job = build_job(sound, timezone, more)
    reported = {mistake.path for mistake in found}
    written = {(*each.path[:-1], each.rename): each.path for each in found if each.rename}
    everything = list(found)
    for mistake in more:
        path = written.get(mistake.path, mistake.path)
        if path not in reported or path in written.values():
            everything.append(dataclasses.replace(mistake, path=path))
    absent = _STAND_INS.keys() - document.keys()
    return Known(tuple(everything), job, lost_keys(everything) | absent)


def job_mistakes(document: JSON, marks: Marks, timezone: str) -> Iterator[Mistake]:
    """Yield the mistakes of the schema, and those of the parts that obey it."""
    yield from known_of(document, marks, timezone).mistakes


def lost_keys(mistakes: Iterable[Mistake]) -> frozenset[str]:
    """Return the top-level keys of the document that cannot be used.

    Meant keys of misspelt ones are included. Variables of `env` count separately, as `env.NAME`.
    """
    lost: set[str] = set()
    for each in mistakes:
        if each.path[:1] == ("env",) and len(each.path) > 1:
            lost.add(f"env.{each.path[1]}")
        elif each.path:
            lost.add(str(each.path[0]))
        if len(each.path) == 1:
            lost |= {each.rename, each.settles}
    return frozenset(lost - {""})


def advise_known(known: Known, now: Instant | None, document: JSON) -> list[Mistake]:
    """Return the warnings about the valid parts of *document*."""
    job, lost = known.job, known.lost
    if job is None or not isinstance(document, dict):
        return []
    written: Mapping[str, JSON] = document
    if "schedule" in lost:
        written = {**document, "schedule": _STAND_INS["schedule"]}
        definition = {**job.definition, "schedule": _STAND_INS["schedule"]}
        far = Interval(_FAR_S * SECOND)
        job = dataclasses.replace(job, schedule=far, definition=definition)
    wrong = {each.path for each in known.mistakes}
    return [
        each
        for each in advise(job, now, written)
        if each.path not in wrong
        and each.path[0] not in lost
        and not _DEPENDS_ON.get(each.code, frozenset()) & lost
    ]


def known_jobs(path: str, data: bytes, timezone: str) -> Iterator[tuple[Wanted, frozenset[str]]]:
    """Yield the jobs of a broken file, as far as they are known, and their lost keys.

    A job without a valid name has the name "".
    """
    for document in parse_yaml(data, path, Limits(max_bytes=len(data) + 1)):
        if not document.is_complete:
            continue
        known = known_of(document.value, NO_MARKS, timezone)
        if known.job is None:
            continue
        job = dataclasses.replace(known.job, name="") if "name" in known.lost else known.job
        yield Wanted(job, Origin(path, document.line)), known.lost


def _sound_parts(value: dict[str, Any], found: list[Mistake]) -> dict[str, Any]:
    """Return the document with its mistakes corrected or removed."""
    sound = {key: each for key, each in value.items() if not key.startswith(STAND_IN)}
    for key in ("schedule", "env"):
        if isinstance(sound.get(key), dict):
            sound[key] = dict(sound[key])
    for mistake in found:
        match mistake.path:
            case ("schedule", str() as key) if isinstance(sound.get("schedule"), dict):
                if not _correct_schedule(sound["schedule"], key, mistake):
                    del sound["schedule"]
            case ("env", str() as key) if isinstance(sound.get("env"), dict):
                sound["env"].pop(key, None)
            case (str() as key, *_):
                sound.pop(key, None)
    return _STAND_INS | sound


def _correct_schedule(schedule: dict[str, object], key: str, mistake: Mistake) -> bool:
    """Correct or remove the mistake at *key*; return False if neither is possible."""
    if mistake.rename:
        schedule[mistake.rename] = schedule.get(key)
    if mistake.kind:
        schedule["type"] = mistake.kind
    if mistake.is_key:
        schedule.pop(key, None)
    elif key == "type" and key not in schedule:
        schedule[key] = infer_kind(schedule)
    else:
        return False
    return True
