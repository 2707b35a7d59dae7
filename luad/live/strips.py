"""The strip of a job: its last rows in a compact text, which becomes JSON when somebody asks.

Rule: pure functions. A row is written up to three times in its life, and most strips are never looked at, so a change
must be cheap.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from luad.core.lifecycle import NEVER_RAN
from luad.json_text import encode_text

if TYPE_CHECKING:
    from collections.abc import Sequence

    from luad.core.model import Reason, RunState

STRIP: Final = 20
"""The number of rows in a strip."""

_BETWEEN_CELLS: Final = "\n"
_BETWEEN_FIELDS: Final = "\t"


def cell(run_id: str, state: RunState, took_ms: int | None, reason: Reason | None = None) -> str:
    """Return one row of a strip; a skipped or missed row has its *reason*."""
    why = reason if reason is not None and state in NEVER_RAN else ""
    return f"{run_id}\t{state}\t{'' if took_ms is None else took_ms}\t{why}"


def put(strip: str, new: str, *, is_older: bool = False) -> str:
    """Return *strip* with the cell *new* at the place of its id, without the oldest row if it is full.

    It replaces the cell of the same row, unless *is_older*. Ids sort by time, so the place is nearly always the end.
    """
    if not strip:
        return new
    last = strip.rfind(_BETWEEN_CELLS) + 1
    head = new[: new.index(_BETWEEN_FIELDS) + 1]
    if strip.startswith(head, last):
        return strip if is_older else strip[:last] + new
    if strip[last:] < new:  # the cells are in order, so no other one is of the same row
        return _bounded(f"{strip}{_BETWEEN_CELLS}{new}")
    cells = {each.partition(_BETWEEN_FIELDS)[0]: each for each in strip.split(_BETWEEN_CELLS)}
    if is_older:
        cells.setdefault(head[:-1], new)
    else:
        cells[head[:-1]] = new
    return _bounded(_BETWEEN_CELLS.join(cells[each] for each in sorted(cells)))


def join(cells: Sequence[str]) -> str:
    """Return the strip of *cells*, which are in the order of their ids."""
    return _BETWEEN_CELLS.join(cells)


def _bounded(strip: str) -> str:
    return (
        strip[strip.index(_BETWEEN_CELLS) + 1 :] if strip.count(_BETWEEN_CELLS) >= STRIP else strip
    )


def render(strip: str) -> str:
    """Return *strip* as JSON objects joined by commas, oldest first."""
    return ",".join(map(_object, strip.split(_BETWEEN_CELLS))) if strip else ""


def _object(text: str) -> str:
    run_id, state, took, reason = text.split(_BETWEEN_FIELDS)
    why = f',"reason":"{reason}"' if reason else ""
    return f'{{"id":{encode_text(run_id)},"status":"{state}","duration_ms":{took or "null"}{why}}}'
