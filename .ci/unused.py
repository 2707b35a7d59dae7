"""Finds code of ``luad/`` that nothing in it uses (vulture), and refuses what ``unused.txt`` does not explain.

Each line of ``unused.txt`` is a name, a colon and the reason why the name stays. The check names the lines that
are needed no more.
"""

from __future__ import annotations

import sys
from pathlib import Path

from vulture import Vulture

ROOT = Path(__file__).parents[1]
ALLOWED = Path(__file__).with_name("unused.txt")
DECORATORS = ["@click.command", "@pytest.fixture", "@pytest.hookimpl", "@compiles"]


def main() -> int:
    """Print each difference to the allow-list; return the exit status."""
    pairs = [line.partition(": ") for line in ALLOWED.read_text().splitlines() if line]
    allowed = {name: reason for name, _, reason in pairs}
    finder = Vulture(ignore_decorators=DECORATORS)
    finder.scavenge([str(ROOT / "luad")])
    found = {str(each.name): each for each in finder.get_unused_code(min_confidence=60)}
    unknown = sorted(found.keys() - allowed.keys())
    for name in unknown:
        each = found[name]
        place = f"{Path(each.filename).relative_to(ROOT)}:{each.first_lineno}"
        print(
            f"{place}: {each.typ} `{name}` is not used; delete it, or give the reason in unused.txt"
        )
    for name in sorted(allowed.keys() - found.keys()):
        print(f"unused.txt: `{name}` is in use, or gone; its line can go")
    bare = sorted(name for name, reason in allowed.items() if not reason.strip())
    for name in bare:
        print(f"unused.txt: `{name}` has no reason")
    print(f"unused code: {len(unknown)} to delete, {len(allowed)} explained")
    return int(bool(unknown or bare))


if __name__ == "__main__":
    sys.exit(main())
