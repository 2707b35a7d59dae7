"""The sender: a process of its own that talks to services, one thread for each message.

A line of JSON comes in for each delivery, one goes out for its outcome. When the daemon has gone, so has
standard input, and this process ends, whatever its threads wait for.

Room rule: secrets are resolved here, and hidden in everything that leaves.
"""

from __future__ import annotations

import json
import os
import sys
import threading
from typing import Any, TypedDict

from luad.core.people import ChannelKind
from luad.messenger import services, webhook
from luad.messenger.references import BrokenReferenceError, Resolver


class Order(TypedDict):
    """One delivery, as the daemon asks for it."""

    id: int
    kind: str
    url: str
    headers: list[list[str]]
    timeout_ms: int
    allow_private: bool
    message: dict[str, Any]


def fulfil(order: Order, resolver: Resolver) -> dict[str, Any]:
    """Send one message by one channel, and say what became of it. Never raises."""
    try:
        answer, is_degraded = _send(order, resolver)
    except (BrokenReferenceError, webhook.WebhookError, services.ServiceError) as error:
        return _outcome(order, resolver, error=str(error))
    except Exception as error:  # noqa: BLE001 - whatever a service does is an outcome
        return _outcome(order, resolver, error=f"{type(error).__name__}: {error}")
    return _outcome(order, resolver, answer=answer, is_degraded=is_degraded)


def _send(order: Order, resolver: Resolver) -> tuple[str, bool]:
    message = order["message"]
    url = resolver.address(order["url"])
    if order["kind"] == ChannelKind.APPRISE:
        return services.send(url, message["parts"], message["title"], message["priority"])
    headers = {name: resolver.resolve(value) for name, value in order["headers"]}
    headers |= {
        "Content-Type": "application/json",
        "User-Agent": "luad",
        "Luad-Message": message["id"],
    }
    body = json.dumps(message).encode()
    post = webhook.Post(url, headers, body, order["timeout_ms"], order["allow_private"])
    return webhook.send(post), False


def _outcome(
    order: Order,
    resolver: Resolver,
    *,
    error: str = "",
    answer: str = "",
    is_degraded: bool = False,
) -> dict[str, Any]:
    return {
        "id": order["id"],
        "ok": not error,
        "error": resolver.hide(error)[:500],
        "answer": resolver.hide(answer)[:500],
        "is_degraded": is_degraded,
    }


def main() -> None:
    """Serve the orders on standard input until it ends."""
    lock = threading.Lock()
    out = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # what a library prints is not ours

    def work(order: Order) -> None:
        line = json.dumps(fulfil(order, Resolver(os.environ)))
        with lock:
            out.write(line + "\n")
            out.flush()

    for line in sys.stdin:
        threading.Thread(target=work, args=(json.loads(line),), daemon=True).start()
    os._exit(0)  # threads that hang are not waited for


if __name__ == "__main__":
    main()
