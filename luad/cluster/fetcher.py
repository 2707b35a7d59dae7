"""The fetcher: a child process of a worker, with nothing but Procrastinate's worker loop and a pipe.

Rule: it may die, hang or lose its connection at any moment; the worker then starts another one. It executes
nothing, and decides nothing. Only public interfaces of Procrastinate.

It gets one JSON object in the first line of its socket, and then one in each line: ``{"done": id}`` ends the row of
an attempt of its own, ``{"finish": id}`` that of an earlier fetcher, ``{"ping": n}`` asks for ``{"pong": n}``, and
``{"stop": 1}`` ends the fetching. It sends ``{"took": id, "run": run id, "n": attempt}`` for each row that it fetches.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import socket
import sys
from collections.abc import Mapping
from contextlib import suppress
from typing import Any, Final

from procrastinate import App, JobContext, PsycopgConnector
from procrastinate.jobs import Status

from luad.cluster.procrastinate_queue import TASK

_A_DAY_S: Final = 86_400.0
"""With the default of 30 s, the first worker that starts after an outage would prune all others."""

_LINE_LIMIT: Final = 1 << 20


class Fetcher:
    """Sends what Procrastinate fetches up the pipe, and waits for the word that ends each row."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self._waiting: dict[int, asyncio.Future[None]] = {}
        self._early: set[int] = set()

    async def run(self, settings: Mapping[str, Any]) -> None:
        """Fetch until told to stop, or until Procrastinate's loop ends."""
        connector = PsycopgConnector(
            conninfo=settings["conninfo"], kwargs=settings["words"], min_size=1, max_size=3
        )
        self._app = App(connector=connector)
        self._app.task(name=TASK, pass_context=True)(self._attempt)
        async with self._app.open_async():
            self._loop = asyncio.create_task(
                self._app.run_worker_async(
                    queues=settings["queues"],
                    concurrency=settings["concurrency"],
                    name=settings["name"],
                    fetch_job_polling_interval=settings["poll_s"],
                    delete_jobs="never",
                    stalled_worker_timeout=_A_DAY_S,
                    install_signal_handlers=False,
                )
            )
            orders = asyncio.create_task(self._obey())
            self._send(ready=True)
            await asyncio.wait({self._loop, orders}, return_when=asyncio.FIRST_COMPLETED)
            if not self._loop.done():
                os._exit(0)  # the worker is gone: it has closed the pipe
            orders.cancel()

    async def _attempt(self, context: JobContext, /, **arguments: Any) -> None:
        row = context.job.id
        assert row is not None
        self._waiting[row] = word = asyncio.get_running_loop().create_future()
        try:
            self._send(took=row, run=arguments.get("run"), n=arguments.get("n"))
            await word
        finally:
            del self._waiting[row]

    async def _obey(self) -> None:
        while line := await self._reader.readline():
            order = json.loads(line)
            if "ping" in order:
                self._send(pong=order["ping"])
            elif "done" in order:
                word = self._waiting.get(order["done"])
                if word is not None and not word.done():
                    word.set_result(None)
            elif "finish" in order:
                await self._finish(order["finish"])
            elif "stop" in order:
                self._loop.cancel()  # it fetches no more, and waits for the rows that it has

    async def _finish(self, row: int) -> None:
        """End a row that an earlier fetcher had; a row that is over stays as it is."""
        with suppress(Exception):
            jobs = self._app.job_manager
            await jobs.finish_job_by_id_async(row, status=Status.SUCCEEDED, delete_job=False)

    def _send(self, **values: object) -> None:
        self._writer.write(json.dumps(values).encode() + b"\n")


async def _main(descriptor: int) -> None:
    end = socket.socket(fileno=descriptor)
    reader, writer = await asyncio.open_connection(sock=end, limit=_LINE_LIMIT)
    settings = json.loads(await reader.readline())
    with suppress(asyncio.CancelledError):
        await Fetcher(reader, writer).run(settings)


if __name__ == "__main__":
    logging.disable()
    asyncio.run(_main(int(sys.argv[1])))
