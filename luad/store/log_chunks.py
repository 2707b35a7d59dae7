"""The output and log lines of runs, stored in chunks.

A chunk is one row with the JSON lines that arrived together. Lines are numbered from 1 within their run, so a
client that follows can name the last line that it got.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from sqlalchemy import (
    BigInteger,
    Connection,
    Integer,
    Text,
    bindparam,
    func,
    insert,
    literal_column,
    select,
)

from luad.core.model import JSON, Instant
from luad.store.columns import to_int
from luad.store.prepared import Prepared
from luad.store.query_budget import QueryBudget
from luad.store.query_types import LogLine, LogPage, RunFilter
from luad.store.run_pages import newest_ids
from luad.store.tables import run_logs, runs

_encode: Final = json.JSONEncoder(separators=(",", ":"), default=str, allow_nan=False).encode

CHUNK_BYTES: Final = 64 * 1024
"""The approximate size of a chunk, so that reading a tail stays cheap."""

FIRST_LOOKED_AT: Final = 50

RUNS_LOOKED_AT: Final = 1_000
"""The largest number of runs that a search for last lines reads."""


@dataclass(frozen=True, slots=True)
class LogSearch:
    """The lines before the number *before*, at least of *level*, with *q* in their text in any case."""

    before: int | None = None
    level: str | None = None
    q: str | None = None

    def matches(self, line: LogLine) -> bool:
        """Return whether *line* is one of these."""
        return (
            (self.before is None or line.seq < self.before)
            and (self.level is None or _rank(line.line) >= _LEVELS.get(self.level, _INFO))
            and (self.q is None or self.q.lower() in str(line.line.get("message", "")).lower())
        )


_LEVELS: Final = {"debug": 10, "info": 20, "warning": 30, "error": 40, "critical": 50}
_INFO: Final = 20
_IDS_AT_ONCE: Final = 250

_next_seq = (
    select(func.coalesce(func.max(run_logs.c.seq + run_logs.c.line_count), literal_column("1")))
    .where(run_logs.c.run_id == runs.c.id)
    .scalar_subquery()
)
# Lines of a run that the store does not know have nothing to be kept with: no row, no error.
_append = Prepared(
    lambda _names: insert(run_logs).from_select(
        ["run_id", "seq", "line_count", "first_at", "last_at", "byte_count", "lines_json"],
        select(
            runs.c.id,
            _next_seq,
            bindparam("b_line_count", type_=BigInteger),
            bindparam("b_first_at", type_=BigInteger),
            bindparam("b_last_at", type_=BigInteger),
            bindparam("b_byte_count", type_=Integer),
            bindparam("b_lines_json", type_=Text),
        ).where(runs.c.id == bindparam("b_run_id")),
    )
)


def chunks_of(
    run_id: str, lines: Sequence[Mapping[str, JSON]], now: Instant
) -> Iterator[dict[str, Any]]:
    """Yield the parameters of `append` for *lines*; a line without a time gets *now*."""
    texts: list[str] = []
    size = 0
    first_at = last_at = now
    for number, line in enumerate(lines):
        at = _instant(line.get("ts"), now)
        first_at, last_at = (first_at, max(last_at, at)) if texts else (at, at)
        texts.append(_dump(line))
        size += len(texts[-1]) + 1
        if size >= CHUNK_BYTES or number == len(lines) - 1:
            yield {
                "b_run_id": run_id,
                "b_line_count": len(texts),
                "b_first_at": first_at,
                "b_last_at": last_at,
                "b_byte_count": size,
                "b_lines_json": "\n".join(texts),
            }
            texts, size = [], 0


def append(connection: Connection, chunks: Sequence[Mapping[str, Any]]) -> None:
    """Add *chunks* to the ends of their runs' logs."""
    _append.execute(connection, chunks)


