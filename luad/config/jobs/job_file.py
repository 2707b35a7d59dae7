"""A job file: bytes to jobs and problems.

One error in a file keeps the whole file from loading. This module does not know other files.

Rule: bytes in, values out; opens no file.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

from luad.config.jobs.advice import advise
from luad.config.jobs.compact_jobs import compact
from luad.config.jobs.foreign_file import CODE, foreign_text, foreign_value
from luad.config.jobs.job_builder import build_job
from luad.config.jobs.last_good import Parsed
from luad.config.jobs.partial_jobs import Known, advise_known, known_of, lost_keys
from luad.config.jobs.queue_check import queue_mistake
from luad.config.problems import with_excerpts
from luad.config.schema.locate import locate
from luad.config.schema.validator import obeys
from luad.config.schema.violations import Mistake, find_mistakes
from luad.config.secrets import secrets_of
from luad.config.settings.daemon_settings import Settings
from luad.config.yaml.marks import NO_MARKS, Marks, read_marks
from luad.config.yaml.reader import Document, Limits, parse_yaml
from luad.core.model import JSON, Instant, Job, Origin, Wanted
from luad.errors import Problem, Severity


class ParsedFile(Parsed[Wanted]):
    """The jobs and problems of a job file."""

    __slots__ = ()

    @property
    def jobs(self) -> tuple[Wanted, ...]:
        """The jobs; none if the file is broken."""
        return self.items


def load_file(
    path: str, data: bytes, *, settings: Settings, now: Instant | None = None
) -> ParsedFile:
    """Return the jobs and problems of a file; never raises.

    *path* is only for messages. With *now* the result includes warnings that depend on the
    calendar.
    """
    limits = Limits(max_bytes=settings.max_file_size, max_documents=settings.max_jobs)
    loading = _Loading(settings, now)
    for document in parse_yaml(data, path, limits):
        if len(loading.jobs) >= limits.max_documents:
            loading.problems.append(_too_many(path, document, limits))
            break
        loading.take(document)
        if len(loading.problems) > limits.max_problems:
            break
    if loading.problems and not loading.jobs and (foreign := foreign_text(data)):
        place = Problem(path, 1, 1, CODE, foreign.message, foreign.help)
        loading.problems = [dataclasses.replace(place, end_line=1, end_column=2)]
    problems = _in_order(path, data, loading, limits.max_problems)
    if any(problem.severity is Severity.ERROR for problem in problems):
        return ParsedFile(path, (), problems, is_broken=True)
    return ParsedFile(path, tuple(loading.jobs), problems)


def job_from_definition(definition: Mapping[str, JSON], settings: Settings | None = None) -> Job:
    """Return the job of a stored document. Raises ``ValueError`` if it is invalid.

    A stored document names its zone; without one, that of *settings* applies. The document of a
    dynamic job may have the key `keep` besides those of the schema.
    """
    document = dict(definition)
    keep = document.pop("keep", False) is True
    if not obeys("job")(document):
        mistakes = find_mistakes(document, "job")
        raise ValueError(
            mistakes[0].message if mistakes else "the definition does not obey the schema"
        )
    found: list[Mistake] = []
    job = build_job(document, settings.timezone if settings else "UTC", found, keep=keep)
    if found:
        raise ValueError(found[0].message)
    return job


class _Loading:
    """Collects the jobs and problems of one file."""

    def __init__(self, settings: Settings, now: Instant | None) -> None:
        self.jobs: list[Wanted] = []
        self.problems: list[Problem] = []
        self.secrets: set[str] = set()
        self._timezone = settings.timezone
        self._queues = settings.served_queues
        self._now = now
        self._obeys = obeys("job")
        self._lines: dict[str, int] = {}  # job name -> line of its document

    def take(self, document: Document) -> None:
        """Add the job of *document*, or its problems."""
        mistakes: list[Mistake] = []
        self.problems.extend(document.warnings)
        if document.problems or not self._obeys(document.value):
            marks = read_marks(document) if document.is_complete else NO_MARKS
            foreign = foreign_value(document.value) if document.is_complete else None
            if foreign is not None:
                mistakes = [Mistake((), CODE, foreign.message, foreign.help)]
            elif document.is_complete:
                known = known_of(document.value, marks, self._timezone)
                mistakes = list(known.mistakes)
                if known.job is not None:
                    if "name" not in known.lost:
                        mistakes += self._clash(known.job.name, document)
                    mistakes += self._queue_of(known.job)
                    mistakes += advise_known(known, self._now, document.value)
            self._report(document, mistakes, marks)
            return
        job = build_job(document.value, self._timezone, mistakes)
        mistakes += self._clash(job.name, document)
        mistakes += self._queue_of(job)
        if not mistakes:
            mistakes = advise(job, self._now, document.value)
            self.jobs.append(Wanted(compact(job), Origin(document.source.path, document.line)))
        else:
            known = Known(tuple(mistakes), job, lost_keys(mistakes))
            mistakes += advise_known(known, self._now, document.value)
        if mistakes:
            self._report(document, mistakes, read_marks(document))

    def _clash(self, name: str, document: Document) -> list[Mistake]:
        first = self._lines.setdefault(name, document.line)
        if first == document.line:
            return []
        return [_same_name(name, document.source.path, first)]

    def _queue_of(self, job: Job) -> list[Mistake]:
        mistake = queue_mistake(job, self._queues)
        return [] if mistake is None else [mistake]

    def _report(self, document: Document, mistakes: list[Mistake], marks: Marks) -> None:
        self.secrets.update(secrets_of(document.value))
        self.problems.extend(document.problems)
        reported = {problem.line for problem in document.problems}  # report one problem per line
        name = document.value.get("name") if isinstance(document.value, dict) else None
        for mistake in mistakes:
            problem = locate(mistake, document, marks)
            if problem.line not in reported:
                job = name if isinstance(name, str) else ""
                self.problems.append(dataclasses.replace(problem, job=job))


def _same_name(name: str, path: str, first: int) -> Mistake:
    message = f"duplicate job name `{name}`"
    return Mistake(("name",), "LU401", message, f"first defined at {path}:{first}; rename one")


def _too_many(path: str, document: Document, limits: Limits) -> Problem:
    message = f"more than {limits.max_documents} jobs; raise `max_jobs` in luad.yaml"
    return Problem(path, document.line, 1, "LU007", message)


def _in_order(path: str, data: bytes, loading: _Loading, most: int) -> tuple[Problem, ...]:
    if not loading.problems:
        return ()
    ordered = sorted(loading.problems, key=lambda each: (each.line, each.column, each.code))
    shown = with_excerpts(ordered[:most], data, loading.secrets)
    if len(ordered) > most:
        shown += (
            Problem(path, 0, 0, "LU007", f"more than {most} problems; the rest is not shown"),
        )
    return shown
