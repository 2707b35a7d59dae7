"""Writes the page of the problem codes from the texts of `luad help LU102`.

``python docs/reference/problems.py`` rewrites the page; with ``--check`` it changes nothing, and
exits with 1 if the page is out of date.
"""

from __future__ import annotations

import sys
from pathlib import Path

from luad.config.problem_pages import EXAMPLES, FIXABLE, PAGES
from luad.config.problems import CODES

PAGE = Path(__file__).with_name("problems.md")
HEAD = """\
# Problem codes

After this page you know the meaning of each finding of `luad check`, and its fix. `luad help LU102` shows the same text.

A finding is an error or a warning. luad does not load a file with an error. `luad check --select LU5` and `--ignore LU501`
choose codes by their beginning. `--fix` corrects the findings that say so.

| codes | are about |
|---|---|
| LU0xx | YAML and files |
| LU1xx | keys and values |
| LU2xx | schedules |
| LU3xx | handlers |
| LU4xx | several files |
| LU5xx | advice |
| LU6xx | users and channels |
"""


def text() -> str:
    """The whole page."""
    parts = [HEAD]
    for code, name in CODES.items():
        mends = (
            "`luad check --fix` corrects it where the finding says so." if code in FIXABLE else ""
        )
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
        print("problems.md is out of date")
        return 1
    PAGE.write_text(text())
    return 0


if __name__ == "__main__":
    sys.exit(main())
