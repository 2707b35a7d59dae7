"""Jobs from the store, whose documents were checked before they were stored.

Millions of jobs may wait in memory for weeks. Their documents and metadata are rarely read, so
they stay text, and are parsed on access.

Rule: text in, a job out; opens no file and no database.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping
from functools import cache
from typing import Final

from luad.config.jobs.job_builder import Stored, build_job, revision_of
from luad.config.schema.validator import load_schema
from luad.config.schema.violations import Mistake, find_mistakes
from luad.core.model import JSON, Job

_SHARED: Final = ("handler", "user")
"""Values that many jobs share: each is in memory once."""


class LazyObject(Mapping[str, JSON]):
    """A JSON object that is parsed on access; equal to its dict.

    With *key* it is that member of the object in *text*.
    """

    __slots__ = ("_key", "_text")
    _latest: tuple[LazyObject, dict[str, JSON]] | None = None

    def __init__(self, text: str, key: str | None = None) -> None:
        self._text = text
        self._key = key

    def _value(self) -> dict[str, JSON]:
        """Return the parsed value; the latest one is cached for callers that read key by key."""
        latest = LazyObject._latest
        if latest is not None and latest[0] is self:
            return latest[1]
        value: dict[str, JSON] = json.loads(self._text)
        if self._key is not None:
            value = value[self._key]
        LazyObject._latest = (self, value)
        return value

    def __getitem__(self, key: str) -> JSON:
        return self._value()[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self._value())

    def __len__(self) -> int:
        return len(self._value())

    def __eq__(self, other: object) -> bool:
        if isinstance(other, LazyObject):
            return self._value() == dict(other)
        return self._value() == other

    __hash__ = None  # type: ignore[assignment] # like a dict

    def __repr__(self) -> str:
        return repr(self._value())


def job_from_store(text: str, revision: str, *, must_match: bool = False) -> Job:
    """Return the job of a stored document.

    *text* is its JSON, *revision* the stored hash. Raises ``ValueError`` if the document is
    invalid: another version of luad wrote it, or it was modified. With *must_match* any
    modification raises. Use that for jobs of files: a file of the same revision would not be
    loaded again.
    """
    document = json.loads(text)
    if not isinstance(document, dict):
        raise ValueError("the definition is not an object")  # noqa: TRY004 - the row is damaged, the argument is not
    if must_match and revision_of(document) != revision:
        raise ValueError("the definition was modified in the database")
    keep = document.pop("keep", False) is True
    if not document.keys() <= _known_keys():
        raise _mistake(document)
    for key in _SHARED:
        if isinstance(word := document.get(key), str):
            document[key] = sys.intern(word)
    if document.get("metadata"):
        document["metadata"] = LazyObject(text, "metadata")
    found: list[Mistake] = []
    stored = Stored(revision, LazyObject(text))
    try:
        # It obeyed the schema when it was stored. Another check would take a third of a start with
        # many jobs, and `build_job` fails for a damaged document as well.
        job = build_job(document, "UTC", found, keep=keep, stored=stored)
    except (KeyError, TypeError, AttributeError) as error:
        raise _mistake(json.loads(text)) from error
    if found:
        raise ValueError(found[0].message)
    return job


@cache
def _known_keys() -> frozenset[str]:
    return frozenset(load_schema("job")["properties"])


def _mistake(document: dict[str, JSON]) -> ValueError:
    mistakes = find_mistakes(document, "job")
    return ValueError(
        mistakes[0].message if mistakes else "the definition does not obey the schema"
    )
