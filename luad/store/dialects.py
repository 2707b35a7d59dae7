"""What the two databases say in different words, as elements of SQLAlchemy Core.

Rule: statements use these elements, and never ask which database it is.
"""

from __future__ import annotations

from typing import Any, Final

from sqlalchemy import Boolean, ColumnElement, Text
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.functions import GenericFunction

_ESCAPE: Final = "/"


class has_text(GenericFunction[bool]):  # noqa: N801 - the name of a function
    """Whether a text contains another one, in any case of ASCII letters. Use `contains`."""

    type = Boolean()
    inherit_cache = True


class tags_in(GenericFunction[str]):  # noqa: N801 - the name of a function
    """The tags in the definition of a job, one row for each."""

    type = Text()
    inherit_cache = True


def contains(column: ColumnElement[Any], text: str) -> ColumnElement[bool]:
    """Return the condition that *column* contains *text*, in any case of ASCII letters."""
    for character in (_ESCAPE, "%", "_"):
        text = text.replace(character, _ESCAPE + character)
    return has_text(column, f"%{text}%")


@compiles(has_text)
def _like(element: Any, compiler: Any, **words: Any) -> str:
    column, pattern = (compiler.process(each, **words) for each in element.clauses)
    like = "LIKE" if compiler.dialect.name == "sqlite" else "ILIKE"
    return f"({column} {like} {pattern} ESCAPE '{_ESCAPE}')"


@compiles(tags_in)
def _tags(element: Any, compiler: Any, **words: Any) -> str:
    definition = compiler.process(element.clauses, **words)
    if compiler.dialect.name == "sqlite":
        valid = f"CASE WHEN json_valid({definition}) THEN {definition} END"
        return f"json_each({valid}, '$.tags')"
    found = f"jsonb_path_query_array(CAST({definition} AS jsonb), '$.tags[*]')"
    return f"jsonb_array_elements_text({found})"
