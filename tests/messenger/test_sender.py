"""The sender's process: its turns, its death, its rest."""

from __future__ import annotations

import asyncio
import os
import select
import signal
import subprocess
import sys
from typing import Any

import pytest

from luad.core.messaging import Channel, ChannelKind, Message
from luad.messenger import sender as sender_room
from luad.messenger.sender import Sender


def message(number: int = 1, **fields: Any) -> Message:
    fields = {"parts": ({"type": "text", "text": f"hello {number}"},), **fields}
    return Message(f"msg_{number}", "ann", 1_795_348_800_000, **fields)


def webhook(url: str, **fields: Any) -> Channel:
    return Channel("hook", ChannelKind.WEBHOOK, url, **fields)


async def test_a_sender_that_dies_is_an_outcome_and_the_next_one_works(
    sender: Sender, service: Any
) -> None:
    hanging = asyncio.create_task(sender.deliver(message(), webhook(f"{service.url}/never")))
    await asyncio.to_thread(service.arrived.wait)
    assert sender.pid is not None
    os.kill(sender.pid, signal.SIGKILL)
    assert "has died" in (await hanging).error
    assert (await sender.deliver(message(), webhook(f"{service.url}/ok"))).error == ""


async def test_a_host_that_hangs_delays_no_other(
    sender: Sender, service: Any, other_service: Any
) -> None:
    hanging = [
        asyncio.create_task(sender.deliver(message(n), webhook(f"{service.url}/never/{n}")))
        for n in range(2 * sender_room.AT_ONCE)
    ]
    await asyncio.to_thread(service.arrived.wait)
    quick = await sender.deliver(message(), webhook(f"{other_service.url}/ok"))
    assert quick.error == ""
    assert not any(task.done() for task in hanging), "the quick one was first"
    assert len(service.got) <= sender_room.AT_ONCE_EACH
    for task in hanging:
        task.cancel()
    await asyncio.gather(*hanging, return_exceptions=True)
    assert sender._limits._of == {}, "nothing is remembered of places where nothing goes on"


async def test_who_waits_too_long_for_a_turn_is_told(sender: Sender, service: Any) -> None:
    first = [
        asyncio.create_task(sender.deliver(message(n), webhook(f"{service.url}/never/{n}")))
        for n in range(sender_room.AT_ONCE_EACH)
    ]
    await asyncio.to_thread(service.arrived.wait)
    late = await sender.deliver(
        message(), webhook(f"{service.url}/ok", timeout_ms=-1_000 * int(sender_room.SPARE_S))
    )
    assert "too many messages wait" in late.error
    service.released.set()
    await asyncio.gather(*first)


async def test_an_idle_process_is_ended_and_started_again(
    sender: Sender, service: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sender_room, "IDLE_S", 0.0)
    for _ in range(2):
        assert (await sender.deliver(message(), webhook(f"{service.url}/ok"))).error == ""
        assert sender._reader is not None
        await sender._reader
        assert sender.pid is None


async def test_nothing_is_sent_once_it_is_closed(service: Any) -> None:
    sender = Sender(allow_private=True)
    await sender.close()
    outcome = await sender.deliver(message(), webhook(f"{service.url}/ok"))
    assert (outcome.error, sender.pid) == ("luad is stopping", None)


_DAEMON = """
import asyncio, sys
from luad.core.messaging import Channel, ChannelKind, Message
from luad.messenger.sender import Sender

async def main():
    sender = Sender(allow_private=True)
    channel = Channel("hook", ChannelKind.WEBHOOK, sys.argv[1], timeout_ms=30_000)
    message = Message("msg_1", "ann", 0, ({"type": "text", "text": "x"},))
    task = asyncio.create_task(sender.deliver(message, channel))
    await asyncio.to_thread(sys.stdin.readline)
    print(sender.pid, flush=True)
    await task

asyncio.run(main())
"""


def test_the_process_dies_with_the_daemon_whatever_hangs(service: Any) -> None:
    command = [sys.executable, "-c", _DAEMON, f"{service.url}/never"]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as daemon:
        assert service.arrived.wait(30)
        assert daemon.stdin is not None
        assert daemon.stdout is not None
        daemon.stdin.write("\n")
        daemon.stdin.flush()
        descriptor = os.pidfd_open(int(daemon.stdout.readline()))
        daemon.kill()
    assert select.select([descriptor], [], [], 30)[0], "it ends"
    os.close(descriptor)
