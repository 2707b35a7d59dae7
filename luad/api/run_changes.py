"""The differences between a run and the last run of its job that succeeded.

Rule: reads the store and the time of the handler's file; a fact that is not known is None.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from luad.api.revision_lookup import difference
from luad.config.secrets import shown_definition
from luad.core.model import RunState
from luad.cursors import make_cursor
from luad.store.query_types import RunFilter

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from luad.api.service import Service
    from luad.core.model import JSON, Instant, Run
    from luad.store.query_types import Software


@dataclass(frozen=True, slots=True)
class HandlerFile:
    """The file of a handler in the handlers folder. *has_changed*: since the last good run."""

    path: str
    modified_at: Instant
    has_changed: bool


@dataclass(frozen=True, slots=True)
class RunChanges:
    """The differences between *run* and *last_good*, the newest run before it that succeeded.

    *definition* and *metadata*: keys with their value then and now. *software*: the versions then and now.
    *is_complete*: False if the search for a good run was out of time.
    """

    run: Run
    last_good: Run | None = None
    is_complete: bool = True
    definition: Sequence[Mapping[str, Any]] = ()
    metadata: Sequence[Mapping[str, Any]] = ()
    software: tuple[Software | None, Software | None] = (None, None)
    handler_file: HandlerFile | None = None


async def changes_of(service: Service, run: Run) -> RunChanges:
    """Return what has changed since the job of *run* last worked."""
    history = service.store.history
    wanted = RunFilter(job_id=run.job_id, statuses=frozenset({RunState.SUCCEEDED}))
    page = await history.search(wanted, limit=1, cursor=make_cursor((run.claimed_at, run.id)))
    if not page.rows:
        return RunChanges(run, is_complete=page.is_complete)
    good = page.rows[0].run
    known = {each.revision: each for each in await service.store.job_revisions(run.job_id)}
    then, now = (_definition(known.get(each.revision)) for each in (good, run))
    file = None
    if now is not None:
        folder = service.dynamic.handlers_path
        file = await asyncio.to_thread(_file_of, folder, str(now.get("handler", "")), good)
    return RunChanges(
        run,
        good,
        definition=[] if then is None or now is None else difference(then, now),
        metadata=difference(_metadata(good, then), _metadata(run, now)),
        software=(
            await history.software_at(good.claimed_at),
            await history.software_at(run.claimed_at),
        ),
        handler_file=file,
    )


def _definition(revision: Any) -> dict[str, JSON] | None:
    return None if revision is None else shown_definition(revision.definition)


def _metadata(run: Run, definition: Mapping[str, JSON] | None) -> Mapping[str, JSON]:
    """Return the metadata that the run was given; else those that its definition declares."""
    if run.metadata is not None:
        return run.metadata
    declared = (definition or {}).get("metadata")
    return declared if isinstance(declared, dict) else {}


def _file_of(folder: Path, handler: str, good: Run) -> HandlerFile | None:
    """Return the file in *folder* that defines the handler; None if it is elsewhere."""
    module, colon, _ = handler.partition(":")
    parts = module.split(".")
    if not colon or not all(part.isidentifier() for part in parts):
        return None
    place = folder.joinpath(*parts)
    for path in (place.with_suffix(".py"), place / "__init__.py"):
        try:
            modified_at = path.stat().st_mtime_ns // 1_000_000
        except OSError:
            continue
        began = good.claimed_at if good.started_at is None else good.started_at
        return HandlerFile(str(path.relative_to(folder)), modified_at, modified_at > began)
    return None
