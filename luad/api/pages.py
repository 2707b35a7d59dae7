"""The contract between the API and the pages for browsers.

Rule: a contract; the API knows no page.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence

    from starlette.responses import Response
    from starlette.types import Scope

    from luad.api.http.api_problems import ApiError
    from luad.api.routes.endpoint import Endpoint


class Pages(Protocol):
    """The pages of one server."""

    @property
    def rows(self) -> Sequence[Endpoint]:
        """The paths that the pages and their forms have."""
        ...

    async def refusal(self, error: ApiError, scope: Scope) -> Response | None:
        """Return the answer to a browser whose request has failed; None for other clients."""
        ...
