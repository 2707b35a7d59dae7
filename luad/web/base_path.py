"""Pages below a path of a proxy: the addresses in an answer get the path in front.

Rule: inside luad every path begins at the root. A text of a user cannot look like an attribute here, because
templates escape the quote.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from starlette.responses import HTMLResponse

if TYPE_CHECKING:
    from starlette.responses import Response

_ADDRESS: Final = re.compile(rb'( (?:href|src|action|formaction|data-base|data-offline)=")/(?!/)')


def below(base: str, answer: Response) -> Response:
    """Return *answer* with *base* in front of each address of this server that it holds."""
    if not base:
        return answer
    location = answer.headers.get("location", "")
    if location.startswith("/"):
        answer.headers["location"] = base + location
    if isinstance(answer, HTMLResponse):
        answer.body = _ADDRESS.sub(rb"\g<1>" + base.encode() + b"/", bytes(answer.body))
        answer.headers["content-length"] = str(len(answer.body))
    return answer
