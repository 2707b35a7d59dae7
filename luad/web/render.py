"""Templates to HTML, in a thread, and the files that pages load.

Rule: a page holds no style and no script of its own; the policy forbids them.
"""

from __future__ import annotations

import asyncio
import hashlib
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from starlette.responses import HTMLResponse, Response

from luad.web import ansi, drawing, icons, times

if TYPE_CHECKING:
    from collections.abc import Mapping

HERE: Final = Path(__file__).parent
STATIC: Final = HERE / "static"
_KINDS: Final = {".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}

POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
)
HEADERS: Final[Mapping[str, str]] = {
    "content-security-policy": POLICY,
    "referrer-policy": "same-origin",
    "x-content-type-options": "nosniff",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "cache-control": "no-store",
}
_FOREVER: Final = "public, max-age=31536000, immutable"


@cache
def assets() -> Mapping[str, tuple[str, bytes, str]]:
    """Return the static files by the name that a page asks for: media type, content and plain name."""
    found = {}
    for path in sorted(STATIC.iterdir()):
        if path.suffix in _KINDS:
            data = path.read_bytes()
            digest = hashlib.sha256(data).hexdigest()[:12]
            found[f"{path.stem}.{digest}{path.suffix}"] = (_KINDS[path.suffix], data, path.name)
    return found


@cache
def _hashed_names() -> Mapping[str, str]:
    return {plain: name for name, (_, _, plain) in assets().items()}


def asset_url(name: str) -> str:
    """Return the path of a static file; it changes with the content."""
    return f"/static/{_hashed_names()[name]}"


def asset(name: str) -> Response | None:
    """Return a static file; None for an unknown name."""
    found = assets().get(name)
    if found is None:
        return None
    kind, data, _ = found
    headers = {**HEADERS, "cache-control": _FOREVER}
    return Response(data, headers=headers, media_type=kind)


@cache
def environment() -> Environment:
    """Return the templates."""
    found = Environment(
        loader=FileSystemLoader(HERE / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
    )
    found.globals |= {
        "icon": icons.icon,
        "sprite": icons.sprite,
        "logo": icons.logo,
        "asset": asset_url,
        "strip": drawing.strip,
        "chart": drawing.chart,
        "meter": drawing.meter,
        "spark": drawing.spark,
        "attempts": drawing.attempts,
        "coloured": ansi.coloured,
        "count": times.count,
        "duration": times.duration,
        "duration_ms": times.duration_ms,
        "shown": times.shown,
    }
    return found


def render(template: str, values: Mapping[str, Any]) -> str:
    """Return the HTML of a page."""
    return environment().get_template(template).render(values)


async def page(
    template: str,
    values: Mapping[str, Any],
    status: int = 200,
    headers: Mapping[str, str] | None = None,
) -> Response:
    """Return a page; it is rendered in a thread, so that the loop goes on."""
    text = await asyncio.to_thread(render, template, values)
    return HTMLResponse(text, status, {**HEADERS, **(headers or {})})
