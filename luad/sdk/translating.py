"""Classes that answer names of other schedulers with luad's word.

Rule: cheap to import, because every handler's process pays for it.
"""

from __future__ import annotations

TYPE_CHECKING = False  # `typing` costs 9 ms, which every handler's process would pay
if TYPE_CHECKING:
    pass


class Translating(type):
    """The class of `Jobs` and `User`: a name of another scheduler raises an error with luad's word."""

    if not TYPE_CHECKING:  # so that a type checker reports missing names

        def __getattr__(cls, name: str) -> object:
            if name.startswith("_"):
                raise AttributeError(name)
            from luad.sdk.attributes import missing

            raise missing(cls, cls.__name__, name)


class Guarded:
    """An object whose attributes are read. Its own code writes them to `__dict__`."""

    _kind = ""
    _is_blocking = False
    _known: frozenset[str] = frozenset()

    if not TYPE_CHECKING:  # as above

        def __setattr__(self, name: str, value: object) -> None:
            if not name.startswith("_"):
                from luad.sdk.attributes import refuse_assignment

                refuse_assignment(self, self._kind, name, self._known)
            object.__setattr__(self, name, value)

        def __delattr__(self, name: str) -> None:
            if not name.startswith("_"):
                from luad.sdk.attributes import refuse_assignment

                refuse_assignment(self, self._kind, name, self._known)
            object.__delattr__(self, name)

        def __getattr__(self, name: str) -> object:
            if name.startswith("_") and not name.startswith("_lua"):
                raise AttributeError(name)
            member = getattr(type(self), name, None)
            if isinstance(member, property):  # its own AttributeError has called this method
                return member.fget(self)
            from luad.sdk.attributes import missing

            raise missing(self, self._kind, name)
