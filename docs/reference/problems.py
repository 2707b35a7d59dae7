"""Writes the page of the problem codes from the texts that `luad help LU102` shows.

``python docs/reference/problems.py`` rewrites the page; with ``--check`` it only says whether it would
change anything (exit status 1).
"""

from __future__ import annotations

import sys
from pathlib import Path

from luad.config.problem_pages import EXAMPLES, FIXABLE, PAGES
from luad.config.problems import CODES

PAGE = Path(__file__).with_name("problems.md")
HEAD = """\
# Problem codes

Look up what a finding of `luad check` means, and what to write instead. `luad help LU102` shows the same text.
A finding is an error, which keeps its file from loading, or a warning. `luad check --select LU5` and `--ignore LU501`
choose codes by their beginning; `--fix` mends the findings that say so.

LU0xx are about YAML and files, LU1xx about keys and values, LU2xx about schedules, LU3xx about handlers, LU4xx about
several files, LU5xx advice, LU6xx about users and channels.
"""


def text() -> str:
    """The whole page."""
    parts = [HEAD]
    for code, name in CODES.items():
        mends = "`luad check --fix` mends it where the finding says so." if code in FIXABLE else ""
        parts.append(f"## {code}\n\n*{name}*. {PAGES[code]} {mends}".rstrip() + "\n")
        if code in EXAMPLES:
            before, after = EXAMPLES[code]
            lines = after.replace("\n", "\n      ")
            parts.append(f"```text\nnot:  {before}\nbut:  {lines}\n```\n")
    return "\n".join(parts)


def main() -> int:
    """Rewrite the page, or compare it."""
    if PAGE.exists() and PAGE.read_text() == text():
        return 0
    if "--check" in sys.argv:
        print("problems.md is not what the codes say")
        return 1
    PAGE.write_text(text())
    return 0


if __name__ == "__main__":
    sys.exit(main())
