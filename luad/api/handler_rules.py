"""The checks of the handler that a request names in a job, or starts.

Rule: the settings decide; a check only refuses.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from luad.api.http.api_problems import ApiError, did_you_mean, echo
from luad.config.yaml.text import one_line

if TYPE_CHECKING:
    from luad.api.service import DynamicRules
    from luad.live.job_state import JobStateView


def keep_handler(rules: DynamicRules, handler: str) -> None:
    """Refuse a handler that a job made at run time may not have. Raises `ApiError`."""
    refusal = rules.refusal(handler)
    if refusal is None:
        return
    allowed = ", ".join(rules.handlers)
    slip = did_you_mean(rules.handlers_like(handler))
    if not slip and ":" not in handler:
        slip = "write  module:function"
    raise ApiError(
        "handler_not_allowed",
        f"jobs made at run time may not name the handler {echo(handler)}: {one_line(refusal.reason)}",
        hint=f"{slip}{'  ' if slip else ''}allowed are: {allowed}; "
        "more by dynamic.handlers in luad.yaml",
    )


def keep_paused(rules: DynamicRules, state: JobStateView) -> None:
    """Refuse to start or to resume a job made at run time whose handler is not allowed any more."""
    if state.is_dynamic:
        keep_handler(rules, state.job.handler)
