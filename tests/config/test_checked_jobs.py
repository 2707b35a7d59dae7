"""Jobs that are built quickly from the store equal those that are built with all checks."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from luad.config.jobs.checked_jobs import CheckedJobs, check_of
from luad.config.jobs.job_file import load_file
from luad.config.jobs.stored_jobs import job_from_store
from luad.config.settings.daemon_settings import Settings
from luad.core.model import Job

CORPUS = Path(__file__).parents[1] / "corpus"


def jobs() -> list[Job]:
    paths = sorted(CORPUS.rglob("*.yaml"))
    parsed = (load_file(str(each), each.read_bytes(), settings=Settings(), now=0) for each in paths)
    return [item.job for each in parsed for item in each.items]


def test_the_jobs_of_the_corpus_are_built_as_with_all_checks() -> None:
    quick, found = CheckedJobs(), jobs()
    assert len(found) > 30
    for _ in range(2):  # the second time, equal parts are known
        for job in found:
            text = json.dumps(dict(job.definition))
            built, checked = (
                quick.build(job.name, text, job.revision),
                job_from_store(text, job.revision),
            )
            assert built == checked
            assert (built.definition, built.metadata) == (checked.definition, checked.metadata)


@pytest.mark.parametrize("text", ["{}", "[]", "{", '{"name": "a", "schedule": 3}'])
def test_a_damaged_document_is_refused(text: str) -> None:
    with pytest.raises((ValueError, KeyError, TypeError, AttributeError)):
        CheckedJobs().build("a", text, "r")


def test_the_hash_differs_with_name_revision_and_text() -> None:
    others = {check_of(*each) for each in (("a", "b", "c"), ("d", "b", "c"), ("a", "d", "c"))}
    assert len(others | {check_of("a", "b", "d")}) == 4
