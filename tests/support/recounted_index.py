"""The index of an engine, held against a count over all its jobs."""

from __future__ import annotations

from luad.core.engine import Engine
from luad.core.job_index import Kind, Mark, in_order, place_of

MOST = 200
"""With more jobs, a test that takes many turns would only count."""


def check_index(engine: Engine) -> None:
    """Assert that the index has exactly what a look at every job finds."""
    if len(engine.entries) > MOST:
        return
    assert list(engine.index.ids) == sorted(each.job_id for each in engine.entries.values())
    for is_dynamic in (False, True):
        wanted: dict[tuple[Kind, str], set[str]] = {}
        places = set()
        for entry in engine.entries.values():
            if entry.wanted.is_dynamic is not is_dynamic:
                continue
            job, standing = entry.job, entry.standing
            place = place_of(job.name, entry.job_id, holds_name=standing.holds_name)
            places.add(place)
            facets = [(Kind.STATUS, entry.status.value), (Kind.HANDLER, job.handler)]
            facets += [(Kind.TAG, tag) for tag in job.tags]
            facets += [(Kind.USER, job.user)] if job.user is not None else []
            facets += [(Kind.ALERTED, user) for user in (job.alert.to if job.alert else ())]
            marks = {
                Mark.STALE: entry.wanted.stale,
                Mark.FAILING: entry.consecutive_failures > 0,
                Mark.FAILED_AND_OVER: entry.consecutive_failures > 0
                and standing.over_at is not None,
                Mark.WITHOUT_NAME: not standing.holds_name and not entry.makes_room,
                Mark.SELF_DELETED: not is_dynamic and bool(entry.pause and entry.pause.revision),
            }
            facets += [(Kind.MARK, mark.value) for mark, is_set in marks.items() if is_set]
            for facet in facets:
                wanted.setdefault(facet, set()).add(place)
        index = engine.index
        found = {
            (kind, value): list(
                in_order(index.groups(is_dynamic=is_dynamic, kind=kind, values=[value]), "")
            )
            for kind in Kind
            for value in index.values(kind, is_dynamic=is_dynamic)
        }
        assert found == {facet: sorted(each) for facet, each in wanted.items()}
        assert list(in_order(index.groups(is_dynamic=is_dynamic), "")) == sorted(places)
        assert index.count(is_dynamic=is_dynamic) == len(places)
        for facet, each in wanted.items():
            assert index.count(is_dynamic=is_dynamic, facet=facet) == len(each)
