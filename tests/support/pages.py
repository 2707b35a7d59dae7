"""Reads the fenced blocks of a page of the documentation, and checks where its links lead."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

PROJECT = Path(__file__).parents[2]
PAGES = [
    *(PROJECT / name for name in ("README.md", "CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md")),
    PROJECT / "tests/README.md",
    *sorted((PROJECT / "docs").rglob("*.md")),
]
COMMANDS = {"sh", "console"}
TEXTS = {"python", "yaml", "ini", "toml", "json", "text", "mermaid", "nginx"}
_FENCE = re.compile(
    r"(?:^[ ]*<!-- (?P<mark>not run|exit status): (?P<value>[^\n]+) -->\n)?"
    r"^(?P<indent>[ ]*)```(?P<language>[^\n]*)\n(?P<text>.*?)^(?P=indent)```$",
    re.MULTILINE | re.DOTALL,
)
_PLACE = re.compile(r"# ([\w./-]+\.(?:py|ya?ml|toml))\n")


@dataclass(frozen=True)
class Block:
    """A fenced block: its language, its text, and the mark before it."""

    language: str
    text: str
    reason: str | None  # of `<!-- not run: REASON -->`
    status: int  # of `<!-- exit status: N -->`

    @property
    def place(self) -> str | None:
        """The file that the first line names, as in `# jobs.d/greet.yaml`."""
        found = _PLACE.match(self.text)
        return found[1] if found else None

    @property
    def commands(self) -> str:
        """The commands without the prompt and without what they print."""
        if self.language == "sh":
            return self.text
        return "".join(f"{line}\n" for line in re.findall(r"^\$ (.*)", self.text, re.MULTILINE))

    @property
    def output(self) -> list[str]:
        """The lines that a console block shows beside its commands."""
        lines = self.text.splitlines() if self.language == "console" else []
        return [line for line in lines if not line.startswith("$ ")]


def blocks(page: Path) -> Iterator[Block]:
    """Yield the fenced blocks of *page* in their order."""
    for found in _FENCE.finditer(page.read_text(encoding="utf-8")):
        is_status = found["mark"] == "exit status"
        yield Block(
            language=found["language"],
            text=textwrap.dedent(found["text"]),
            reason=found["value"] if found["mark"] == "not run" else None,
            status=int(found["value"]) if is_status else 0,
        )


def anchors(page: Path) -> set[str]:
    """Return the anchors of the headings of *page*, as GitHub makes them."""
    found: set[str] = set()
    for title in re.findall(r"^#+ (.+)$", _prose(page), re.MULTILINE):
        plain = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", title).strip().lower()
        slug = re.sub(r"[^\w\- ]", "", plain).replace(" ", "-")
        number = next(each for each in range(1000) if _numbered(slug, each) not in found)
        found.add(_numbered(slug, number))
    return found


def broken_links(page: Path) -> list[str]:
    """Return the relative links of *page* that lead to a file or an anchor which does not exist."""
    return [
        target
        for target in re.findall(r"\]\(([^)\s]+)\)", _prose(page))
        if "://" not in target and not _leads_somewhere(page, target)
    ]


def _leads_somewhere(page: Path, target: str) -> bool:
    name, _, anchor = target.partition("#")
    path = page.parent / name if name else page
    return path.exists() and (not anchor or anchor in anchors(path))


def _prose(page: Path) -> str:
    return _FENCE.sub("", page.read_text(encoding="utf-8"))


def _numbered(slug: str, number: int) -> str:
    return f"{slug}-{number}" if number else slug
