"""The body of an API request, to a job or to its mistakes.

The schemas, codes and warnings are those of files. A body has no lines, so a pointer locates a
mistake. A body can contain values that a file cannot: huge numbers, half surrogate pairs.

Rule: pure; a value in, a job out, or `ValidationError`.
"""

from __future__ import annotations

import json
import math
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Final

from luad.config.jobs.job_builder import build_job
from luad.config.jobs.partial_jobs import job_mistakes
from luad.config.schema.foreign_words import find_foreign, snake_case
from luad.config.schema.locate import pointer
from luad.config.schema.validator import obeys
from luad.config.schema.violations import KEYS_HERE, Mistake
from luad.config.yaml.marks import NO_MARKS, Path
from luad.config.yaml.text import one_line
from luad.core.model import JSON, METADATA_LIMIT, Job
from luad.errors import ValidationError
from luad.suggestions import close_to

_MAX_DEPTH: Final = 64  # as in files
_MAX_ERRORS: Final = 100
_MAX_POINTER: Final = 512
_MAX_HINT: Final = 400  # a list of all keys
_MAX_WHOLE: Final = 1 << 64


def job_from_body(body: Mapping[str, JSON], *, timezone: str, also: Collection[str] = ()) -> Job:
    """Return the job that *body* declares, with the keys of a job file and `keep`.

    *timezone* applies to schedules without a zone. *also* are keys that the caller has already
    handled; they improve the advice on misspelt keys. Raises `ValidationError` with all mistakes
    at once.
    """
    document = dict(body)
    keep = document.pop("keep", False)
    mistakes = list(unfit(document))
    if not isinstance(keep, bool):
        mistakes.append(Mistake(("keep",), "LU103", "`keep` must be true or false"))
    if not mistakes and obeys("job")(document):
        job = build_job(document, timezone, mistakes, keep=keep is True)
        if not mistakes:
            return job
    elif not mistakes:
        mistakes = list(job_mistakes(document, NO_MARKS, timezone))
    raise refusal("job", mistakes, frozenset(also) | {"keep"})


def refusal(noun: str, mistakes: list[Mistake], also: Collection[str] = ()) -> ValidationError:
    """Return the error for the *mistakes* of a body that declares a *noun*."""
    assert mistakes, "an invalid value has a mistake"
    errors = tuple(_error(_called_by_its_name(each, also)) for each in mistakes[:_MAX_ERRORS])
    first = errors[0]
    count = f" (and {len(errors) - 1} more)" if len(errors) > 1 else ""
    message = f"the {noun} is invalid: {first['detail']}{count}"
    return ValidationError(message, hint=first.get("hint", ""), errors=errors)


def _error(mistake: Mistake) -> dict[str, str]:
    error = {
        "pointer": f"#{pointer(mistake.path)}"[:_MAX_POINTER],
        "code": mistake.code,
        "detail": one_line(mistake.message),
    }
    return error | {"hint": one_line(mistake.help, _MAX_HINT)} if mistake.help else error


def _called_by_its_name(mistake: Mistake, also: Collection[str]) -> Mistake:
    """Return *mistake* with better advice if it misspells a key of the caller."""
    if not mistake.is_key or len(mistake.path) != 1 or mistake.code not in {"LU102", "LU105"}:
        return mistake
    key = str(mistake.path[0])
    if (word := snake_case(key)) in also:
        return replace(mistake, code="LU105", help=f"the key is `{word}`")
    if (meant := find_foreign("", key, None, frozenset(also))) is not None and meant.key:
        return replace(mistake, code="LU105", help=f"the key is `{meant.key}`")
    near = close_to(key, also)
    if near and not mistake.rename:
        return replace(mistake, help=f"did you mean `{near[0]}`?")
    if mistake.help.startswith(KEYS_HERE):
        keys = {*mistake.help.removeprefix(KEYS_HERE).split(", "), *also}
        return replace(mistake, help=KEYS_HERE + ", ".join(sorted(keys)))
    return mistake


# --- values that a file cannot contain ---------------------------------------------------------------------


def unfit(document: Mapping[str, JSON]) -> Iterator[Mistake]:
    """Yield the mistakes of values that cannot be stored, or written to a file."""
    found = list(_unfit_values(document))
    yield from found
    metadata = document.get("metadata")
    if isinstance(metadata, dict) and metadata and not found:
        size = len(json.dumps(metadata))
        if size > METADATA_LIMIT:
            message = f"`metadata` has {size} bytes; at most {METADATA_LIMIT}"
            help_text = "store large data elsewhere, and its name here"
            yield Mistake(("metadata",), "LU007", message, help_text)


def _unfit_values(document: Mapping[str, JSON]) -> Iterator[Mistake]:
    waiting: list[tuple[Path, object]] = [((), document)]
    while waiting:
        path, value = waiting.pop()
        if isinstance(value, str):
            yield from _unfit_text(path, value)
        elif isinstance(value, dict | list):
            if len(path) > _MAX_DEPTH:
                yield Mistake(path[:3], "LU007", f"nested more than {_MAX_DEPTH} levels deep")
                return
            if isinstance(value, dict):
                for key in value:
                    yield from _unfit_text(path, key)
            waiting.extend(((*path, key), each) for key, each in _members(value))
        elif isinstance(value, float) and not math.isfinite(value):
            yield Mistake(path, "LU104", "a number must be finite")
        elif isinstance(value, int) and abs(value) >= _MAX_WHOLE:
            yield Mistake(
                path, "LU104", "a whole number needs more than 64 bits", "send it as text"
            )


def _members(value: dict[str, object] | list[object]) -> Iterable[tuple[str | int, object]]:
    return value.items() if isinstance(value, dict) else enumerate(value)


def _unfit_text(path: Path, text: str) -> Iterator[Mistake]:
    if "\0" in text:
        yield Mistake(path, "LU005", "a text cannot contain NUL")
    elif not text.isascii() and any("\ud800" <= char <= "\udfff" for char in text):
        yield Mistake(path, "LU005", "a text cannot contain half a surrogate pair")
