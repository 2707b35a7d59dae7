"""Opening: the folder, the lock, and databases that are not what they should be."""

# ruff: noqa: ASYNC240 - nobody else waits for the loop of a test

from __future__ import annotations

import os
import random  # noqa: TID251 - damage is drawn with a fixed seed
import shutil
import signal
import sqlite3
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from luad.clock import SystemClock
from luad.core.events import ClaimRun, InstallJob
from luad.core.model import DAY
from luad.errors import AlreadyRunningError, StoreTooNewError, StoreUnavailableError
from luad.store import RunFilter, Store, StoreCorruptError
from luad.store.tables import HEAD

HOLD = """
import os, sys
from pathlib import Path
from luad.clock import SystemClock
from luad.store import Store
store = Store.open(Path(sys.argv[1]), clock=SystemClock())
print("open", flush=True)
sys.stdin.read()
store.close()
"""


@pytest.fixture
def holder(state: Path) -> Iterator[subprocess.Popen[str]]:
    """Another process that has the store open."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(state)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdin is not None
    assert process.stdout.readline() == "open\n"
    yield process
    process.stdin.close()
    process.wait()
    process.stdout.close()


def mode_of(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


# --- the folder and the lock -------------------------------------------------------------------


@pytest.mark.parametrize("umask", [0o000, 0o022, 0o077])
async def test_nobody_else_can_read_the_files_whatever_the_umask(
    state: Path,
    open_store: Callable[[], Store],
    claim: Callable[..., ClaimRun],
    umask: int,
) -> None:
    before = os.umask(umask)
    try:
        with closing(open_store()) as store:
            await store.apply([claim(1)])
            assert mode_of(state) == 0o700
            for name in ("luad.db", "luad.db-wal", "luad.db-shm", "luad.lock"):
                assert mode_of(state / name) & 0o177 == 0, name
    finally:
        os.umask(before)


def test_a_folder_that_is_there_keeps_its_mode(
    state: Path, open_store: Callable[[], Store]
) -> None:
    state.mkdir()
    state.chmod(0o700)
    open_store().close()
    assert mode_of(state) == 0o700


@pytest.mark.slow
def test_a_second_opener_is_sent_away_with_the_pid_of_the_first(
    state: Path, holder: subprocess.Popen[str], open_store: Callable[[], Store]
) -> None:
    with pytest.raises(AlreadyRunningError, match=f"pid {holder.pid}.*{state}") as raised:
        open_store()
    assert raised.value.pid == holder.pid


@pytest.mark.slow
def test_the_lock_of_a_killed_owner_is_free(
    holder: subprocess.Popen[str], open_store: Callable[[], Store]
) -> None:
    holder.send_signal(signal.SIGKILL)
    holder.wait()
    open_store().close()


def test_the_lock_is_not_inherited(open_store: Callable[[], Store]) -> None:
    store = open_store()
    child = subprocess.Popen(["sleep", "60"], close_fds=False)
    try:
        store.close()
        open_store().close()
    finally:
        child.kill()
        child.wait()


def test_a_store_can_be_opened_again_after_it_could_not(
    state: Path, open_store: Callable[[], Store]
) -> None:
    open_store().close()
    stamp(state / "luad.db", "9999")
    with pytest.raises(StoreTooNewError):
        open_store()
    stamp(state / "luad.db", HEAD)
    open_store().close()


@pytest.mark.parametrize("obstacle", ["file", "dangling"])
def test_a_folder_that_cannot_be_one_is_reported(
    state: Path, open_store: Callable[[], Store], obstacle: str
) -> None:
    if obstacle == "file":
        state.write_text("")
    else:
        state.symlink_to(state.parent / "nowhere" / "at all")
    with pytest.raises(StoreUnavailableError, match=str(state)):
        open_store()


def test_a_link_in_the_place_of_the_database_is_not_followed(
    state: Path, open_store: Callable[[], Store], tmp_path: Path
) -> None:
    state.mkdir()
    (state / "luad.db").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(StoreUnavailableError, match=r"luad\.db"):
        open_store()
    assert not (tmp_path / "elsewhere").exists()


def test_a_path_may_hold_any_character(tmp_path: Path) -> None:
    odd = tmp_path / "50% ?mode=memory#é ;'"
    for _ in range(2):
        with closing(Store.open(odd, clock=SystemClock())) as store:
            assert store.path.stat().st_size > 0 or store.size_bytes() > 0


async def test_nothing_works_after_closing(
    open_store: Callable[[], Store], claim: Callable[..., ClaimRun]
) -> None:
    store = open_store()
    store.close()
    store.close()
    store.note_alive(0)
    with pytest.raises(StoreUnavailableError, match="closed"):
        await store.apply([claim(1)])
    with pytest.raises(StoreUnavailableError, match="closed"):
        await store.runs()


# --- damage ------------------------------------------------------------------------------------


@pytest.fixture
async def filled(
    state: Path,
    open_store: Callable[[], Store],
    install: InstallJob,
    claim: Callable[..., ClaimRun],
) -> Path:
    """A database with a job and 300 open runs, closed in order."""
    with closing(open_store()) as store:
        await store.apply([install, *(claim(number) for number in range(300))])
    return state / "luad.db"


async def still_works(store: Store, claim: Callable[..., ClaimRun]) -> None:
    fresh = claim(999_999)
    assert await store.apply([fresh]) == ()
    assert (await store.run(fresh.run.id)).run == fresh.run
    await store.append_logs(fresh.run.id, [{"ts": 1, "message": "x"}])
    assert len(await store.read_logs(fresh.run.id)) == 1
    cursor: str | None = None
    for _ in range(10):
        _, cursor = await store.runs(RunFilter(), cursor=cursor)
    await store.recent_runs(["job_backup"], 20)
    await store.counts()
    limits = {"history_ms": 30 * DAY, "runs_per_job": 1_000, "logs_ms": 14 * DAY}
    while not (await store.prune(2_000_000_000_000, **limits)).is_done:
        pass


@pytest.mark.parametrize(
    "content",
    [b"not a database at all\n" * 500, b"SQLite", b"SQLite format 3\0" + b"\xff" * 8_176],
    ids=["text", "short", "header"],
)
async def test_what_is_no_database_is_set_aside(
    state: Path, open_store: Callable[[], Store], claim: Callable[..., ClaimRun], content: bytes
) -> None:
    state.mkdir()
    (state / "luad.db").write_bytes(content)
    (state / "luad.db-wal").write_bytes(b"rubbish")
    with closing(open_store()) as store:
        assert store.quarantined == state / "luad.db.corrupt-20270115T080000Z"
        assert store.problem
        assert store.quarantined.read_bytes() == content
        assert (state / "luad.db.corrupt-20270115T080000Z-wal").exists()
        await still_works(store, claim)


def test_damaged_databases_are_never_written_over(
    state: Path, open_store: Callable[[], Store]
) -> None:
    state.mkdir()
    names = set()
    for _ in range(3):
        (state / "luad.db").write_bytes(b"rubbish" * 100)
        with closing(open_store()) as store:
            assert store.quarantined is not None
            names.add(store.quarantined.name)
    assert len(names) == 3


async def test_the_database_of_something_else_is_set_aside(
    state: Path, open_store: Callable[[], Store], claim: Callable[..., ClaimRun]
) -> None:
    state.mkdir()
    with closing(sqlite3.connect(state / "luad.db")) as connection:
        connection.execute("CREATE TABLE precious (thing)")
    with closing(open_store()) as store:
        assert "not a database of luad" in store.problem
        await still_works(store, claim)


@pytest.mark.parametrize("part", [0.0, 0.001, 0.3, 0.5, 0.9, 0.999])
async def test_a_truncated_database_does_not_stop_anybody(
    filled: Path, open_store: Callable[[], Store], claim: Callable[..., ClaimRun], part: float
) -> None:
    os.truncate(filled, int(filled.stat().st_size * part))
    with closing(open_store()) as store:
        assert (store.quarantined is None) == (part == 0.0)
        await still_works(store, claim)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(40))
async def test_flipped_bytes_do_not_stop_anybody(
    filled: Path, open_store: Callable[[], Store], claim: Callable[..., ClaimRun], seed: int
) -> None:
    dice = random.Random(seed)  # noqa: S311 - damage, no secret
    content = bytearray(filled.read_bytes())
    for _ in range(dice.choice([1, 4, 64])):
        content[dice.randrange(len(content))] ^= 1 << dice.randrange(8)
    filled.write_bytes(content)
    for _ in range(2):  # what was not seen at the first start is met while running, then set aside
        try:
            with closing(open_store()) as store:
                await still_works(store, claim)
        except StoreCorruptError:
            continue
        break
    else:
        pytest.fail("the damage is met again and again")


@pytest.mark.parametrize("page", range(1, 20, 3))
async def test_a_page_of_zeros_does_not_stop_anybody(
    filled: Path, open_store: Callable[[], Store], claim: Callable[..., ClaimRun], page: int
) -> None:
    with filled.open("r+b") as file:
        file.seek(page * 4096)
        file.write(bytes(4096))
    with closing(open_store()) as store:
        assert store.quarantined is not None
        await still_works(store, claim)


async def test_a_row_that_makes_no_sense_is_damage(
    filled: Path, open_store: Callable[[], Store]
) -> None:
    with closing(sqlite3.connect(filled)) as connection, connection:
        connection.execute("UPDATE runs SET trigger = 'moon' WHERE rowid = 7")
    with closing(open_store()) as store:
        assert "moon" in store.problem
        assert store.restore().jobs == ()


async def test_damage_met_while_running_is_told_and_looked_for_at_the_next_start(
    filled: Path, open_store: Callable[[], Store], claim: Callable[..., ClaimRun]
) -> None:
    with closing(open_store()) as store:
        with filled.open("r+b") as file:
            file.seek(4096)
            file.write(b"\xa5" * (filled.stat().st_size - 4096))
        with pytest.raises(StoreCorruptError):
            await store.apply([claim(5_000)])
        assert not store.is_writable
        assert store.last_error
    with closing(open_store()) as store:
        assert store.quarantined is not None
        await still_works(store, claim)


async def test_a_transaction_that_was_cut_off_before_there_was_a_log_of_writes_is_undone(
    state: Path,
    open_store: Callable[[], Store],
    claim: Callable[..., ClaimRun],
    is_sound: Callable[[Path], bool],
) -> None:
    """Leave a journal that must be rolled back, as a kill in the first moment of a first start does."""
    state.mkdir()
    draft = state.parent / "draft"
    with closing(sqlite3.connect(draft, isolation_level=None)) as connection:
        connection.execute("PRAGMA cache_size = 2")  # so that pages are written before the commit
        connection.execute("CREATE TABLE half (done)")
        connection.execute("DROP TABLE half")
        connection.execute("BEGIN")
        connection.execute("CREATE TABLE half (done)")
        connection.executemany("INSERT INTO half VALUES (?)", [["x" * 3_000]] * 50)
        for suffix in ("", "-journal"):
            shutil.copy(f"{draft}{suffix}", state / f"luad.db{suffix}")
    assert (state / "luad.db-journal").stat().st_size > 0
    with closing(open_store()) as store:
        assert store.quarantined is None, store.problem
        await still_works(store, claim)
    assert is_sound(state / "luad.db")


@pytest.mark.parametrize("suffixes", [["-wal"], ["-shm"], ["-wal", "-shm"]])
@pytest.mark.slow
async def test_companions_may_be_gone(
    state: Path,
    holder: subprocess.Popen[str],
    open_store: Callable[[], Store],
    claim: Callable[..., ClaimRun],
    suffixes: list[str],
    is_sound: Callable[[Path], bool],
) -> None:
    holder.kill()  # so that they are there
    holder.wait()
    for suffix in suffixes:
        (state / f"luad.db{suffix}").unlink(missing_ok=True)
    with closing(open_store()) as store:
        assert store.quarantined is None
        await still_works(store, claim)
    assert is_sound(state / "luad.db")


def stamp(database: Path, version: str) -> None:
    with closing(sqlite3.connect(database)) as connection, connection:
        connection.execute("UPDATE alembic_version SET version_num = ?", [version])


def test_the_database_of_a_newer_luad_is_not_touched(
    filled: Path, open_store: Callable[[], Store]
) -> None:
    stamp(filled, "0099")
    before = filled.read_bytes()
    with pytest.raises(StoreTooNewError, match="newer luad"):
        open_store()
    assert filled.read_bytes() == before
    assert list(filled.parent.glob("*corrupt*")) == []
    assert (filled.parent / "luad.db-wal").stat().st_size == 0


# --- how thoroughly it is looked at ------------------------------------------------------------


def test_an_orderly_end_leaves_no_pid(state: Path, open_store: Callable[[], Store]) -> None:
    store = open_store()
    assert (state / "luad.lock").read_text() == f"{os.getpid()}\n"
    store.close()
    assert (state / "luad.lock").read_text() == ""


def test_alembic_is_imported_only_for_an_old_database(state: Path) -> None:
    program = (
        "import sys; from pathlib import Path; from luad.clock import SystemClock\n"
        "from luad.store import Store\n"
        "for _ in range(2): Store.open(Path(sys.argv[1]), clock=SystemClock()).close()\n"
        "print([name for name in sys.modules if name.startswith(('alembic', 'sqlalchemy.orm',"
        " 'sqlalchemy.dialects.postgresql'))])"
    )
    out = subprocess.run(
        [sys.executable, "-c", program, str(state)], check=True, capture_output=True, text=True
    )
    assert out.stdout == "[]\n"
