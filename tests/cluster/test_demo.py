"""`make cluster`: a whole cluster on one machine, which leaves nothing behind."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("psycopg")

ROOT = Path(__file__).parents[2]
pytestmark = pytest.mark.slow


def is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


@pytest.mark.skipif(os.environ.get("LUAD_TEST_PG") == "none", reason="LUAD_TEST_PG=none")
def test_a_cluster_starts_survives_a_dead_node_and_ends_clean() -> None:
    command = [sys.executable, "-m", "demo.cluster", "--nodes", "2", "--workers", "1"]
    program = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    assert program.stdout is not None
    said: list[str] = []
    try:
        for line in program.stdout:
            said.append(line)
            if "http://" in line:
                break
        text = "".join(said)
        pids = [int(pid) for pid in re.findall(r"process (\d+)", text)]
        words = next(line for line in said if line.endswith("nodes\n")).split()[1:]
        asked = subprocess.run(
            [sys.executable, "-m", "luad", *words, "--json"], capture_output=True, check=True
        )
        answer = json.loads(asked.stdout)
        assert [each["name"] for each in answer["nodes"]] == ["node-1", "node-2"]
        assert "worker-1" in {each["name"] for each in answer["workers"]}
        os.kill(pids[1], signal.SIGKILL)
        assert program.stdout.readline() == "node-2 has ended\n"
        assert program.poll() is None, "the other node goes on"
    finally:
        program.send_signal(signal.SIGINT)
        rest = program.communicate(timeout=120)[0]
    assert program.returncode == 0, rest
    assert not any(map(is_alive, pids))
    folder = Path(words[1]).parents[1]
    assert folder.name.startswith("luad-cluster-")
    assert not folder.exists()
