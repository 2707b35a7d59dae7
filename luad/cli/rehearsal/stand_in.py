"""What `luad test` puts in luad's place: it takes what the handler asks for, and remembers it.

Room rule: made on the first request; a handler that asks for nothing does not pay for it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from luad.core.model import Origin, Wanted
from luad.sdk.ask import Ask

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from luad.api.service import DynamicRules
    from luad.core.messaging import User
    from luad.core.model import Instant, Job
    from luad.daemon.delivery import Carrier
    from luad.testing.host import Host


class Stand:
    """A luad for one rehearsal of *job*, with *users*; the SDK's link. *carrier* sends messages, or
    pretends to. *rules* say which jobs may be made at run time."""

    def __init__(
        self,
        job: Job,
        users: Sequence[User],
        now: Instant,
        carrier: Carrier | None,
        rules: DynamicRules,
    ) -> None:
        self._job = job
        self._users = users
        self._now = now
        self._carrier = carrier
        self._rules = rules
        self._host: Host | None = None

    def call(self, ask: Ask) -> Any:
        """Answer a request of the handler."""
        return self._there().ask(ask)

    def _there(self) -> Host:
        if self._host is None:
            from luad.testing.host import Host

            definitions = [dict(each.definition) for each in self._users]
            wanted = {self._job.name: Wanted(self._job, Origin("the command line"))}
            self._host = Host(
                self._now,
                people=definitions,
                wanted=wanted,
                carrier=self._carrier,
                is_idle=True,
                dynamic=self._rules,
            )
        return self._host

    # --- afterwards ---

    def sent(self) -> list[dict[str, Any]]:
        """The messages, oldest first, each with what became of it."""
        if self._host is None:
            return []
        from luad.api.json.views import message_view

        return [message_view(*each) for each in self._host.messages()]

    def created(self) -> list[dict[str, Any]]:
        """The jobs that the handler has made."""
        if self._host is None:
            return []
        query = {"include_dynamic": True, "source": "api"}
        jobs: list[dict[str, Any]] = self._host.ask(Ask("GET", "/jobs", query=query))["jobs"]
        return jobs

    def metadata(self) -> Mapping[str, Any]:
        """The job's metadata as they are now."""
        if self._host is None:
            return dict(self._job.metadata)
        found: dict[str, Any] = self._host.ask(Ask("GET", f"/jobs/{self._job.name}/metadata"))
        return found

    def close(self) -> None:
        """Forget everything."""
        if self._host is not None:
            self._host.close()


class RealCarrier:
    """Sends for real, by luad's own sender, one message after the other."""

    def __init__(self, *, allow_private: bool, permit_insecure: bool) -> None:
        from luad.messenger.sender import Sender

        self._sender = Sender(allow_private=allow_private, permit_insecure=permit_insecure)

    async def deliver(self, message: Any, channel: Any) -> Any:
        """Send a message."""
        return await self._sender.deliver(message, channel)
