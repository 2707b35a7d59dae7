"""A long first reading tells how far it is, and stops telling when it is over."""

from __future__ import annotations

import asyncio
import os
import socket
from pathlib import Path

from luad import logs
from luad.clock import SystemClock
from luad.config.jobs.catalogue import Catalogue
from luad.config.settings.daemon_settings import Settings
from luad.core.model import Wanted
from luad.daemon.load_progress import LoadProgress, told
from luad.daemon.wiring import config_reader
from luad.notify import Notifier


async def test_a_reading_is_told_while_it_lasts_and_not_afterwards() -> None:
    counts = iter(range(1_000_000))
    seen: list[int] = []
    enough = asyncio.Event()

    def tell(count: int) -> None:
        seen.append(count)
        if len(seen) == 3:
            enough.set()

    async with told(tell, lambda: next(counts), every_s=0):
        await enough.wait()
    assert seen[:3] == [0, 1, 2]
    told_by_then = len(seen)
    for _ in range(10):
        await asyncio.sleep(0)
    assert len(seen) == told_by_then


async def test_a_short_reading_is_not_told() -> None:
    seen: list[int] = []
    async with told(seen.append, lambda: 1, every_s=3_600):
        await asyncio.sleep(0)
    assert seen == []


def test_systemd_waits_for_a_start_as_long_as_there_is_progress(tmp_path: Path) -> None:
    log = os.open(tmp_path / "log", os.O_CREAT | os.O_WRONLY, 0o600)
    logging = logs.configure("json", descriptor=log, environ={})
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(tmp_path / "notify"))
        manager.settimeout(5)
        notifier = Notifier({"NOTIFY_SOCKET": str(tmp_path / "notify")})
        progress = LoadProgress(notifier, logging)
        messages = []
        for numbers, is_new in (((0, 7), 1), ((3, 9), 1), ((3, 9), 0), ((4, 9), 1), ((4, 9), 0)):
            progress.tell(numbers)
            messages += [manager.recv(1_000).decode() for _ in range(1 + is_new)]
        notifier.status("the end")
        messages.append(manager.recv(1_000).decode())
        notifier.close()
    logging.close()
    os.close(log)
    longer = "EXTEND_TIMEOUT_USEC=60000000"
    assert messages == [
        *("STATUS=reading files: 0 of 7", longer, "STATUS=reading files: 3 of 9", longer),
        *("STATUS=reading files: 3 of 9", "STATUS=reading files: 4 of 9", longer),
        *("STATUS=reading files: 4 of 9", "STATUS=the end"),
    ]
    (line,) = (tmp_path / "log").read_text().splitlines()
    assert '"files":4,"of":9' in line


def test_the_reader_counts_the_files_that_it_has_loaded(tmp_path: Path) -> None:
    """They are loaded after all of them are known, which takes most of the time."""
    for number in range(5):
        (tmp_path / f"{number}.yaml").write_text(
            f"name: job-{number}\nhandler: m:f\nschedule: {{type: interval, every: 1h}}\n"
        )
    seen = list[tuple[int, int]]()

    class Watched(Catalogue):
        def name_of(self, item: Wanted) -> str:
            seen.append(reader.progress())
            return super().name_of(item)

    settings = Settings(jobs=(tmp_path,), state_dir=tmp_path, users=())
    reader = config_reader(settings, Watched(settings), SystemClock())
    assert reader.progress() == (0, 0)
    reader.read()
    assert [loaded for loaded in range(6) if (loaded, 5) in seen] == [0, 1, 2, 3, 4, 5]
    assert reader.progress() == (5, 5)
