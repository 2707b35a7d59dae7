"""Folders on file systems of other kinds. The mounts are the daemon's own and go with it."""

from __future__ import annotations

import subprocess
from datetime import datetime
from pathlib import Path

from support.attack import assert_every_second_has_its_row, besieged, job

from luad.clock import wall_ms

MOUNT = """
mount -t tmpfs -o mode=0755 tmpfs {0}/memory &&
mount -t overlay -o lowerdir={0}/lower,upperdir={0}/upper,workdir={0}/work overlay {0}/merged &&
exec "$@"
"""


def test_99_what_no_event_announces_is_found_and_a_file_may_move_to_another_file_system(
    tmp_path: Path,
) -> None:
    """Below an overlay things change without a word to whoever watches it: as on a network's disk."""
    folders = {each: tmp_path / each for each in ("lower", "upper", "work", "merged", "memory")}
    for folder in folders.values():
        folder.mkdir()
    options = [word for each in ("merged", "memory") for word in ("--jobs", str(folders[each]))]
    daemon = besieged(tmp_path, *options, env={"LUAD_RESCAN": "1s"})
    daemon.launcher = ("unshare", "--mount", "sh", "-c", MOUNT.format(tmp_path), "sh")
    below = folders["lower"] / "below.yaml"
    below.write_text(job("below", seconds=3600))
    with daemon:
        view = Path(f"/proc/{daemon.process.pid}/root")  # the daemon sees mounts that we do not
        merged, memory = (view / str(folders[each])[1:] for each in ("merged", "memory"))
        assert (merged / "below.yaml").exists()
        assert not list(folders["merged"].iterdir())
        below.write_text(job("below", seconds=1800))
        daemon.wait_for("config.installed", replaced=1)
        (folders["lower"] / "late.yaml").write_text(job("late", seconds=3600))
        daemon.wait_for("config.installed", added=1)
        (merged / "moving.yaml").write_text(job("moving"))
        daemon.wait_for("config.installed", added=1)
        daemon.wait_for("run.ended", job="moving", status="succeeded")
        own_id = daemon.json("show", "moving")["id"]
        subprocess.run(["mv", merged / "moving.yaml", memory], check=True)
        daemon.luad("reload")
        shown = daemon.json("show", "moving")
        assert (shown["id"], shown["file"]["stale"]) == (own_id, False)
        assert shown["file"]["path"].startswith(str(folders["memory"]))
        for _ in range(2):
            daemon.wait_for("run.ended", job="moving", status="succeeded")
        assert_every_second_has_its_row(daemon, "moving")


BIND = """
mount --bind {0}/host/single.yaml {0}/jobs.d/single.yaml &&
exec "$@"
"""


def test_99_an_edit_in_place_of_a_single_file_that_is_mounted_is_seen_within_a_second(
    tmp_path: Path,
) -> None:
    """A container mounts one file of the host into the job folder."""
    (tmp_path / "host").mkdir()
    (tmp_path / "jobs.d").mkdir()
    single = tmp_path / "host" / "single.yaml"
    single.write_text(job("single", seconds=3600))
    (tmp_path / "jobs.d" / "single.yaml").write_text("")
    daemon = besieged(tmp_path, env={"LUAD_RESCAN": "1h"})
    daemon.launcher = ("unshare", "--mount", "sh", "-c", BIND.format(tmp_path), "sh")
    with daemon:
        assert daemon.json("show", "single")["schedule"]["seconds"] == 3600
        for seconds in (1800, 900):
            written = wall_ms()
            single.write_text(job("single", seconds=seconds))
            daemon.wait_for("config.installed", replaced=1)
            line = daemon.lines[-1]
            seen = datetime.fromisoformat(line["ts"]).timestamp() * 1_000
            assert seen - written < 1_000
            assert daemon.json("show", "single")["schedule"]["seconds"] == seconds
