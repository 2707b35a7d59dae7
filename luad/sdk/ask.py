"""The requests that the methods of the SDK make, as values.

Rule: cheap to import, because every handler's process pays for it.
"""

from __future__ import annotations

TYPE_CHECKING = False  # `typing` costs 9 ms, which every handler's process would pay
if TYPE_CHECKING:
    from collections.abc import Generator, Mapping
    from typing import Any, TypeAlias, TypeVar

    T = TypeVar("T")
    Steps: TypeAlias = Generator["Ask", Any, T]
    """The body of a method: it yields requests, gets their answers, and returns a value."""

MERGE_PATCH = "application/merge-patch+json"


class Ask:
    """One request: *path* is below ``/v1``."""

    __slots__ = ("body", "headers", "method", "path", "query")

    def __init__(
        self,
        method: str,
        path: str,
        body: object = None,
        *,
        query: Mapping[str, object] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        self.method = method
        self.path = path
        self.body = body
        self.query = query
        self.headers = headers
