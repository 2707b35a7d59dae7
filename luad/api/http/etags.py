"""Entity tags (ETags): made for an answer, and compared with those that a client sends.

The tag of a job has two halves: the version of its definition and metadata, and a digest of everything
else in the answer. ``If-Match`` compares only the first: the end of a run is not a lost update.

Rule: pure; tags are opaque to clients, and both halves are made here.
"""

from __future__ import annotations

from hashlib import blake2b
from typing import TYPE_CHECKING, Final

from starlette.responses import Response

if TYPE_CHECKING:
    from starlette.requests import Request

_BETWEEN: Final = "."


def tag_of(version: str) -> str:
    """Return the tag of a value with a *version*."""
    return f'"{version}"'


def tag_of_job(version: str, shown: str) -> str:
    """Return the tag of a job of which *shown* is the JSON text without the seconds until it is due."""
    digest = blake2b(shown.encode("utf-8", "surrogatepass"), digest_size=6).hexdigest()
    return f'"{version}{_BETWEEN}{digest}"'


def not_modified(request: Request, tag: str) -> Response | None:
    """Return the 304 answer for a client that has the version of *tag*; None for others."""
    text = request.headers.get("if-none-match")
    if text is None or (text.strip() != "*" and tag.strip('"') not in _tags(text)):
        return None
    return Response(status_code=304, headers={"etag": tag})


def if_match(request: Request, current: str = "") -> str | None:
    """Return the version that the client wants to change; None for any version.

    Of several the *current* one, if it is among them.
    """
    text = request.headers.get("if-match")
    if text is None or text.strip() == "*":
        return None
    versions = [each.partition(_BETWEEN)[0] for each in _tags(text)]
    return current if current in versions else versions[0]


def _tags(text: str) -> list[str]:
    return [each.strip().removeprefix("W/").strip('"') for each in text.split(",")]
