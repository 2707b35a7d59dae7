"""Jobs from the store, whose documents were checked before they were stored.

Millions of jobs may wait in memory for weeks. Their documents and metadata are rarely read, so
they stay text, and are parsed on access.

Rule: text in, a job out; opens no file and no database.
"""

from __future__ import annotations

import json
from functools import cache

from luad.config.jobs.compact_jobs import LazyObject, share_values
from luad.config.jobs.job_builder import Stored, build_job, revision_of
from luad.config.schema.validator import load_schema
from luad.config.schema.violations import Mistake, find_mistakes
from luad.core.model import JSON, Job


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
    if document.get("metadata"):
        document["metadata"] = LazyObject(text, "metadata")
    found: list[Mistake] = []
    stored = Stored(revision, LazyObject(text))
    try:
        # It obeyed the schema when it was stored. Another check would take a third of a start with
        # many jobs, and `build_job` fails for a damaged document as well.
        job = share_values(build_job(document, "UTC", found, keep=keep, stored=stored))
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
