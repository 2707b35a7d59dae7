"""`luad test` keeps little, and asks a daemon only with --persist."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

JOB = """\
name: tried
handler: trial:work
schedule: {type: interval, every: 1h}
metadata: {count: 0, note: old, gone: 1}
"""
HANDLER = """\
async def work(job):
    await job.replace_metadata({"count": 0, "note": "new"})

async def ask(job):
    await job.user()
"""
PATH = "/jobs/tried/metadata"


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("jobs.d", "handlers", "users.d"):
        (tmp_path / name).mkdir(exist_ok=True)
    (tmp_path / "jobs.d/tried.yaml").write_text(JOB)
    (tmp_path / "handlers/trial.py").write_text(HANDLER)
    (tmp_path / "users.d/ann.yaml").write_text("id: ann\n")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.usefixtures("project")
@pytest.mark.slow
def test_only_what_the_handler_changed_is_written_to_the_daemon(luad: Any, peer: Any) -> None:
    peer.answers[f"PATCH {PATH}"] = {}
    result = luad("test", "tried", "--persist", "-m", "count=5")
    assert result.code == 0, result.err
    changed, removed = peer.asked
    assert (changed.body, removed.body) == ({"count": 0, "note": "new"}, {"gone": None})
    assert removed.headers["Content-Type"] == "application/merge-patch+json"
    assert "not saved" not in result.out
    assert 'note: "old" → "new"\n' in result.out


@pytest.mark.usefixtures("project")
def test_what_somebody_tries_with_is_not_written(luad: Any, peer: Any) -> None:
    peer.answers[f"PATCH {PATH}"] = {}
    assert luad("test", "tried", "--persist", "-m", "extra=1", "-m", "count=0").code == 0
    assert "extra" not in peer.asked[0].body


@pytest.mark.usefixtures("project")
def test_without_persist_no_daemon_is_asked(luad: Any, peer: Any) -> None:
    result = luad("test", "tried")
    assert 'note: "old" → "new"    (not saved; --persist keeps it)' in result.out
    assert peer.asked == []


@pytest.mark.usefixtures("project")
def test_a_trial_for_nobody_known_is_refused_before_it_begins(luad: Any) -> None:
    result = luad("test", "tried", "--user", "ane")
    assert (result.code, result.out) == (3, "")
    assert "no user `ane` in the files here" in result.err
    assert "did you mean `ann`?" in result.err


@pytest.mark.usefixtures("project")
def test_a_handler_that_fails_shows_the_hint_as_well(luad: Any) -> None:
    result = luad("test", "trial:ask")
    assert result.code == 4
    assert "the job ask has no user" in result.out
    assert "hint: write  user: ID  into its file" in result.out


MANY = """\
from luad.sync import User

def work(job):
    for number in range(60):
        for name in ("ann", "ben"):
            User.get(name).send(f"{number} to {name}")
"""


@pytest.mark.slow
def test_a_trial_shows_every_message_in_the_order_in_which_they_were_sent(
    luad: Any, project: Path
) -> None:
    (project / "users.d/ben.yaml").write_text("id: ben\n")
    (project / "handlers/trial.py").write_text(MANY)
    expected = [f"{number} to {name}" for number in range(60) for name in ("ann", "ben")]
    sent = luad("test", "tried", "--json").json["sent"]
    assert [message["parts"][0]["text"] for message in sent] == expected
    shown = luad("test", "tried").out.splitlines()
    assert [line.strip() for line in shown if line.startswith("      ")] == expected


MAKES = """\
from luad.sync import Jobs

def make(job):
    Jobs.create(handler=job.metadata["handler"], in_="2d", name="call-them")

def call(job):
    pass
"""


@pytest.mark.parametrize(
    ("handler", "words"),
    [
        ("nothere:call", "may not name the handler"),
        ("making:missing", "has no function `missing`"),
        ("os:system", "may not name the handler"),
        ("making:call", ""),
    ],
)
def test_a_trial_makes_only_jobs_that_the_settings_allow(
    luad: Any, project: Path, handler: str, words: str
) -> None:
    """The daemon would refuse the same handlers."""
    module = project.name  # a module that no other test of this process has imported
    handler = handler.replace("making:", f"{module}:")
    (project / f"handlers/{module}.py").write_text(MAKES)
    result = luad("test", f"{module}:make", "-m", f"handler={handler}")
    if words:
        assert result.code == 4
        assert words in result.out
        assert "would make" not in result.out
    else:
        assert result.code == 0
        assert "would make call-them" in result.out


def test_a_trial_makes_what_dynamic_handlers_names(luad: Any, project: Path) -> None:
    module = project.name
    (project / f"handlers/{module}.py").write_text(MAKES)
    (project / "luad.yaml").write_text("dynamic: {handlers: [luad.handlers.shell:run]}\n")
    refused = luad("test", f"{module}:make", "-m", f"handler={module}:call")
    assert refused.code == 4
    assert "may not name the handler" in refused.out
