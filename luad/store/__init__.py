"""The store: claims, runs, their logs, and the state that start-up needs.

Rule: the only package with SQL; each public method is one transaction.
"""

from luad.store.query_types import (
    Attempt,
    LogLine,
    Pruned,
    RecentRun,
    Revision,
    RunFilter,
    RunRow,
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
]
