"""Fuzz every target for a while, guided by coverage: `make fuzz`, or `make fuzz SECONDS=600 TARGETS=cron`.

    PYTHONPATH=tests python -m fuzz.run [--seconds N] [target ...]

Each target runs in a process of its own, beginning with the seeds of `seeds.py` and with what was found
before. What breaks a target is written to `tests/fuzz/found/TARGET/`, where `make test` replays it from
then on. The exit status is 1 when anything was found.

Needs atheris, which brings libFuzzer to Python: pip install -e '.[fuzz]'.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Final

FOUND: Final = Path(__file__).parent / "found"
_LIMIT_S: Final = 20
"""One input may take no longer; some hundred times what any needs."""
_MEMORY_MB: Final = 3_000
_LONGEST: Final = {"cron": 300, "wire": 20_000}
_FIGURES: Final = re.compile(r"stat::(number_of_executed_units|new_units_added):\s+(\d+)")


def main() -> int:
    """Fuzz the targets that are named, or all; say what was tried and found."""
    from fuzz.seeds import NAMES

    parser = argparse.ArgumentParser(description="Fuzz luad's targets.")
    parser.add_argument("--seconds", type=int, default=60, help="for each target")
    parser.add_argument("--one", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("targets", nargs="*", choices=[[], *NAMES], metavar="target")
    asked = parser.parse_args()
    if asked.one:
        fuzz(asked.targets[0], asked.seconds)
    found = [each for name in asked.targets or NAMES for each in run(name, asked.seconds)]
    for path in found:
        print(f"found: {path.relative_to(Path.cwd())}")
    return 1 if found else 0


def run(name: str, seconds: int) -> list[Path]:
    """Fuzz one target in its own process; return the inputs that broke it."""
    folder = FOUND / name
    folder.mkdir(parents=True, exist_ok=True)
    before = set(folder.iterdir())
    command = [sys.executable, "-m", "fuzz.run", "--one", "--seconds", str(seconds), name]
    done = subprocess.run(command, capture_output=True, text=True, errors="replace", check=False)
    figures = {key: int(value) for key, value in _FIGURES.findall(done.stderr)}
    new = sorted(set(folder.iterdir()) - before)
    count = figures.get("number_of_executed_units", 0)
    print(f"{name:<12} {count:>9,} executions, {len(new)} findings", flush=True)
    if done.returncode and (new or not count):
        print("\n".join(done.stderr.splitlines()[-60:]), file=sys.stderr)
    if done.returncode and not new:
        sys.exit(f"{name}: the fuzzer itself ended with {done.returncode}")
    if not any(folder.iterdir()):
        folder.rmdir()
    return new


def fuzz(name: str, seconds: int) -> None:
    """Be the process that fuzzes one target; libFuzzer ends it."""
    import atheris  # an extra: only `make fuzz` has it

    with atheris.instrument_imports(include=["luad", "fuzz", "yaml", "h11", "uvicorn"]):
        from fuzz.targets import TARGETS
    from fuzz.seeds import dictionary, seeds

    with tempfile.TemporaryDirectory() as scratch:
        corpus = Path(scratch) / "corpus"
        corpus.mkdir()
        for number, seed in enumerate([*seeds(name), *found(name)]):
            (corpus / f"{number:04}").write_bytes(seed)
        words = Path(scratch) / "words"
        words.write_text("".join(f'"{_escaped(word)}"\n' for word in dictionary(name)))
        options = [
            f"-max_total_time={seconds}",
            f"-artifact_prefix={FOUND / name}/",
            f"-timeout={_LIMIT_S}",
            f"-rss_limit_mb={_MEMORY_MB}",
            f"-max_len={_LONGEST.get(name, 4_000)}",
            f"-dict={words}",
            "-print_final_stats=1",
            "-verbosity=0",
        ]
        atheris.Setup([sys.argv[0], *options, str(corpus)], TARGETS[name])
        atheris.Fuzz()


def found(name: str) -> list[bytes]:
    """Return what was found before."""
    folder = FOUND / name
    return [path.read_bytes() for path in sorted(folder.iterdir())] if folder.is_dir() else []


def _escaped(word: str) -> str:
    return "".join(f"\\x{byte:02x}" for byte in word.encode())


if __name__ == "__main__":
    sys.exit(main())
