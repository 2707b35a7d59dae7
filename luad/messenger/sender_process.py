"""The sender: a process of its own that talks to services, with one thread for each message.

It reads a line of JSON for each delivery, and writes one with its outcome. When the daemon ends, standard
input ends, and this process exits without waiting for its threads.

Rule: it resolves secrets, and hides them in all its output.
"""

from __future__ import annotations

import json
import os
import sys
import threading
from typing import Any, TypedDict

from luad.core.messaging import ChannelKind
from luad.messenger import services, webhook
from luad.messenger.exchange import SilentError
from luad.messenger.mixed_text import ForeignText, MixedTextError
from luad.messenger.references import Resolver

_MAX_TEXT = 500


class Order(TypedDict):
    """One delivery, as the daemon asks for it."""

    id: int
    kind: str
    url: str
    headers: list[list[str]]
    timeout_ms: int
    allow_private: bool
    permit_insecure: bool
    message: dict[str, Any]


def fulfil(order: Order, resolver: Resolver) -> dict[str, object]:
    """Send one message by one channel, and return the outcome. Never raises."""
    try:
        answer, is_degraded = _send(order, resolver)
    except MixedTextError as error:
        is_silent = isinstance(error, SilentError)
        return _outcome(order, resolver, error=error.parts, is_silent=is_silent)
    except Exception as error:  # noqa: BLE001 - any failure of a service is an outcome
        said = (type(error).__name__, ": ", ForeignText(error))
        return _outcome(order, resolver, error=said)
    return _outcome(order, resolver, answer=answer, is_degraded=is_degraded)


def _send(order: Order, resolver: Resolver) -> tuple[tuple[str, ...], bool]:
    message, timeout_ms = order["message"], order["timeout_ms"]
    if order["kind"] == ChannelKind.APPRISE:
        url = resolver.address(order["url"], hides_host=True)
        allow_private = order["allow_private"]
        return services.send(url, message, timeout_ms, allow_private=allow_private)
    url = resolver.address(order["url"])
    headers = {
        "Content-Type": "application/json",
        "User-Agent": "luad",
        **{name: resolver.secret(value) for name, value in order["headers"]},
        "Luad-Message": message["id"],
    }
    post = webhook.Post(url, headers, message, timeout_ms, order["allow_private"])
    return webhook.send(post)


def _outcome(
    order: Order,
    resolver: Resolver,
    *,
    error: tuple[str, ...] = (),
    answer: tuple[str, ...] = (),
    is_degraded: bool = False,
    is_silent: bool = False,
) -> dict[str, object]:
    return {
        "id": order["id"],
        "ok": not error,
        "error": resolver.show(error)[:_MAX_TEXT],
        "answer": resolver.show(answer)[:_MAX_TEXT],
        "is_degraded": is_degraded,
        "is_silent": is_silent,
    }


def main() -> None:
    """Serve the orders on standard input until it ends."""
    lock = threading.Lock()
    out = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # output of libraries must not mix with the outcomes

    def work(order: Order) -> None:
        resolver = Resolver(os.environ, permit_insecure=order["permit_insecure"])
        line = json.dumps(fulfil(order, resolver))
        with lock:
            out.write(line + "\n")
            out.flush()

    for line in sys.stdin:
        threading.Thread(target=work, args=(json.loads(line),), daemon=True).start()
    os._exit(0)  # without waiting for threads that hang


if __name__ == "__main__":
    main()
