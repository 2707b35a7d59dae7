"""The words that both tables modules build on: the metadata, the type of texts, and partial indexes.

Rule: what the two databases say differently is said here once.
"""

from __future__ import annotations

from typing import Any, Final

from sqlalchemy import MetaData, text, types

metadata: Final = MetaData()

# PostgreSQL sorts texts by the rules of a language, SQLite by their bytes; pages and prefixes need the bytes.
Text: Final = types.Text().with_variant(types.Text(collation="C"), "postgresql")


def only(condition: str) -> dict[str, Any]:
    """Return the keywords of an `Index` that has only the rows of *condition*.

    Words of PostgreSQL's would import its dialect; `store.postgresql.schema` adds them.
    """
    return {"sqlite_where": text(condition)}
