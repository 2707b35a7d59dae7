"""Checks the subjects of commits: ``area: imperative change``, at most 72 characters.

Older commits are exempt: the check begins after the commit that added this file.
"""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
LONGEST = 72
FORM = re.compile(r"[a-z0-9][\w./-]*(, [a-z0-9][\w./-]*)*: [a-z]\S* \S.*[^.]")


def main() -> int:
    """Print each subject that breaks the rule; return the exit status."""
    if not (ROOT / ".git").exists():
        print("subjects: this is not a checkout; nothing to check")
        return 0
    me = str(Path(__file__).relative_to(ROOT))
    added = _git("log", "--diff-filter=A", "--format=%H", "--", me)
    span = f"{added[-1]}..HEAD" if added else "HEAD..HEAD"
    wrong = 0
    for line in _git("log", "--no-merges", "--format=%h %s", span):
        subject = line.partition(" ")[2]
        if len(subject) > LONGEST:
            print(f"{line}\n    {len(subject)} characters; shorten it to {LONGEST}")
        elif not FORM.fullmatch(subject):
            print(
                f"{line}\n    write it as `area: imperative change`, lower case, without a full stop"
            )
        else:
            continue
        wrong += 1
    print(f"subjects: {wrong} to mend")
    return int(wrong > 0)


def _git(*arguments: str) -> list[str]:
    # A clone of another user is trusted here, for this one command.
    command = ["git", "-c", f"safe.directory={ROOT}", "-C", str(ROOT), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=True)  # noqa: S603 - git itself
    return done.stdout.splitlines()


if __name__ == "__main__":
    sys.exit(main())
