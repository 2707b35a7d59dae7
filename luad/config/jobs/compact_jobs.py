"""Jobs that take little memory: documents as text, and equal values once.

Millions of jobs may wait in memory for weeks. Their documents and metadata are rarely read, so
they are text, and are parsed on access.

Rule: a job in, an equal job out.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Hashable, Iterator, Mapping
from functools import lru_cache
from typing import Final, TypeVar, cast

from luad.core.model import JSON, Job
from luad.core.values import replace

H = TypeVar("H", bound=Hashable)

_encode: Final = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode

_SHARED: Final = 10_000
"""The number of schedules and other values that are remembered to be shared."""


class LazyObject(Mapping[str, JSON]):
    """A JSON object that is parsed on access; equal to its dict.

    With *key* it is that member of the object in *text*.
    """

    __slots__ = ("_key", "_text")
    _latest: tuple[LazyObject, dict[str, JSON]] | None = None

    def __init__(self, text: str, key: str | None = None) -> None:
        self._text = text
        self._key = key

    def strict_text(self) -> str | None:
        """Return the text if it is strict JSON in ASCII; else None."""
        text = self._text
        is_strict = text.isascii() and "NaN" not in text and "Infinity" not in text
        return text if is_strict and self._key is None else None

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


def compact(job: Job) -> Job:
    """Return *job* with its definition and metadata as text."""
    text = _encode(job.definition)
    metadata = LazyObject(text, "metadata") if job.metadata else job.metadata
    return _sharing(job, LazyObject(text), metadata)


def share_values(job: Job) -> Job:
    """Return *job* with values that many jobs share: each is in memory once."""
    return _sharing(job, job.definition, job.metadata)


def _sharing(job: Job, definition: Mapping[str, JSON], metadata: Mapping[str, JSON]) -> Job:
    return replace(
        job,
        definition=definition,
        metadata=metadata,
        handler=sys.intern(job.handler),
        queue=sys.intern(job.queue),
        user=None if job.user is None else sys.intern(job.user),
        schedule=_shared(job.schedule),
        retry=_shared(job.retry),
        tags=_shared(job.tags),
        env=_shared(job.env),
        limits=_shared(job.limits),
        timeout_ms=_shared(job.timeout_ms),
        alert=_shared(job.alert),
    )


def _shared(value: H) -> H:
    return cast("H", _remembered(type(value), value))


@lru_cache(_SHARED)
def _remembered(kind: type, value: Hashable) -> Hashable:
    del kind  # 5 and 5.0 are equal, and differ
    return value
