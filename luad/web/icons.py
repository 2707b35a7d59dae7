"""The icons and the mark of the pages, as SVG.

Rule: an icon always stands beside a word; it never says something alone.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Final

from markupsafe import Markup

if TYPE_CHECKING:
    from collections.abc import Mapping

_SHAPES: Final[Mapping[str, str]] = {
    "ok": '<path d="M3.4 8.6 6.5 11.6 12.6 4.6"/>',
    "failed": (
        '<path d="M5.3 1.7h5.4l3.6 3.6v5.4l-3.6 3.6H5.3l-3.6-3.6V5.3z" fill="currentColor" stroke="none"/>'
        '<path d="M5.7 5.7l4.6 4.6M10.3 5.7l-4.6 4.6" class="i-cut"/>'
    ),
    "running": '<path d="M4.4 2.7 13.2 8l-8.8 5.3z" fill="currentColor"/>',
    "paused": '<path d="M5.4 3.4v9.2M10.6 3.4v9.2" stroke-width="2.2"/>',
    "slow": '<circle cx="8" cy="8" r="6"/><path d="M8 4.5V8l2.5 1.7"/>',
    "warn": '<path d="M8 2l6.4 11.5H1.6z"/><path d="M8 6.3v3.3M8 11.4v.1"/>',
    "mail": '<path d="M1.8 3.6h12.4v8.8H1.8zM2.1 4.1 8 8.7l5.9-4.6"/>',
    "never": '<circle cx="8" cy="8" r="5.6" stroke-dasharray="2.3 2.4"/>',
    "skipped": '<path d="M3 4.1 6.9 8 3 11.9M9 4.1 12.9 8 9 11.9"/>',
    "waiting": '<circle cx="8" cy="8" r="5.6"/>',
    "play": '<path d="M5 3.1 12.5 8 5 12.9z"/>',
    "pause": '<path d="M5.4 3.4v9.2M10.6 3.4v9.2"/>',
    "theme": (
        '<circle cx="8" cy="8" r="6"/>'
        '<path d="M8 2a6 6 0 0 1 0 12z" fill="currentColor" stroke="none"/>'
    ),
    "x": '<path d="M4 4l8 8M12 4l-8 8"/>',
    "down": '<path d="M4 6.1 8 10l4-3.9"/>',
    "link": '<path d="M6.6 9.4 9.4 6.6M7.2 4.4 8.4 3.2a3 3 0 0 1 4.4 4.4L11.6 8.8M8.8 11.6 7.6 12.8a3 3 0 0 1-4.4-4.4L4.4 7.2"/>',
}
_LETTERS: Final = (
    '<path d="M23 3v15M29 8.5v5a4.4 4.4 0 0 0 8.8 0v-5M37.8 13.5V18M53.6 8.5V18M53.6 13.25a4.75 4.75 0 1 1-9.5 0'
    ' 4.75 4.75 0 0 1 9.5 0M69.5 3v15M69.5 13.25a4.75 4.75 0 1 1-9.5 0 4.75 4.75 0 0 1 9.5 0"/>'
)
_MOON: Final = '<circle class="dot" cx="8" cy="12" r="7" stroke="none"/>'
_SHADE: Final[Mapping[str, str]] = {
    "calm": '<circle class="i-page" cx="10.8" cy="9.6" r="5.6" stroke="none"/>',
    "failing": '<path class="i-page" d="M8 12 4.8 3.8h6.4z" stroke="none"/>',
}


@cache
def sprite() -> Markup:
    """Return all icons as symbols, once a page."""
    symbols = "".join(
        f'<symbol id="i-{name}" viewBox="0 0 16 16">{shape}</symbol>'
        for name, shape in _SHAPES.items()
    )
    return Markup(f'<svg class="sprite" aria-hidden="true">{symbols}</svg>')  # noqa: S704 - constant


def icon(name: str) -> Markup:
    """Return an icon by its name."""
    assert name in _SHAPES, name
    return Markup('<svg class="i" aria-hidden="true"><use href="#i-{}"/></svg>').format(name)


@cache
def logo(state: str) -> Markup:
    """Return the mark: a crescent when all is well, a full notched moon when a job is failing."""
    return Markup(  # noqa: S704 - constant
        '<svg class="logo" viewBox="0 0 74 22" fill="none" stroke="currentColor" stroke-width="2.3"'
        f' stroke-linecap="round" aria-hidden="true">{_MOON}{_SHADE[state]}{_LETTERS}</svg>'
    )
