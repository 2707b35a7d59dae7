"""The rows that a server answers, and which of them a request is for.

Rule: a request without a row needs the most powerful role unless it only reads.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from starlette.routing import compile_path

from luad.api.auth.roles import ADMINS, VIEWERS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from luad.api.auth.roles import Role
    from luad.api.routes.endpoint import Endpoint

_READS: Final = frozenset({"GET", "HEAD"})


class Rows:
    """The endpoints of one server."""

    def __init__(self, rows: Sequence[Endpoint]) -> None:
        self.rows: Final = tuple(rows)
        self.open_paths: Final = frozenset(
            path for row in self.rows if row.is_public for path in row.paths
        )
        self._patterns = [(compile_path(path)[0], row) for row in self.rows for path in row.paths]

    def at(self, path: str) -> list[Endpoint]:
        """Return the rows of all methods of *path*."""
        return [row for pattern, row in self._patterns if pattern.match(path)]

    def find(self, method: str, path: str) -> Endpoint | None:
        """Return the row that answers a request; None without one."""
        for row in self.at(path):
            if row.method == method or (row.method == "GET" and method == "HEAD"):
                return row
        return None

    def roles_for(self, method: str, path: str) -> frozenset[Role] | None:
        """Return the roles that may send a request; None for a public path."""
        row = self.find(method, path)
        if row is not None:
            return None if row.is_public else row.roles
        if path in self.open_paths:
            return None
        return VIEWERS if method in _READS else ADMINS
