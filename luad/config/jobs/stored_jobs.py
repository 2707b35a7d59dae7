"""Jobs as the store keeps them: text that was checked before it was stored.

A hundred thousand reminders wait in memory for weeks. What is looked at once in their life, their
document and their metadata, stays the text that it was, and is read when somebody asks.

Room rule: text in, a job out; opens no file and no database.
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
"""Words that many jobs have in common: each is kept in memory once."""


class LazyObject(Mapping[str, JSON]):
    """A JSON object that is parsed when it is looked at; equal to the dict that it stands for.

    With *key* it stands for that member of the object in *text*.
    """

    __slots__ = ("_key", "_text")
    _latest: tuple[LazyObject, dict[str, JSON]] | None = None

    def __init__(self, text: str, key: str | None = None) -> None:
        self._text = text
        self._key = key

    def _value(self) -> dict[str, JSON]:
        """Parse it, but not again and again for somebody who goes through it key by key."""
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

    __hash__ = None  # type: ignore[assignment] # as little as a dict

    def __repr__(self) -> str:
        return repr(self._value())


def job_from_store(text: str, revision: str, *, must_match: bool = False) -> Job:
    """Return the job that a stored document declares.

    *text* is its JSON, *revision* the hash it was stored with. Raises ``ValueError`` when it cannot be:
    it was written by another version of luad, or somebody has changed it. With *must_match* any change
    is noticed. It is meant for jobs of files: a file of that revision would be taken for loaded already.
    """
    document = json.loads(text)
    if not isinstance(document, dict):
        raise ValueError("the definition is no object")  # noqa: TRY004 - the row is damaged, nobody passed a wrong type
    if must_match and revision_of(document) != revision:
        raise ValueError("the definition is not the one that was stored: somebody has changed it")
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
        # It obeyed the schema when it was stored, and looking again at every member would take a
        # third of a start with very many jobs. What is damaged does not get through this either.
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
    return ValueError(mistakes[0].message if mistakes else "the definition obeys no schema")
