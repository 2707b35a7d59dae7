"""The SDK's link in a shared process: each request names the run that makes it.

Rule: the run is that of the context; the environment names none.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from luad.sdk.ask import Ask
from luad.sdk.link import ClientLink
from luad.sdk.running import running_job

if TYPE_CHECKING:
    from luad.sdk.link import Link


class RunLink:
    """Sends requests with the id of the current run; connects at the first one."""

    def __init__(self) -> None:
        self._link: Link | None = None

    def call(self, ask: Ask) -> Any:
        """Return the JSON of the answer."""
        if self._link is None:
            self._link = ClientLink()
        job = running_job()
        if job is None or not job.run_id:
            return self._link.call(ask)
        headers = {"Luad-Run": job.run_id, **(ask.headers or {})}
        named = Ask(ask.method, ask.path, ask.body, query=ask.query, headers=headers)
        return self._link.call(named)
