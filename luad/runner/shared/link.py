"""The daemon's connection to one shared process and its keeper.

Rule: it starts them, passes frames on, and notices their end; `pool` decides about runs.
"""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
import sys
from typing import TYPE_CHECKING, Any, Final, Protocol

from luad.clock import elapsed_ms
from luad.core.model import ProcessIdentity
from luad.runner.leftovers import end_run
from luad.runner.processes import boot_id, read_stat
from luad.runner.shared.begun import SLOTS, Begun
from luad.runner.shared.channel import Channel

if TYPE_CHECKING:
    from collections.abc import Mapping

    from luad.runner.attempt import Key
    from luad.runner.shared.messages import SetupMessage

_CLOSE_S: Final = 5.0


class Owner(Protocol):
    """The calls that a link makes."""

    def on_ready(self, link: ProcessLink) -> None:
        """Runs can be sent."""

    def on_frame(self, link: ProcessLink, frame: dict[str, Any]) -> None:
        """The shared process or its keeper has sent *frame*."""

    def on_gone(self, link: ProcessLink, why: str) -> None:
        """Nothing of the shared process is left."""


class ProcessLink:
    """One shared process. *open* are the runs that it has and that have not ended."""

    def __init__(self, owner: Owner) -> None:
        self._owner = owner
        self._loop = asyncio.get_running_loop()
        self._process: subprocess.Popen[bytes] | None = None
        self._control: Channel | None = None
        self._channel: Channel | None = None
        self._report: dict[str, Any] | None = None
        self._exited = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self.keeper: ProcessIdentity | None = None
        self.identity: ProcessIdentity | None = None
        self.is_retiring = False
        self.doomed_by = ""
        self.open: dict[Key, None] = {}
        self._begun = Begun()
        self._slots: dict[Key, int] = {}  # of the runs whose start is not reported
        self._free = list(range(SLOTS))
        self.heard_ms = elapsed_ms()
        self.asked_ms: int | None = None

    @property
    def is_ready(self) -> bool:
        """True if runs can be sent."""
        return self.identity is not None and self._channel is not None and not self.is_retiring

    @property
    def has_room(self) -> bool:
        """True if the process may get another run."""
        return bool(self._free)

    def admit(self, key: Key) -> int:
        """Note that the process gets a run; return its slot."""
        self.open[key] = None
        self._slots[key] = slot = self._free.pop()
        return slot

    def note_start(self, key: Key) -> None:
        """Note that the start of a run is known, or that it will not begin."""
        slot = self._slots.pop(key, None)
        if slot is not None:
            self._begun.clear(slot)
            self._free.append(slot)

    def may_have_begun(self, key: Key) -> bool:
        """Return False if the run has certainly not begun."""
        slot = self._slots.get(key)
        return slot is None or self._begun.has(slot)

    @property
    def pid(self) -> int | None:
        """The process id of the shared process, as far as it is known."""
        return None if self.identity is None else self.identity.pid

    def start(self, setup: SetupMessage, *, environ: Mapping[str, str], lock: int) -> None:
        """Start the keeper and the process. Raises ``OSError`` if that is impossible."""
        control, theirs = socket.socketpair()
        channel, process_end = socket.socketpair()
        with theirs, process_end:
            descriptors = [theirs.fileno(), process_end.fileno(), self._begun.descriptor]
            try:
                self._process = subprocess.Popen(  # noqa: S603 - our own interpreter, our own module
                    [
                        sys.executable,
                        "-P",
                        "-m",
                        "luad.runner.shared.keeper",
                        *map(str, descriptors),
                    ],
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL,
                    env=dict(environ),
                    cwd="/",
                    pass_fds=(*descriptors, lock),
                    start_new_session=True,
                )
            except OSError:
                self._begun.close()
                control.close()
                channel.close()
                raise
        stat = read_stat(self._process.pid)
        ticks = 0 if stat is None else stat.start_ticks
        self.keeper = ProcessIdentity(self._process.pid, ticks, boot_id())
        self._control, self._channel = Channel(control), Channel(channel)
        self._loop.add_reader(self._control.descriptor, self._on_control)
        self._loop.add_reader(self._channel.descriptor, self._on_channel)
        self.send({"t": "setup", "setup": setup})

    # --- to the process ----------------------------------------------------------------------------

    def send(self, frame: object) -> None:
        """Send *frame* to the shared process; nothing once it is gone."""
        if self._channel is not None:
            self._channel.send(frame)
            self._want_room()

    def send_runs(self, runs: list[str]) -> None:
        """Send *runs*, each as JSON, in one message."""
        if self._channel is not None:
            text = ",".join(runs)
            self._channel.send_text(f'{{"t":"run","runs":[{text}]}}')
            self._want_room()

    def kill(self) -> None:
        """Let the keeper kill the shared process."""
        if self._control is not None:
            self._control.send({"t": "kill"})

    def hang_up(self) -> None:
        """Let the shared process end, once it has no runs; its keeper reports the end."""
        self.is_retiring = True
        self._close_channel()

    async def close(self) -> None:
        """Let both processes end, and wait for that."""
        self.hang_up()
        try:
            async with asyncio.timeout(_CLOSE_S):
                await self._exited.wait()
        except TimeoutError:
            self.kill()
            if self._process is not None:
                self._process.send_signal(signal.SIGKILL)
            await self._exited.wait()

    def _want_room(self) -> None:
        """Send the rest when the process takes more."""
        channel = self._channel
        if channel is not None and channel.waiting_bytes:
            self._loop.add_writer(channel.descriptor, self._push)

    def _push(self) -> None:
        channel = self._channel
        if channel is not None:
            channel.push()
            if not channel.waiting_bytes:
                self._loop.remove_writer(channel.descriptor)

    # --- from the process and its keeper -----------------------------------------------------------

    def _on_channel(self) -> None:
        frames = None if self._channel is None else self._channel.read()
        self.heard_ms, self.asked_ms = elapsed_ms(), None
        if frames is None:
            self._close_channel()  # `gone` of the keeper follows
            return
        for frame in frames:
            self._on_frame(frame)

    def _on_frame(self, frame: dict[str, Any]) -> None:
        match frame["t"]:
            case "ready":
                self.identity = ProcessIdentity(frame["pid"], frame["ticks"], boot_id())
                self._owner.on_ready(self)
            case "doomed":
                self.doomed_by = f"the run {frame['run_id']} of {frame['job']} in it did not stop"
            case _:
                self._owner.on_frame(self, frame)

    def _on_control(self) -> None:
        frames = None if self._control is None else self._control.read()
        for frame in frames or ():
            if frame["t"] == "gone":
                self._report = frame
            else:
                self._owner.on_frame(self, frame)
        if frames is None:
            self._on_keeper_gone()

    def _on_keeper_gone(self) -> None:
        assert self._control is not None, "it was read"
        self._loop.remove_reader(self._control.descriptor)
        self._control.close()
        self._control = None
        self._task = self._loop.create_task(self._clear_up())

    async def _clear_up(self) -> None:
        """Read what the process has still sent, end what it left, and tell its end."""
        assert self._process is not None, "it was started"
        await asyncio.to_thread(self._process.wait)
        if self._report is None:  # the keeper was killed; the kernel has killed the process with it
            await asyncio.to_thread(
                end_run, f"shared-{self._process.pid}", self.identity, self.keeper
            )
        while self._channel is not None and (frames := self._channel.read()):
            for frame in frames:
                self._on_frame(frame)
        self._close_channel()
        self._owner.on_gone(self, self._why())
        self._begun.close()
        self._exited.set()

    def _why(self) -> str:
        if self.doomed_by:
            return f"its shared process was killed, because {self.doomed_by}"
        if self._report is None:
            return "the keeper of its shared process was killed"
        if self._report["left"]:
            self._owner.on_frame(
                self, {"t": "output", "stream": "system", "lines": [self._report["left"]]}
            )
        return f"its shared process {_how(self._report['status'])}"

    def _close_channel(self) -> None:
        if self._channel is not None:
            self._loop.remove_reader(self._channel.descriptor)
            self._loop.remove_writer(self._channel.descriptor)
            self._channel.close()
            self._channel = None


def _how(status: int) -> str:
    """Return how a process ended, from its wait status."""
    if not os.WIFSIGNALED(status):
        return f"ended with exit status {os.waitstatus_to_exitcode(status)}"
    number = os.WTERMSIG(status)
    try:
        return f"was killed by {signal.Signals(number).name}"
    except ValueError:
        return f"was killed by signal {number}"
