"""The plan of a reload: the difference between the wanted and the installed jobs.

Rule: compares values, and changes nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields

from luad.core.model import Job, Wanted
from luad.core.values import dataclass


@dataclass(frozen=True, slots=True)
class Replacement:
    """A job whose content changed, and the names of the fields that did."""

    name: str
    old: Wanted
    new: Wanted
    changes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Plan:
    """The difference between the wanted and the installed jobs, each part sorted by name."""

    add: tuple[Wanted, ...] = ()
    replace: tuple[Replacement, ...] = ()
    remove: tuple[str, ...] = ()
    keep: tuple[str, ...] = ()


def make_plan(installed: Mapping[str, Wanted], wanted: Mapping[str, Wanted]) -> Plan:
    """Compare two sets of jobs by name and revision.

    A job that only moved inside its file, or whose file is broken, has the same revision and is kept.
    """
    add, replace, keep = [], [], []
    for name, new in wanted.items():
        old = installed.get(name)
        if old is None:
            add.append(new)
        elif old.job is new.job or old.job.revision == new.job.revision:
            keep.append(name)
        else:
            replace.append(Replacement(name, old, new, changed_fields(old.job, new.job)))
    remove = [name for name in installed if name not in wanted]
    return Plan(
        tuple(sorted(add, key=lambda each: each.job.name)),
        tuple(sorted(replace, key=lambda each: each.name)),
        tuple(sorted(remove)),
        tuple(keep),
    )


def changed_fields(old: Job, new: Job) -> tuple[str, ...]:
    """Return the fields in which two versions of a job differ, except revision and definition."""
    return tuple(
        field.name
        for field in fields(Job)
        if field.compare
        and field.name != "revision"
        and getattr(old, field.name) != getattr(new, field.name)
    )


def together(plans: Sequence[Plan]) -> Plan:
    """Return the changes of *plans*, which concern different jobs, as one."""
    if len(plans) == 1:
        return plans[0]
    return Plan(
        tuple(sorted((each for plan in plans for each in plan.add), key=lambda at: at.job.name)),
        tuple(sorted((each for plan in plans for each in plan.replace), key=lambda at: at.name)),
        tuple(sorted(name for plan in plans for name in plan.remove)),
        tuple(name for plan in plans for name in plan.keep),
    )
