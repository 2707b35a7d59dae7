"""Suggests the known word for a misspelt one.

Rule: pure. A suggestion that is not close would mislead the reader, so none is made.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

_LONGEST: Final = 80
"""The number of characters of a word that are compared."""

_LIKENESS: Final = 0.6
_LIKENESS_OF_KEYS: Final = 0.75
_CANDIDATES: Final = 8
_LETTERS_PER_TYPO: Final = 4
_SHORTEST_BEGINNING: Final = 3


def close_to(word: str, known: Iterable[str], limit: int = 1) -> tuple[str, ...]:
    """Return up to *limit* of the *known* words that *word* may mean, the nearest first."""
    from difflib import get_close_matches  # noqa: PLC0415 - only once something is wrong

    word = word[:_LONGEST]
    found = get_close_matches(word, list(known), n=max(limit, _CANDIDATES), cutoff=_LIKENESS)
    return tuple(each for each in found if is_typo(word, each))[:limit]


def misspelt(key: str, known: Sequence[str]) -> str:
    """Return the *known* key that *key* misspells, or an empty text.

    It is stricter than `close_to`, because a key that is a misspelling makes the metadata invalid.
    """
    from difflib import get_close_matches  # noqa: PLC0415 - as above

    return next(iter(get_close_matches(key, known, 1, _LIKENESS_OF_KEYS)), "")


def is_typo(word: str, known: str) -> bool:
    """Return True if *word* is *known* with few wrong letters, or a part of it."""
    one, other = _plain(word), _plain(known)
    short, long = sorted((one, other), key=len)
    if len(short) >= _SHORTEST_BEGINNING and len(short) * 2 >= len(long) and _contains(long, short):
        return True
    return _distance(one, other) <= max(1, len(long) // _LETTERS_PER_TYPO)


def _contains(long: str, short: str) -> bool:
    return long.startswith(short) or f"-{short}-" in f"-{long}-"


def _plain(word: str) -> str:
    return word.casefold().replace("_", "-").replace(" ", "-").replace(".", "-")


def _distance(one: str, other: str) -> int:
    """Return the number of letters to add, remove, change or swap (optimal string alignment)."""
    before: list[int] = []
    row = list(range(len(other) + 1))
    for i, left in enumerate(one, 1):
        earlier, before = before, row
        row = [i]
        for j, right in enumerate(other, 1):
            cost = min(before[j] + 1, row[j - 1] + 1, before[j - 1] + (left != right))
            if i > 1 and j > 1 and left == other[j - 2] and one[i - 2] == right:
                cost = min(cost, earlier[j - 2] + 1)
            row.append(cost)
    return row[-1]