def read(
    connection: Connection,
    run_id: str,
    *,
    tail: int | None,
    after_seq: int | None,
    level: str | None,
) -> list[LogLine]:
    """Return lines of a run after *after_seq*, at least of *level*, and of these the last *tail*."""
    query = select(run_logs).where(run_logs.c.run_id == run_id)
    if after_seq is not None:
        query = query.where(run_logs.c.seq + run_logs.c.line_count > after_seq + 1)
    query = query.order_by(run_logs.c.seq if tail is None else run_logs.c.seq.desc())
    threshold = _LEVELS.get(level or "debug", _INFO)
    found: list[LogLine] = []
    rows = connection.execute(query).yield_per(8)
    for row in rows:
        lines = [
            each
            for each in _lines(row)
            if (after_seq is None or each.seq > after_seq) and _rank(each.line) >= threshold
        ]
        if tail is None:
            found += lines
            continue
        found += reversed(lines)
        if len(found) >= tail:
            rows.close()
            break
    return found if tail is None else found[:tail][::-1]


def read_before(
    connection: Connection, run_id: str, wanted: LogSearch, limit: int, budget: QueryBudget
) -> LogPage:
    """Return the last *limit* lines of a run that match *wanted*, as far as *budget* permits."""
    query = select(run_logs).where(run_logs.c.run_id == run_id)
    if wanted.before is not None:
        query = query.where(run_logs.c.seq < wanted.before)
    found: list[LogLine] = []
    rows = connection.execute(query.order_by(run_logs.c.seq.desc())).yield_per(2)
    for row in rows:
        lines = [each for each in _lines(row) if wanted.matches(each)]
        found += reversed(lines)
        is_over = budget.is_over()
        if len(found) > limit or is_over:
            rows.close()
            page = found[:limit][::-1]
            is_full = len(found) >= limit
            first = page[0].seq if is_full else row.seq
            return LogPage(page, first if first > 1 else None, is_full or first <= 1)
    return LogPage(found[::-1])


def read_runs(
    connection: Connection, wanted: RunFilter, *, tail: int, level: str | None
) -> list[LogLine]:
    """Return the last *tail* lines of the runs that *wanted* describes, run after run, oldest first."""
    found: list[list[LogLine]] = []
    missing = tail
    for run_id in _runs_with_lines(connection, wanted):
        lines = read(connection, run_id, tail=missing, after_seq=None, level=level)
        found.append(lines)
        missing -= len(lines)
        if missing <= 0:
            break
    return [line for lines in reversed(found) for line in lines]


def _runs_with_lines(connection: Connection, wanted: RunFilter) -> Iterator[str]:
    """Yield the ids of the runs that have lines, newest first, among the newest `RUNS_LOOKED_AT`."""
    done = 0
    for most in (FIRST_LOOKED_AT, RUNS_LOOKED_AT):  # mostly, the first few are enough
        ids = newest_ids(connection, wanted, most)[done:]
        for start in range(0, len(ids), _IDS_AT_ONCE):
            part = ids[start : start + _IDS_AT_ONCE]
            there = select(run_logs.c.run_id).where(run_logs.c.run_id.in_(part)).distinct()
            having = set(connection.execute(there).scalars())
            yield from (each for each in part if each in having)
        done += len(ids)
        if done < most:
            return


def _lines(row: Any) -> Iterable[LogLine]:
    for offset, text in enumerate(row.lines_json.split("\n")):
        yield LogLine(row.run_id, row.seq + offset, _line(text, row.first_at))


def _line(text: str, at: Instant) -> dict[str, JSON]:
    """Return the line as it was written, or an error line with the text of a damaged one."""
    try:
        line = json.loads(text)
    except ValueError:
        line = None
    if isinstance(line, dict):
        return line
    message = f"the store holds a damaged line: {text}"
    return {"ts": at, "stream": "system", "level": "error", "logger": "luad", "message": message}


def _rank(line: Mapping[str, JSON]) -> int:
    return _LEVELS.get(str(line.get("level", "info")).lower(), _INFO)


def _dump(line: Mapping[str, JSON]) -> str:
    """Return *line* as one line of JSON; it succeeds for every content."""
    try:
        return _encode(line if type(line) is dict else dict(line))
    except (ValueError, TypeError):
        plain = {str(key): str(value) for key, value in line.items()}
        return json.dumps(plain, separators=(",", ":"))


def _instant(value: JSON, now: Instant) -> Instant:
    """Return the instant of *value*, in milliseconds or RFC 3339; *now* for other values."""
    if isinstance(value, int) and not isinstance(value, bool):
        return to_int(value)
    if isinstance(value, str):
        try:
            at = datetime.fromisoformat(value)
        except ValueError:
            return now
        return int((at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp() * 1000)
    return now
