"""Texts that are partly luad's own words and partly what others said.

Secrets are hidden in the latter alone. A path such as ``/priv`` in the address of a webhook would else spoil
the words that tell the user which setting to write.

Rule: values; sends and hides nothing.
"""

from __future__ import annotations


class Outside(str):
    """What another program said: a secret may stand in it."""

    __slots__ = ()


class SaidError(Exception):
    """It did not work; *parts* say why, in luad's words but for what is `Outside`."""

    def __init__(self, *parts: str) -> None:
        super().__init__("".join(parts))
        self.parts = parts
