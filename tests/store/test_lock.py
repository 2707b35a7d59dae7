"""The two locks of the state folder, and what becomes of them when files are deleted."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from luad.errors import AlreadyRunningError
from luad.store import Store


def test_a_lock_whose_file_was_deleted_still_locks_and_is_made_again(
    state: Path, open_store: Callable[[], Store]
) -> None:
    store = open_store()
    lock = state / "luad.lock"
    assert store.keep_lock() is False
    for change in (lock.unlink, lambda: lock.rename(state / "aside")):
        change()
        with pytest.raises(AlreadyRunningError):
            open_store()
        assert store.keep_lock() is True
        assert lock.read_text() == f"{os.getpid()}\n"
        with pytest.raises(AlreadyRunningError) as caught:
            open_store()
        assert caught.value.pid == os.getpid()
    store.close()
    assert lock.read_text() == ""
    open_store().close()


def test_a_lock_that_another_process_has_taken_meanwhile_is_told(
    state: Path, open_store: Callable[[], Store]
) -> None:
    store = open_store()
    (state / "luad.lock").unlink()
    handle = os.open(state / "luad.lock", os.O_RDWR | os.O_CREAT)
    fcntl.flock(handle, fcntl.LOCK_EX)
    assert store.keep_lock() is None
    os.close(handle)
    assert store.keep_lock() is True
    store.close()


def test_the_locks_are_on_the_folder_and_its_lock_file_and_never_on_the_database(
    state: Path, open_store: Callable[[], Store]
) -> None:
    store = open_store()
    locked = {
        str(each.readlink())
        for each in Path("/proc/self/fd").iterdir()
        if each.is_symlink() and "FLOCK" in Path(f"/proc/self/fdinfo/{each.name}").read_text()
    }
    assert {str(state), str(state / "luad.lock")} <= locked
    assert str(state / "luad.db") not in locked
    store.close()
