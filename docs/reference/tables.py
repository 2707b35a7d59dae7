"""Writes the tables of the pages on files from the schemas, which are the single source.

``python docs/reference/tables.py`` rewrites the pages; with ``--check`` it changes nothing, and
exits with 1 if a page is out of date.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from luad.cli.terminal.key_docs import FILLED_IN

HERE = Path(__file__).parent
SCHEMAS = HERE.parents[1] / "schemas"
PAGES = {
    "job-file.md": "job.schema.json",
    "settings.md": "luad.schema.json",
    "users-file.md": "users.schema.json",
}
END = "<!-- end -->\n"


def main() -> int:
    """Rewrite the pages, or compare them."""
    stale = []
    for page, schema in PAGES.items():
        path = HERE / page
        text = path.read_text()
        new = rewritten(text, json.loads((SCHEMAS / schema).read_text()))
        if new != text:
            stale.append(page)
            if "--check" not in sys.argv:
                path.write_text(new)
    print(*(f"{page} is out of date" for page in stale), sep="\n", end="")
    return 1 if stale and "--check" in sys.argv else 0


def rewritten(text: str, schema: dict[str, Any]) -> str:
    """*text* with every table between its marks made anew."""
    parts = text.split("<!-- table: ")
    for index, part in enumerate(parts[1:], 1):
        pointer, rest = part.split(" -->\n", 1)
        after = rest.split(END, 1)[1]
        table = "".join(f"{row}\n" for row in rows(schema, pointer))
        parts[index] = f"{pointer} -->\n{table}{END}{after}"
    return "<!-- table: ".join(parts)


def rows(schema: dict[str, Any], pointer: str) -> Iterator[str]:
    """The rows for the object at *pointer*: ``properties/retry``, ``$defs/cron``, or ``.``."""
    target = schema
    for step in pointer.split("/") if pointer != "." else ():
        target = target[step]
    yield "| key | default | meaning |"
    yield "|---|---|---|"
    required = target.get("required", [])
    for name, given in target["properties"].items():
        field = resolved(schema, given)
        default = "" if name in FILLED_IN else shown(field.get("default"))
        default = "required" if name in required else default
        yield f"| `{name}` | {default} | {field.get('markdownDescription', '').replace('|', '&#124;')} |"


def resolved(schema: dict[str, Any], field: dict[str, Any]) -> dict[str, Any]:
    """*field* over what its `$ref` points to."""
    reference = field.get("$ref", "").removeprefix("#/$defs/")
    return {**schema["$defs"].get(reference, {}), **field}


def shown(value: Any) -> str:
    """A default as it would be written in YAML."""
    if value in (None, "", [], {}):
        return ""
    text = json.dumps(value, ensure_ascii=False)
    return f"`{text.strip(chr(34)) if isinstance(value, str) else text}`"


if __name__ == "__main__":
    sys.exit(main())
