"""Careless and hostile changes of the job folder of a running daemon."""

from __future__ import annotations

import os
import random  # noqa: TID251 - edits in no order; the seed is fixed
import shutil
from contextlib import suppress
from pathlib import Path

from support.attack import assert_on_time, besieged, job
from support.live_daemon import LiveDaemon

CORPUS = Path(__file__).parents[1] / "corpus"
LATE_MS = 1_500


def names_in_force(daemon: LiveDaemon) -> set[str]:
    return {each["name"] for each in daemon.json("list")["jobs"]}


def test_a_flood_of_hostile_files_harms_no_other_job(tmp_path: Path) -> None:
    """The whole corpus, things that are no files, names that are no text, a file of 100 MB, and one
    of 12,000 broken jobs. The watch goes on behind them."""
    daemon = besieged(tmp_path)
    with daemon:
        daemon.wait_for("run.ended", job="tick")
        for path in CORPUS.glob("*.yaml"):
            shutil.copy(path, daemon.jobs)
        (daemon.jobs / "folder.yaml").mkdir()
        os.mkfifo(daemon.jobs / "fifo.yaml")
        for name, target in (("out", "/etc/passwd"), ("loop", "loop.yaml"), ("zero", "/dev/zero")):
            (daemon.jobs / f"{name}.yaml").symlink_to(target)
        for name in (b"\xff\xfe.yaml", b"new\nline.yaml", b"esc\x1b[31m.yaml"):
            Path(os.fsdecode(os.fsencode(daemon.jobs) + b"/" + name)).write_text("name: [")
        with (daemon.jobs / "huge.yaml").open("wb") as file:
            file.truncate(100 << 20)
        (daemon.jobs / "many.yaml").write_text("---\nname: 7\nschedule: {}\n" * 12_000)
        assert daemon.luad("reload", check=False).returncode == 1
        assert daemon.luad("status", check=False).returncode == 0
        assert daemon.json("status")["status"] == "degraded"
        for path in daemon.jobs.iterdir():
            if path.name != "tick.yaml":
                path.rmdir() if path.is_dir() and not path.is_symlink() else path.unlink()
        daemon.luad("reload")
        daemon.write_job("after", job("after"))
        daemon.wait_for("run.ended", job="after", status="succeeded")
        assert names_in_force(daemon) == {"tick", "after"}
        assert_on_time(daemon, LATE_MS)


def test_after_a_storm_of_edits_the_folder_is_what_is_in_force(tmp_path: Path) -> None:
    dice = random.Random(7)  # noqa: S311 - edits, not secrets
    daemon = besieged(tmp_path)
    with daemon:
        daemon.wait_for("run.ended", job="tick")
        for _ in range(3_000):
            edit(daemon, dice)
        for number in range(20):  # whoever is broken now would keep what it had
            path = daemon.jobs / f"job-{number}.yaml"
            if path.exists():
                daemon.write_job(path.stem, job(path.stem, seconds=3600))
        daemon.luad("reload")
        assert names_in_force(daemon) == {path.stem for path in daemon.jobs.glob("[!.]*.yaml")}
        assert_on_time(daemon, LATE_MS)


def edit(daemon: LiveDaemon, dice: random.Random) -> None:
    """Do one of the things that editors, scripts and mistakes do to a file."""
    name = f"job-{dice.randrange(20)}"
    path = daemon.jobs / f"{name}.yaml"
    text = job(name, seconds=dice.choice([1, 3600]))
    match dice.randrange(5):
        case 0:
            path.write_text(text)
        case 1:
            daemon.write_job(name, text)
        case 2:
            path.unlink(missing_ok=True)
        case 3:
            with suppress(FileNotFoundError):
                path.rename(daemon.jobs / f"job-{dice.randrange(20)}.yaml")
        case _:
            with path.open("w") as torn:
                torn.write(text[: len(text) // 2])


def test_the_folder_may_go_come_back_be_another_or_be_everybodys(tmp_path: Path) -> None:
    daemon = besieged(tmp_path)
    aside = tmp_path / "aside"
    with daemon:
        daemon.wait_for("run.ended", job="tick")
        daemon.jobs.rename(aside)
        daemon.wait_for("config.problem", code="LU038")
        daemon.wait_for("run.ended", job="tick")
        daemon.jobs.symlink_to(aside)
        daemon.write_job("late", job("late"))
        daemon.wait_for("run.ended", job="late", status="succeeded")
        aside.chmod(0o777)
        assert daemon.luad("reload", check=False).returncode == 1
        daemon.wait_for("run.ended", job="tick", status="succeeded")
        aside.chmod(0o755)
        daemon.luad("reload")
        (aside / "tick.yaml").chmod(0o666)
        assert daemon.luad("reload", check=False).returncode == 1
        daemon.wait_for("run.ended", job="tick", status="succeeded")
        (aside / "tick.yaml").chmod(0o644)
        daemon.luad("reload")
        assert names_in_force(daemon) == {"tick", "late"}
        assert_on_time(daemon, LATE_MS)


def test_a_configmap_swapped_again_and_again_misses_no_run(tmp_path: Path) -> None:
    """Kubernetes: `..data` is exchanged, the old folder removed; the files are links into it."""
    daemon = besieged(tmp_path)
    (daemon.jobs / "tick.yaml").unlink()
    (daemon.jobs / "tick.yaml").symlink_to("..data/tick.yaml")

    def swap(version: int) -> None:
        fresh = daemon.jobs / f"..{version}"
        fresh.mkdir()
        (fresh / "tick.yaml").write_text(job("tick", more=f"description: version {version}"))
        (daemon.jobs / "..draft").symlink_to(fresh.name)
        (daemon.jobs / "..draft").replace(daemon.jobs / "..data")
        if version:
            shutil.rmtree(daemon.jobs / f"..{version - 1}")

    swap(0)
    with daemon:
        daemon.wait_for("run.ended", job="tick")
        for version in range(1, 21):
            swap(version)
            if version % 4 == 0:
                daemon.wait_for("config.installed", removed=0)
        daemon.luad("reload")
        daemon.wait_for("run.ended", job="tick", status="succeeded")
        assert daemon.json("show", "tick")["description"] == "version 20"
        assert not [line for line in daemon.lines if line.get("removed")]
        assert_on_time(daemon, LATE_MS)
