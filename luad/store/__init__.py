"""luad's memory: claims, runs, their logs, and what start-up must know.

Rule: the only room that says SQL; every public method is one transaction.
"""

from luad.store.query_types import (
    Attempt,
    LogLine,
    Pruned,
    RecentRun,
    Revision,
    RunFilter,
    RunRow,
    StoreStats,
)
from luad.store.sqlite.faults import StoreCorruptError, StoreReplacedError
from luad.store.store import Store

__all__ = [
    "Attempt",
    "LogLine",
    "Pruned",
    "RecentRun",
    "Revision",
    "RunFilter",
    "RunRow",
    "Store",
    "StoreCorruptError",
    "StoreReplacedError",
    "StoreStats",
]
