"""The stand-in for the daemon in `luad test`: it answers the SDK and records the requests.

Rule: the first request creates it, so that a handler without requests stays fast.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from luad.core.model import Origin, Wanted
from luad.sdk.ask import Ask

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from luad.api.service import DynamicRules
    from luad.core.messaging import User
    from luad.core.model import Instant, Job
    from luad.daemon.delivery import MessageSender
    from luad.json_text import JsonObject
    from luad.testing.host import Host


@dataclass(frozen=True, slots=True)
class RehearsalEffects:
    """The messages, created jobs and metadata of one rehearsal."""

    sent: list[JsonObject]
    created: list[JsonObject]
    metadata: JsonObject


class StandIn:
    """The link of the SDK in one rehearsal of *job*.

    *sender* sends messages; without one they are only recorded. *rules* say which dynamic jobs are allowed.
    """

    def __init__(
        self,
        job: Job,
        users: Sequence[User],
        now: Instant,
        sender: MessageSender | None,
        rules: DynamicRules,
    ) -> None:
        self._job = job
        self._users = users
        self._now = now
        self._sender = sender
        self._rules = rules
        self._host: Host | None = None

    def call(self, ask: Ask) -> Any:
        """Return the answer to a request of the handler."""
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
                sender=self._sender,
                is_idle=True,
                dynamic=self._rules,
            )
        return self._host

    # --- after the call ---

    def effects(self) -> RehearsalEffects:
        """Return the recorded messages, created jobs and metadata."""
        return RehearsalEffects(self._sent(), self._created(), dict(self._metadata()))

    def _sent(self) -> list[dict[str, object]]:
        """Return the messages with their deliveries, oldest first."""
        if self._host is None:
            return []
        from luad.api.json.views import message_view

        return [message_view(*each) for each in self._host.messages()]

    def _created(self) -> list[dict[str, object]]:
        """Return the jobs that the handler has created."""
        if self._host is None:
            return []
        query = {"include_dynamic": True, "source": "api"}
        jobs: list[dict[str, object]] = self._host.ask(Ask("GET", "/jobs", query=query))["jobs"]
        return jobs

    def _metadata(self) -> Mapping[str, object]:
        """Return the job's metadata as they are now."""
        if self._host is None:
            return dict(self._job.metadata)
        found: dict[str, object] = self._host.ask(Ask("GET", f"/jobs/{self._job.name}/metadata"))
        return found

    def close(self) -> None:
        """Discard the recorded state."""
        if self._host is not None:
            self._host.close()


class RealSender:
    """Sends messages to their services, one after the other."""

    def __init__(self, *, allow_private: bool, permit_insecure: bool) -> None:
        from luad.messenger.sender import Sender

        self._sender = Sender(allow_private=allow_private, permit_insecure=permit_insecure)

    async def deliver(self, message: Any, channel: Any) -> Any:
        """Return the outcome of one delivery."""
        return await self._sender.deliver(message, channel)
