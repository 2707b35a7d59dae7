"""`luad store`: what its words and exit codes are."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import psycopg
import pytest
from postgres import database_url, server_url

from luad.clock import SystemClock
from luad.store import Store

pytestmark = pytest.mark.slow


@pytest.fixture
def url() -> str:
    worker = os.environ.get("PYTEST_XDIST_WORKER", "main")
    return database_url(f"store_command_{worker}_{os.getpid()}")


def luad(folder: Path, *words: str, **variables: str) -> subprocess.CompletedProcess[str]:
    env = {key: value for key, value in os.environ.items() if not key.startswith("LUAD_")}
    return subprocess.run(
        [sys.executable, "-m", "luad", *words],
        cwd=folder,
        env={**env, "PYTHONPATH": str(Path(__file__).parents[2]), **variables},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_the_store_is_checked_upgraded_filled_and_left_again(url: str, tmp_path: Path) -> None:
    Store.open(tmp_path / "state", clock=SystemClock()).close()
    checked = luad(tmp_path, "store", "check", "--to", url)
    assert checked.returncode == 0, checked.stderr
    assert "no schema yet" in checked.stdout
    assert "fsync = off: a power cut may take committed claims" in checked.stdout

    assert luad(tmp_path, "store", "upgrade", "--to", url).returncode == 0
    found = json.loads(luad(tmp_path, "store", "check", "--to", url, "--json").stdout)
    assert found["ok"]
    assert found["findings"][-1]["detail"].endswith("is the one of this luad")

    state = ("--state", str(tmp_path / "state"))
    copied = luad(tmp_path, "store", "copy", "--to", url, *state)
    assert copied.returncode == 0, copied.stderr
    assert "sessions: browsers sign in again" in copied.stdout

    refused = luad(tmp_path, "serve", *state)
    assert refused.returncode == 78
    assert "was moved to" in refused.stderr

    assert luad(tmp_path, "store", "reopen", *state).returncode == 2, "it asks for --yes"
    opened = luad(tmp_path, "store", "reopen", "--yes", *state)
    assert opened.returncode == 0, opened.stderr
    Store.open(tmp_path / "state", clock=SystemClock()).close()


def test_a_database_that_cannot_be_used_is_said_without_its_password(
    url: str, tmp_path: Path
) -> None:
    secret = "hunter2-and-more"  # noqa: S105 - the test looks for it
    with psycopg.connect(server_url(), autocommit=True) as connection:
        connection.execute("DROP ROLE IF EXISTS luad_scram")
        connection.execute(f"CREATE ROLE luad_scram LOGIN PASSWORD '{secret}'")
    mine = url.replace("postgres@", "luad_scram@")
    password = tmp_path / "password"
    password.write_text(f"{secret}\n")
    (tmp_path / "luad.yaml").write_text(f"store: {mine}\nstore_password_file: password\n")
    denied = luad(tmp_path, "store", "check")
    assert denied.returncode == 1
    assert "may not create tables: GRANT CREATE" in denied.stdout
    password.write_text(f"wrong-{secret}")
    wrong = luad(tmp_path, "store", "check")
    assert wrong.returncode == 1
    assert "password authentication failed" in wrong.stdout
    assert secret not in wrong.stdout + wrong.stderr + denied.stdout + denied.stderr


def test_a_store_must_be_named(tmp_path: Path) -> None:
    done = luad(tmp_path, "store", "check")
    assert done.returncode == 2
    assert "no PostgreSQL store is named" in done.stderr
