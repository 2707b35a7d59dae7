"""The post office: writes messages down, has them carried, and writes down what became of them.

Room rule: a message is a row before anything is sent. What cannot be carried is an outcome, never an
exception; only a message to nobody, or by a channel that there is not, is refused.
"""

from __future__ import annotations

import asyncio
import difflib
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Final, Protocol

from luad.config.messages import plain_text
from luad.core.events import Log
from luad.core.people import Channel, ChannelKind, Delivery, DeliveryState, Message, Person
from luad.errors import NotFoundError, StoreUnavailableError

if TYPE_CHECKING:
    from luad.api.service import People
    from luad.clock import Clock
    from luad.messenger.sender import Outcome
    from luad.store import Store

ALERT_DELAYS_S: Final = (5.0, 30.0, 120.0)
"""Between the attempts to deliver an alert: nobody else tries again."""


class Carrier(Protocol):
    """What carries messages to services."""

    async def deliver(self, message: Message, channel: Channel) -> Outcome:
        """Send *message* by *channel*, and say what became of it within its time limit."""
        ...


class PostOffice:
    """Implements `luad.api.service.Post`. *on_outcome* gets channel and state of every delivery."""

    def __init__(
        self,
        store: Store,
        people: People,
        carrier: Carrier,
        clock: Clock,
        log: Callable[[Log], None],
        on_outcome: Callable[[str, str], None] = lambda _channel, _state: None,
    ) -> None:
        self._store = store
        self._people = people
        self._carrier = carrier
        self._clock = clock
        self._log = log
        self._on_outcome = on_outcome

    async def start(self) -> None:
        """Take up what an earlier daemon has left: half-sent messages, and alerts nobody has sent."""
        count = await self._store.mail.settle(self._clock.now().wall)
        if count:
            self._log(Log("message.interrupted", {"count": count}, "warning"))
        for message in await self._store.mail.undelivered():
            await self.deliver(message)

    async def send(self, messages: Sequence[Message]) -> Sequence[Delivery]:
        """Store *messages*, try every channel of theirs once, and return what became of each."""
        person = self._people.get(messages[0].user)
        if person is None:
            raise NotFoundError(f"no user `{messages[0].user}`", hint="luad users lists them")
        channels = {message.id: _channels(person, message) for message in messages}
        names = {key: [each.name for each in found] for key, found in channels.items()}
        begun = await self._store.mail.begin(messages, names, self._clock.now().wall)
        by_channel: dict[str, list[tuple[Delivery, Message]]] = {}
        of_id = {message.id: message for message in messages}
        for delivery in begun:
            pair = (delivery, of_id[delivery.message_id])
            by_channel.setdefault(delivery.channel, []).append(pair)
        known = {each.name: each for found in channels.values() for each in found}
        done = await asyncio.gather(
            *(self._carry_all(known[name], pairs) for name, pairs in by_channel.items())
        )
        ended = [delivery for part in done for delivery in part]
        await self._store.mail.end(
            [each for each in ended if each.state is not DeliveryState.REPEATED]
        )
        for delivery in ended:
            kind = known[delivery.channel].kind.value
            self._on_outcome(kind, delivery.state.value)
            self._tell(delivery, of_id[delivery.message_id])
        order = {message.id: number for number, message in enumerate(messages)}
        return sorted(ended, key=lambda each: order[each.message_id])

    async def _carry_all(
        self, channel: Channel, pairs: Sequence[tuple[Delivery, Message]]
    ) -> list[Delivery]:
        """Carry messages by one channel, in their order."""
        return [
            delivery
            if delivery.state is DeliveryState.REPEATED
            else await self._carry(channel, delivery, message)
            for delivery, message in pairs
        ]

    async def _carry(self, channel: Channel, delivery: Delivery, message: Message) -> Delivery:
        match channel.kind:
            case ChannelKind.INBOX:
                error, answer, is_degraded = "", "", False  # the row is the message
            case ChannelKind.LOG:
                self._log(_line(message))
                error, answer, is_degraded = "", "", False
            case _:
                outcome = await self._carrier.deliver(message, channel)
                error, answer = outcome.error, outcome.answer
                is_degraded = outcome.is_degraded
        state = DeliveryState.FAILED if error else DeliveryState.DELIVERED
        return replace(
            delivery,
            state=state,
            ended_at=self._clock.now().wall,
            error=error,
            answer=answer,
            is_degraded=is_degraded,
        )

    def _tell(self, delivery: Delivery, message: Message) -> None:
        fields = {
            "message_id": message.id,
            "user": message.user,
            "channel": delivery.channel,
            "job": message.job_name,
            "run_id": message.run_id,
        }
        if delivery.error:
            fields["error"] = delivery.error
        match delivery.state:
            case DeliveryState.FAILED:
                self._log(Log("message.failed", fields, "warning"))
            case DeliveryState.REPEATED:
                self._log(Log("message.repeated", fields))
            case _:
                self._log(Log("message.delivered", fields))

    # --- alerts ---

    async def deliver(self, message: Message) -> None:
        """Bring an alert to somebody, with some patience; what becomes of it stands in the log."""
        try:
            deliveries = await self.send([message])
            for delay_s in ALERT_DELAYS_S:
                if any(each.state is not DeliveryState.FAILED for each in deliveries):
                    return
                await asyncio.sleep(delay_s)
                again = await self._again(message, deliveries)
                deliveries = again
        except (NotFoundError, StoreUnavailableError) as error:
            fields = {"message_id": message.id, "user": message.user, "error": error.message}
            self._log(Log("message.undeliverable", fields, "error"))

    async def _again(self, message: Message, failed: Sequence[Delivery]) -> list[Delivery]:
        person = self._people.get(message.user)
        known = {each.name: each for each in person.channels} if person else {}
        ended = [
            await self._carry(known[each.channel], each, message)
            for each in failed
            if each.channel in known
        ]
        await self._store.mail.end(ended)
        for delivery in ended:
            self._tell(delivery, message)
        return ended


def _channels(person: Person, message: Message) -> list[Channel]:
    if message.channels is None:
        return list(person.channels)
    known = {each.name: each for each in person.channels}
    for name in message.channels:
        if name not in known:
            near = tuple(difflib.get_close_matches(name, known))
            raise NotFoundError(
                f"{person.id} has no channel `{name}`",
                hint="there are " + ", ".join(known),
                suggestions=near,
            )
    return [known[name] for name in message.channels]


def _line(message: Message) -> Log:
    fields = {
        "user": message.user,
        "title": message.title,
        "text": plain_text(message.parts),
        "job": message.job_name,
        "run_id": message.run_id,
    }
    return Log("message", {key: each for key, each in fields.items() if each})
