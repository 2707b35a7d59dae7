"""Writes records to rows, in the transaction of `Store.apply`.

Records about jobs and records about runs are in different tables, so the two kinds may change their order; within a
kind, the order stays. Neighbours of the same class become one statement.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from itertools import groupby
from typing import Any, Final, cast

from sqlalchemy import (
    BindParameter,
    Connection,
    Null,
    Select,
    Update,
    bindparam,
    delete,
    exists,
    null,
    or_,
    select,
    text,
    update,
)
from sqlalchemy.dialects.sqlite import Insert, insert

from luad.core.events import (
    AddMessage,
    ClaimRun,
    ExtendSkip,
    InstallJob,
    Record,
    RecordSkip,
    RememberKey,
    RemoveJob,
    SaveProgress,
    SaveRun,
    SaveStanding,
)
from luad.core.model import OPEN_STATES, Instant, Run, RunState
from luad.core.shards import shard_of
from luad.store import api_access, columns, job_rows, messages
from luad.store.prepared import Names, Prepared, Values
from luad.store.tables import attempts, jobs, meta, revisions, runs

_OPEN: Final = sorted(state.value for state in OPEN_STATES)
_ABOUT_JOBS: Final = (
    InstallJob,
    RemoveJob,
    SaveProgress,
    SaveStanding,
    RememberKey,
    AddMessage,
)
_IN_ONE_QUESTION: Final = 500
"""The largest number of ids in one statement; SQLite accepts some thousands of parameters."""

_KEPT: Final = (
    "name",
    "revision",
    "definition_json",
    "origin_path",
    "origin_line",
    "created_at",
    "created_by",
    "created_by_run",
    "holds_name",
)
_ABOUT_ATTEMPT: Final = (
    "ended_at",
    "end_kind",
    "exit_code",
    "signal",
    "error_type",
    "error_message",
    "error_traceback",
)


# --- statements --------------------------------------------------------------------------------

_HOLDS: Final = text("holds_name = 1")  # word for word the index's own condition
_insert_job = insert(jobs)
_install = _insert_job.on_conflict_do_update(
    index_elements=["job_id"], set_={name: _insert_job.excluded[name] for name in _KEPT}
)
_free_name = delete(jobs).where(
    jobs.c.name == bindparam("b_name"), jobs.c.job_id != bindparam("b_job_id"), _HOLDS
)
_yield_name = (
    update(jobs)
    .where(jobs.c.name == bindparam("b_name"), jobs.c.job_id != bindparam("b_other_id"), _HOLDS)
    .values(holds_name=0)
)
_insert_revision = insert(revisions)
_see_revision = _insert_revision.on_conflict_do_update(
    index_elements=["job_id", "revision"],
    set_={
        name: _insert_revision.excluded[name]
        for name in (
            "name",
            "definition_json",
            "last_installed_at",
            "created_by_run",
            "gone_at",
            "gone_json",
        )
    },
)
_note_gone = update(revisions).where(revisions.c.job_id == bindparam("b_job_id"))
_remove = delete(jobs).where(jobs.c.job_id == bindparam("b_job_id"))
# Its words are luad's own, and as parameters they would be two more for each row.
_IS_OPEN: Final = text(f"runs.state IN ({', '.join(map(repr, _OPEN))})")


def _bound(names: Names) -> dict[str, BindParameter[Any]]:
    return {name: bindparam(name) for name in names}


def _with_nulls(names: Names, all_names: Names) -> dict[str, BindParameter[Any] | Null]:
    return {name: bindparam(name) if name in names else null() for name in all_names}


def _progress_update(names: Names) -> Update:
    found = update(jobs).where(jobs.c.job_id == bindparam("b_job_id"))
    return found.values(_with_nulls(names, job_rows.PROGRESS))


def _open_run() -> Update:
    return update(runs).where(
        runs.c.id == bindparam("b_id"), runs.c.attempt <= bindparam("b_attempt"), _IS_OPEN
    )


def _standing_update(names: Names) -> Update:
    found = update(jobs).where(jobs.c.job_id == bindparam("b_job_id"))
    return found.values(_with_nulls(names, job_rows.STANDING))


_save_standing = Prepared(_standing_update)
_save_progress = Prepared(_progress_update)
_insert_run = Prepared(lambda names: runs.insert().values(_bound(names)), "ON CONFLICT DO NOTHING")
_save_run = Prepared(lambda names: _open_run().values(_with_nulls(names, columns.CHANGING)))
_save_process = Prepared(lambda names: _open_run().values(_bound(names[:-2])))
_other = runs.alias("other")
_extend_skip = update(runs).where(
    runs.c.id == bindparam("b_id"),
    or_(runs.c.state == RunState.SKIPPED.value, runs.c.state == RunState.MISSED.value),
    ~exists().where(
        _other.c.job_id == runs.c.job_id,
        _other.c.occurrence == bindparam("b_last"),
        _other.c.id != runs.c.id,
    ),
)
_known_ids = select(runs.c.id).where(runs.c.id.in_(bindparam("ids", expanding=True)))
_open_ids = _known_ids.where(_IS_OPEN)


def _insert_attempt(*names: str) -> Insert:
    """Return an insert of an attempt, only for a run with a row.

    A run without a row (removed, or refused in the same batch) has no attempts; the foreign key would fail the batch.
    """
    columns = [bindparam(name, type_=attempts.c[name].type) for name in names]
    is_known = exists().where(runs.c.id == bindparam("run_id"))
    return insert(attempts).from_select(names, select(*columns).where(is_known))


_start_attempt = _insert_attempt("run_id", "attempt", "started_at", "pid").on_conflict_do_nothing()
_ended = _insert_attempt("run_id", "attempt", "started_at", *_ABOUT_ATTEMPT)
_end_attempt = _ended.on_conflict_do_update(
    index_elements=["run_id", "attempt"],
    set_={name: _ended.excluded[name] for name in _ABOUT_ATTEMPT},
)
_set_meta = Prepared(
    lambda names: meta.insert().values(_bound(names)),
    "ON CONFLICT (key) DO UPDATE SET value = excluded.value",
)


# --- the transaction ---------------------------------------------------------------------------


def write(connection: Connection, records: Sequence[Record], now: Instant) -> tuple[str, ...]:
    """Write *records* and return the ids of the runs whose claim was refused, and of refused skips.

    *now* stamps what the records do not: the start of a second or later attempt.
    """
    for kind, group in _grouped(each for each in records if isinstance(each, _ABOUT_JOBS)):
        _WRITERS[kind](connection, group, now)
    refused: list[str] = []
    for kind, group in _grouped(each for each in records if not isinstance(each, _ABOUT_JOBS)):
        refused += _WRITERS[kind](connection, group, now)
    return tuple(refused)


def see(connection: Connection, now: Instant) -> None:
    """Store that the daemon is alive at *now*."""
    _set_meta.execute(connection, [{"key": "last_seen", "value": str(now)}])


def _grouped(records: Iterable[Record]) -> Iterator[tuple[type, Sequence[Any]]]:
    for kind, group in groupby(records, type):
        yield kind, list(group)


def _placed(
    connection: Connection, name: str, rows: Sequence[dict[str, Any]]
) -> Sequence[dict[str, Any]]:
    """Return *rows* with their shards in a shared store; the embedded store has one owner and no shards."""
    if connection.dialect.name == "sqlite":
        return rows
    return [row | {"shard": shard_of(str(row[name]))} for row in rows]


def _install_jobs(connection: Connection, group: Sequence[InstallJob], _: Instant) -> list[str]:
    # The last one of a name wins: two rows of one name would be two jobs at the next start.
    all_rows = _placed(connection, "name", list(map(job_rows.job_row, group)))
    rows = list({row["name" if row["holds_name"] else "job_id"]: row for row in all_rows}.values())
    freed = [
        {"b_name": row["name"], "b_job_id": row["job_id"]} for row in rows if row["holds_name"]
    ]
    if freed:
        connection.execute(_free_name, freed)
    connection.execute(_install, rows)
    connection.execute(_see_revision, [job_rows.revision_row(row) for row in all_rows])
    return []


def _remove_jobs(connection: Connection, group: Sequence[RemoveJob], _: Instant) -> list[str]:
    connection.execute(_remove, [{"b_job_id": columns.to_text(each.job_id)} for each in group])
    connection.execute(_note_gone, [job_rows.gone_row(each) for each in group])
    return []


def _save_standings(connection: Connection, group: Sequence[SaveStanding], _: Instant) -> list[str]:
    latest: dict[str, Values] = {}  # their order counts only where a name changes hands
    for each in group:
        if each.standing.holds_name:
            _save_standing.execute_unordered(connection, latest.values())
            latest.clear()
            row = {"b_name": columns.to_text(each.job_name)}
            row["b_other_id"] = columns.to_text(each.job_id)
            connection.execute(_yield_name, row)
        latest[each.job_id] = job_rows.standing_row(each)
    _save_standing.execute_unordered(connection, latest.values())
    return []


def _save_progresses(
    connection: Connection, group: Sequence[SaveProgress], _: Instant
) -> list[str]:
    latest = {each.job_id: each for each in group}  # a row changes once in a statement
    _save_progress.execute_unordered(connection, map(job_rows.progress_row, latest.values()))
    return []


def _claim_runs(connection: Connection, group: Sequence[ClaimRun], _: Instant) -> list[str]:
    # An open row of the same id is the daemon's own: the batch repeats one that was reported as failed
    # although it is on the disk. A terminal row is of an earlier daemon: on machines whose clock starts in
    # 1970 at each boot, the same occurrence gets the same id again.
    rows = _placed(connection, "job_name", [columns.claim_row(each.run) for each in group])
    return _insert_runs(connection, rows, [each.run.id for each in group], _open_ids)


def _insert_runs(
    connection: Connection, rows: Sequence[Values], ids: list[str], ours: Select[Any]
) -> list[str]:
    """Insert *rows*; return the refused *ids* without those that *ours* finds."""
    if _insert_run.execute(connection, rows) == len(rows):
        return []
    known: set[str] = set()
    own_ids = [str(row["id"]) for row in rows]
    for start in range(0, len(own_ids), _IN_ONE_QUESTION):
        part = own_ids[start : start + _IN_ONE_QUESTION]
        known.update(connection.execute(ours, {"ids": part}).scalars())
    return [each for each, own_id in zip(ids, own_ids, strict=True) if own_id not in known]


def _save_runs(connection: Connection, group: Sequence[SaveRun], now: Instant) -> list[str]:
    for saves in _last_saves(group):
        whole = [columns.save_row(each.run) for each in saves if not each.is_start]
        _save_run.execute_unordered(connection, whole)
        starts = [columns.process_row(each.run) for each in saves if each.is_start]
        _save_process.execute_unordered(connection, starts)
    # Starts first: an attempt may start and end in the same batch.
    started = [row for row in (_started_attempt(each.run, now) for each in group) if row]
    if started:
        connection.execute(_start_attempt, started)
    ended = [row for row in (_ended_attempt(each.run) for each in group) if row]
    if ended:
        connection.execute(_end_attempt, ended)
    return []


def _last_saves(group: Sequence[SaveRun]) -> Iterator[Collection[SaveRun]]:
    """Yield *group* in parts without two rows of one run: the start and the end of a short run are one update."""
    latest: dict[str, SaveRun] = {}
    for each in group:
        run, before = each.run, latest.get(each.run.id)
        if before is None:
            latest[run.id] = each
        elif before.run.state in OPEN_STATES and before.run.attempt <= run.attempt:
            latest[run.id] = SaveRun(run, is_start=each.is_start and before.is_start)
        else:  # the row decides which of the two it takes
            yield latest.values()
            latest = {run.id: each}
    yield latest.values()


def _record_skips(connection: Connection, group: Sequence[RecordSkip], _: Instant) -> list[str]:
    rows = _placed(connection, "job_name", [columns.skip_row(each) for each in group])
    return _insert_runs(connection, rows, [each.row_id for each in group], _known_ids)


def _extend_skips(connection: Connection, group: Sequence[ExtendSkip], _: Instant) -> list[str]:
    rows = [columns.extend_row(each.row_id, each.skip) for each in group]
    connection.execute(_extend_skip, rows)
    return []


def _remember_keys(connection: Connection, group: Sequence[RememberKey], _: Instant) -> list[str]:
    for each in group:
        api_access.remember(connection, each.key, each.subject, each.at)
    return []


def _add_messages(connection: Connection, group: Sequence[AddMessage], _: Instant) -> list[str]:
    messages.insert_messages(connection, [each.message for each in group])
    return []


_WRITERS: Final = cast(
    "dict[type, Callable[[Connection, Sequence[Any], Instant], list[str]]]",
    {
        InstallJob: _install_jobs,
        RemoveJob: _remove_jobs,
        SaveProgress: _save_progresses,
        SaveStanding: _save_standings,
        ClaimRun: _claim_runs,
        SaveRun: _save_runs,
        RecordSkip: _record_skips,
        ExtendSkip: _extend_skips,
        RememberKey: _remember_keys,
        AddMessage: _add_messages,
    },
)


# --- attempts ----------------------------------------------------------------------------------
#
# A run that needs one attempt, as nearly all do, is its attempt's row as well; rows are written
# only for runs that try again.


def _ended_attempt(run: Run) -> dict[str, Any] | None:
    """The row of an attempt that has just ended, when there was or will be another."""
    ending = run.ending
    if ending is None or (run.attempt == 1 and run.state is not RunState.RETRYING):
        return None
    is_over_now = run.state is RunState.RETRYING or (
        run.attempt > 1 and run.state not in OPEN_STATES and run.ended_at == ending.at
    )
    if not is_over_now:
        return None
    row = columns.save_row(run)
    return {
        "run_id": row["b_id"],
        "attempt": row["attempt"],
        "started_at": row.get("started_at") if run.attempt == 1 else None,
        **{name: row.get(name) for name in _ABOUT_ATTEMPT},
        "ended_at": row["end_at"],
    }


def _started_attempt(run: Run, now: Instant) -> dict[str, Any] | None:
    """The row of a later attempt whose process has just started."""
    if run.attempt == 1 or run.identity is None or run.state is not RunState.RUNNING:
        return None
    return {
        "run_id": columns.to_text(run.id),
        "attempt": columns.to_int(run.attempt),
        "started_at": now,
        "pid": columns.to_int(run.identity.pid),
    }
