"""Delivers messages: stores them, sends them through their channels, and stores the outcomes.

Rule: a message is a row before anything is sent. A failed delivery is an outcome, never an exception; only an
unknown user or channel raises an exception.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Final, Protocol, assert_never

from luad.config.users.message_bodies import plain_text
from luad.core.events import Log
from luad.core.messaging import Channel, ChannelKind, Delivery, DeliveryState, Message, User
from luad.errors import NotFoundError, StoreUnavailableError
from luad.suggestions import close_to

if TYPE_CHECKING:
    from luad.api.service import Users
    from luad.clock import Clock
    from luad.messenger.sender import Outcome
    from luad.store import Store

ALERT_DELAYS_S: Final = (5.0, 30.0, 120.0)
"""The pauses between the attempts to deliver an alert. Senders of other messages try again themselves."""

NOT_TRIED: Final = "not tried: the message before it got no answer"

_INBOX: Final = Channel("inbox", ChannelKind.INBOX)


class MessageSender(Protocol):
    """Sends messages to services."""

    async def deliver(self, message: Message, channel: Channel) -> Outcome:
        """Send *message* through *channel*; return the outcome within the channel's time limit."""
        ...


class MessageDelivery:
    """Implements `luad.api.service.MessageService`.

    *on_outcome* gets the kind of channel, the delivery and its message. *sleep* waits between
    attempts to deliver an alert.
    """

    def __init__(
        self,
        store: Store,
        users: Users,
        sender: MessageSender,
        clock: Clock,
        log: Callable[[Log], None],
        on_outcome: Callable[[str, Delivery, Message], None] = lambda *_: None,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._store = store
        self._users = users
        self._sender = sender
        self._clock = clock
        self._log = log
        self._on_outcome = on_outcome
        self._sleep = sleep
        self._alerts: set[str] = set()  # ids of the alerts that are being delivered

    async def start(self) -> None:
        """Fail the deliveries that the previous daemon left half-done, and send its unsent alerts."""
        count = await self._store.messages.fail_interrupted(self._clock.now().wall)
        if count:
            self._log(Log("message.interrupted", {"count": count}, "warning"))
        waiting = await self._store.messages.undelivered()
        await asyncio.gather(*(self._take_up(message) for message in waiting))

    async def _take_up(self, message: Message) -> None:
        """Deliver an alert of the previous daemon, and fail its deliveries through removed channels.

        Otherwise the alert would be retried at every start. The alert of an unknown user is kept:
        the user's file may only be broken.
        """
        await self.deliver(message)
        user = self._users.get(message.user)
        if user is None:
            return
        there = [each.name for each in user.channels]
        now = self._clock.now().wall
        with suppress(StoreUnavailableError):
            for delivery in await self._store.messages.fail_removed_channels(
                message.id, there, now
            ):
                self._log(Log("message.failed", _fields(message, delivery), "warning"))

    async def send(self, messages: Sequence[Message]) -> Sequence[Delivery]:
        """Store *messages*, try each of their channels once, and return the deliveries."""
        user = self._users.get(messages[0].user)
        if user is None:
            near = close_to(messages[0].user, self._users.ids_near(messages[0].user))
            hint = f"did you mean `{near[0]}`?" if near else "luad users lists them"
            raise NotFoundError(f"no user `{messages[0].user}`", hint=hint, suggestions=near)
        channels = {message.id: _channels(user, message) for message in messages}
        names = {key: [each.name for each in found] for key, found in channels.items()}
        begun = await self._store.messages.begin(messages, names, self._clock.now().wall)
        by_channel: dict[str, list[tuple[Delivery, Message]]] = {}
        of_id = {message.id: message for message in messages}
        for delivery in begun:
            pair = (delivery, of_id[delivery.message_id])
            by_channel.setdefault(delivery.channel, []).append(pair)
        known = {each.name: each for found in channels.values() for each in found}
        done = await asyncio.gather(
            *(self._send_all(known[name], pairs) for name, pairs in by_channel.items())
        )
        ended = [delivery for part in done for delivery in part]
        await self._store.messages.end(
            [each for each in ended if each.state is not DeliveryState.REPEATED]
        )
        for delivery in ended:
            self._report(known[delivery.channel], delivery, of_id[delivery.message_id])
        order = {message.id: number for number, message in enumerate(messages)}
        return sorted(ended, key=lambda each: order[each.message_id])

    async def _send_all(
        self, channel: Channel, pairs: Sequence[tuple[Delivery, Message]]
    ) -> list[Delivery]:
        """Send messages through one channel in order, until one of them gets no answer.

        The others are then not tried, so that the whole takes little longer than one time-out.
        """
        ended: list[Delivery] = []
        is_silent = False
        for delivery, message in pairs:
            if delivery.state is DeliveryState.REPEATED:
                ended.append(delivery)
            elif is_silent:
                ended.append(self._ended(delivery, NOT_TRIED))
            else:
                sent, is_silent = await self._send(channel, delivery, message)
                ended.append(sent)
        return ended

    async def _send(
        self, channel: Channel, delivery: Delivery, message: Message
    ) -> tuple[Delivery, bool]:
        """Send one message; return its delivery, and whether the service gave no answer."""
        match channel.kind:
            case ChannelKind.INBOX:
                return self._ended(delivery), False  # the row is the message
            case ChannelKind.LOG:
                self._log(_line(message))
                return self._ended(delivery), False
            case ChannelKind.WEBHOOK | ChannelKind.APPRISE:
                outcome = await self._sender.deliver(message, channel)
                ended = self._ended(delivery, outcome.error)
                answered = replace(ended, answer=outcome.answer, is_degraded=outcome.is_degraded)
                return answered, outcome.is_silent
            case _ as unreachable:
                assert_never(unreachable)

    def _ended(self, delivery: Delivery, error: str = "") -> Delivery:
        state = DeliveryState.FAILED if error else DeliveryState.DELIVERED
        return replace(delivery, state=state, ended_at=self._clock.now().wall, error=error)

    def _report(self, channel: Channel, delivery: Delivery, message: Message) -> None:
        self._on_outcome(channel.kind.value, delivery, message)
        fields = _fields(message, delivery)
        match delivery.state:
            case DeliveryState.FAILED:
                self._log(Log("message.failed", fields, "warning"))
            case DeliveryState.REPEATED:
                self._log(Log("message.repeated", fields))
            case _:
                self._log(Log("message.delivered", fields))

    # --- alerts ---

    async def deliver(self, message: Message) -> None:
        """Send an alert, and retry the channels that failed; the log shows the outcome."""
        if message.id in self._alerts:
            return  # at the start, an alert posted a moment ago is also found undelivered
        self._alerts.add(message.id)
        try:
            failed = _failed(await self.send([message]))
            for delay_s in ALERT_DELAYS_S:
                if not failed:
                    return
                await self._sleep(delay_s)
                failed = _failed(await self._again(message, failed))
        except (NotFoundError, StoreUnavailableError) as error:
            fields = {"message_id": message.id, "user": message.user, "error": error.message}
            self._log(Log("message.undeliverable", fields, "error"))
        finally:
            self._alerts.discard(message.id)

    async def _again(self, message: Message, failed: Sequence[Delivery]) -> list[Delivery]:
        user = self._users.get(message.user)
        known = {each.name: each for each in user.channels} if user else {}
        pairs = [(known[each.channel], each) for each in failed if each.channel in known]
        sent = await asyncio.gather(
            *(self._send(channel, delivery, message) for channel, delivery in pairs)
        )
        ended = [delivery for delivery, _ in sent]
        await self._store.messages.end(ended)
        for (channel, _), delivery in zip(pairs, ended, strict=True):
            self._report(channel, delivery, message)
        return ended


def _fields(message: Message, delivery: Delivery) -> dict[str, str | None]:
    fields = {
        "message_id": message.id,
        "user": message.user,
        "channel": delivery.channel,
        "job": message.job_name,
        "run_id": message.run_id,
    }
    return {**fields, "error": delivery.error} if delivery.error else fields


def _failed(deliveries: Sequence[Delivery]) -> list[Delivery]:
    return [each for each in deliveries if each.state is DeliveryState.FAILED]


def _channels(user: User, message: Message) -> list[Channel]:
    if message.channels is None:
        return list(user.channels) or [_INBOX]
    known = {each.name: each for each in user.channels}
    for name in message.channels:
        if name not in known:
            raise NotFoundError(
                f"{user.id} has no channel `{name}`",
                hint="there are " + ", ".join(known),
                suggestions=close_to(name, known, 3),
            )
    return [known[name] for name in dict.fromkeys(message.channels)]


def _line(message: Message) -> Log:
    fields = {
        "user": message.user,
        "title": message.title,
        "text": plain_text(message.parts),
        "job": message.job_name,
        "run_id": message.run_id,
    }
    return Log("message", {key: each for key, each in fields.items() if each})
