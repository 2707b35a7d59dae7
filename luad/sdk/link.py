"""The connection to luad: from a handler, a program on the same machine, or another machine.

All requests of the SDK go through one link, so a test can replace it.

Rule: cheap to import; HTTP and sockets are imported by the first request.
"""

from __future__ import annotations

TYPE_CHECKING = False  # `typing` costs 9 ms, which every handler's process would pay
if TYPE_CHECKING:
    from typing import Any, Protocol, TypeVar

    from luad.sdk.ask import Ask, Steps

    T = TypeVar("T")

    class Link(Protocol):
        """Sends requests; safe to call from any thread."""

        def call(self, ask: Ask) -> Any:
            """Return the JSON of the answer. Raises the exceptions of `luad.errors`."""
            ...


class ClientLink:
    """Sends requests over HTTP. In a handler, a header names the run."""

    def __init__(self, url: str | None = None, token: str | None = None) -> None:
        import os

        from luad.client import Client
        from luad.project_socket import find_project

        run_id = os.environ.get("LUAD_RUN_ID")
        self._headers = {"Luad-Run": run_id} if run_id else {}
        # The daemon of a project. A handler has $LUAD_SOCKET, which takes precedence.
        is_named = url or os.environ.get("LUAD_URL") or os.environ.get("LUAD_SOCKET")
        project = None if is_named else find_project()
        nearby = project.socket(os.environ, os.geteuid()) if project else None
        self._client = Client(url=url, token=token, timeout=90, nearby=nearby)

    def call(self, ask: Ask) -> Any:
        """Return the JSON of the answer."""
        headers = {**self._headers, **(ask.headers or {})}
        return self._client.request(
            ask.method, ask.path, ask.body, query=ask.query, headers=headers
        )


_link: Link | None = None


def connect(url: str, token: str | None = None) -> None:
    """Use the luad at *url* from now on, with *token*.

    Without this call, the SDK uses `$LUAD_URL` and `$LUAD_TOKEN`, else the socket of the luad on
    this machine.
    """
    from luad.sdk.checking import checked_text, header_text

    checked_text(url, "url", 'pass an address such as "http://127.0.0.1:5823"')
    if token is not None:
        header_text(token, "token")
    set_link(ClientLink(url, token))


def set_link(link: Link | None) -> Link | None:
    """Replace the link, None for the default one; return the previous one. For tests."""
    global _link
    before, _link = _link, link
    return before


def get_link() -> Link:
    """Return the current link."""
    global _link  # noqa: PLW0603 - as above
    if _link is None:
        _link = ClientLink()
    return _link


def _call(ask: Ask) -> object:
    from luad.sdk.checking import check_ask

    check_ask(ask)
    return get_link().call(ask)


def run(steps: Steps[T]) -> T:
    """Send the requests of *steps*, wait for each answer, and return the value."""
    from luad.sdk.exceptions import translated

    try:
        ask = next(steps)
        while True:
            try:
                answer = _call(ask)
            except Exception as error:  # noqa: BLE001 - the method may handle it
                ask = steps.throw(translated(error))
            else:
                ask = steps.send(answer)
    except StopIteration as end:
        value: T = end.value
        return value


async def run_async(steps: Steps[T]) -> T:
    """Do the same as `run`, without blocking other tasks."""
    import asyncio

    from luad.sdk.exceptions import translated

    try:
        ask = next(steps)
        while True:
            try:
                answer = await asyncio.to_thread(_call, ask)
            except Exception as error:  # noqa: BLE001 - the method may handle it
                ask = steps.throw(translated(error))
            else:
                ask = steps.send(answer)
    except StopIteration as end:
        value: T = end.value
        return value


def segment(text: str, what: str) -> str:
    """Return *text*, the argument called *what*, quoted as one segment of a path.

    Raises `ValidationError` if it is not a text, or empty: an empty segment would address all
    items, or none.
    """
    from urllib.parse import quote

    from luad.sdk.checking import checked_text

    return quote(checked_text(text, what, "pass a name or an id, as a text"), safe="")
