"""The commands of the how-to on upgrades, run twice over small installations."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs/how-to/upgrade-luad.md"


@pytest.fixture
def opt(tmp_path: Path) -> Path:
    """A folder in the place of /opt, with luad 0.1.0 in it as `make install` puts it there."""
    install(tmp_path / "luad")
    return tmp_path


def install(folder: Path) -> None:
    """Make a venv with a program whose first line names it, as pip writes programs."""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder], check=True, timeout=60)
    for name in ("luad", "pip", "pip3"):
        program = folder / "bin" / name
        program.write_text(f"#!{folder}/bin/python3\nimport sys\nprint(sys.prefix)\n")
        program.chmod(0o755)


def commands(opt: Path, version: str) -> tuple[str, str, str]:
    """Return what the page says for *version*: install, the first time, each time."""
    text = PAGE.read_text().replace("/opt/", f"{opt}/").replace("0.2.0", version)
    blocks = re.findall(r"```sh\n(.*?)```", text, re.DOTALL)
    first = next(each for each in blocks if each.startswith("mv "))
    each = next(each for each in blocks if each.startswith("ln "))
    return blocks[0], first, each.replace("systemctl restart luad\n", "")


def prefix_of(program: Path) -> str:
    done = subprocess.run([program], capture_output=True, text=True, check=True, timeout=30)
    return done.stdout.strip()


def run(text: str) -> None:
    subprocess.run(["sh", "-ec", text], check=True, timeout=30)


def test_each_upgrade_leaves_the_installations_before_it_alone(opt: Path) -> None:
    for version in ("0.2.0", "0.3.0"):
        made, first, each = commands(opt, version)
        target = re.findall(rf"venv ({opt}/\S+)", made)[0]
        assert not Path(target).exists(), "it would install into the folder that is in use"
        install(Path(target))
        assert prefix_of(opt / "luad/bin/luad") in {str(opt / "luad"), str(opt / "luad-0.2.0")}
        run(first + each if version == "0.2.0" else each)
        assert prefix_of(opt / "luad/bin/luad") == target
    for version in ("0.1.0", "0.2.0", "0.3.0"):
        assert prefix_of(opt / f"luad-{version}/bin/luad") == str(opt / f"luad-{version}")
        assert prefix_of(opt / f"luad-{version}/bin/pip3") == str(opt / f"luad-{version}")
    assert (opt / "luad-0.1.0/bin/python3").is_symlink(), "only the programs are edited"


def test_the_page_installs_the_version_that_the_checkout_has() -> None:
    from luad import __version__

    assert f"/opt/luad-{__version__} " in PAGE.read_text()


def test_no_text_tells_people_to_install_a_release_that_is_not_there() -> None:
    listed = subprocess.run(
        ["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True, timeout=30
    )
    told = [
        f"{name}: {line.strip()}"
        for name in listed.stdout.split("\0")
        if name and not name.startswith("tests/") and (ROOT / name).is_file()
        for line in (ROOT / name).read_text(encoding="utf-8", errors="replace").splitlines()
        if re.search(r"(?:pip|pipx|uv tool|uv pip) install [^#`]*?(?<![./\w-])luad(?![/\w-])", line)
    ]
    assert told == []
