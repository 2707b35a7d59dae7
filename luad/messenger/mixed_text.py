"""Texts that combine luad's own words with the words of other programs.

Secrets are hidden in the latter alone. Otherwise a path such as ``/priv`` in the address of a webhook would
also be hidden in the words that tell the user which setting to write.

Rule: values; sends and hides nothing.
"""

from __future__ import annotations


class ForeignText(str):
    """Text of another program, which may contain a secret."""

    __slots__ = ()


class MixedTextError(Exception):
    """An error whose *parts* are luad's words, except those that are `ForeignText`."""

    def __init__(self, *parts: str) -> None:
        super().__init__("".join(parts))
        self.parts = parts
