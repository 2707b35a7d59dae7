"""Handlers that a worker lacks: their attempts wait for other code, if the publisher of the jobs has other code."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

pytest.importorskip("procrastinate")

from cluster.worker_bench import HAND_OVER, Bench
from postgres import empty
from sqlalchemy import Engine, create_engine, text

from luad.cluster.handler_code import HandlerCode
from luad.config.settings.store_target import Target
from luad.store.postgresql.opening import prepare_store

LACKING = "SELECT 1 FROM attempts WHERE worker IS NULL"


@pytest.fixture(scope="module")
def engine(postgres_url: str) -> Iterator[Engine]:
    prepare_store(Target.parse(postgres_url), "test", lambda _: None)
    engine = create_engine(postgres_url.replace("postgresql://", "postgresql+psycopg://"))
    with engine.begin() as connection:
        HAND_OVER.migrate(connection)
    yield engine
    engine.dispose()


@pytest.fixture
async def bench(tmp_path: Path, postgres_url: str, engine: Engine) -> AsyncIterator[Bench]:
    engine.dispose()
    empty(postgres_url)
    bench = Bench(tmp_path, postgres_url, engine)
    await bench.start()
    yield bench
    await bench.worker.stop()


def events(bench: Bench) -> list[str]:
    return [event for event, _ in bench.lines]


async def test_an_attempt_is_put_back_until_its_handler_is_there(bench: Bench) -> None:
    bench.publish_code("newer")
    bench.claim(1, "added")
    await bench.until(lambda: bool(bench.ask(LACKING)))
    await bench.until(lambda: "worker.put_back" in events(bench))
    assert bench.ends() == []
    waits = "SELECT scheduled_at > now() FROM procrastinate_jobs WHERE status = 'todo'"
    assert bench.ask(waits) == [(True,)]
    module = bench.handlers / "work.py"
    module.write_text(module.read_text() + "\n\ndef added(job):\n    return 1\n")
    await bench.until(lambda: bench.ends() == [("run_1", "returned")])
    digest = HandlerCode(bench.handlers).digest()
    assert bench.ask("SELECT worker, code_digest FROM attempts") == [(bench.life, digest)]
    await bench.until(lambda: bench.ask("SELECT code_digest FROM workers") == [(digest,)])


async def test_an_attempt_ends_where_other_code_would_not_help(bench: Bench) -> None:
    bench.publish_code(HandlerCode(bench.handlers).digest())
    bench.claim(1, "added")
    await bench.until(lambda: bench.ends() == [("run_1", "not_started")])
    assert "worker.put_back" not in events(bench)


async def test_an_attempt_that_is_put_back_for_a_minute_ends(bench: Bench) -> None:
    bench.publish_code("newer")
    bench.claim(1, "added")
    with bench.engine.begin() as connection:
        first = (
            "INSERT INTO attempts (run_id, attempt, started_at)"
            " SELECT 'run_1', 1, extract(epoch FROM now()) * 1000 - 60000"
            " ON CONFLICT (run_id, attempt) DO UPDATE SET started_at = excluded.started_at"
        )
        connection.execute(text(first))
    await bench.until(lambda: bench.ends() == [("run_1", "not_started")])


async def test_an_attempt_that_is_put_back_and_stopped_ends_as_cancelled(bench: Bench) -> None:
    bench.publish_code("newer")
    bench.claim(1, "added")
    await bench.until(lambda: bool(bench.ask(LACKING)))
    bench.stop(1)
    await bench.until(lambda: bench.ends() == [("run_1", "cancelled")])


def test_the_digest_follows_the_python_files_and_nothing_else(tmp_path: Path) -> None:
    code = HandlerCode(tmp_path)
    (tmp_path / "package").mkdir()
    (tmp_path / "package" / "a.py").write_text("1")
    first = code.digest()
    for name in ("notes.txt", ".hidden/b.py", "__pycache__/c.py"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("2")
    assert code.digest() == first == HandlerCode(tmp_path).digest()
    (tmp_path / "package" / "a.py").rename(tmp_path / "a.py")
    moved = code.digest()
    (tmp_path / "a.py").write_text("22")
    assert len({first, moved, code.digest()}) == 3
