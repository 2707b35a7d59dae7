"""The handlers of a shop: orders, prices, pictures, bills."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pace import GatewayError, do, log, spend, wait

from luad import params

if TYPE_CHECKING:
    from luad.sdk import Job


class Invoices:
    """A client of the service that knows what was paid."""

    def __init__(self, version: str) -> None:
        self.version = version

    def fetch(self, since: str) -> list[int]:
        """Return the invoices since a day. Version 3 of the service is down."""
        log.debug("GET /%s/invoices?since=%s&page=1", self.version, since)
        if self.version == "v3":
            log.warning("answer 502 in 299 ms, x-request-id 7c19f0d2")
            raise GatewayError("502 Bad Gateway for GET https://api.pay.example/v3/invoices")
        return list(range(187, 214))


@params(
    {
        "type": "object",
        "required": ["since", "api"],
        "properties": {
            "since": {"type": "string", "description": "The first day, as 2026-11-24"},
            "api": {"enum": ["v2", "v3"], "description": "The version of the service"},
            "most": {"type": "integer", "minimum": 1, "description": "Stop after so many invoices"},
            "dry_run": {"type": "boolean", "description": "Fetch, and store nothing"},
            "customers": {"type": "array", "items": {"type": "string"}},
        },
    }
)
def sync_invoices(job: Job) -> str:
    """Fetch what was paid since a day."""
    since = str(job.metadata["since"])
    log.info("sync from %s", since)
    dice = spend(job, 1.0)
    invoices = Invoices(str(job.metadata["api"]))
    found = invoices.fetch(since)
    return f"synced {len(found) * 7 + dice.randrange(40)} invoices"


def import_orders(job: Job) -> str:
    """Take over the orders of the web shop."""
    return do(job, "orders taken over", 40, 1.4, 0.02)


def send_welcomes(job: Job) -> str:
    """Send the first mail to new customers."""
    return do(job, "mails sent", 6, 0.9)


def feed_prices(job: Job) -> str:
    """Fetch the prices of the exchanges."""
    return do(job, "prices", 900, 0.6, 0.01)


def count_stock(job: Job) -> str:
    """Compare the stock with the warehouse."""
    return do(job, "articles compared", 4200, 2.2)


def sync_customers(job: Job) -> str:
    """Compare the customers with the CRM."""
    return do(job, "customers compared", 310, 3.1, 0.01)


def check_fraud(job: Job) -> dict[str, object]:
    """Judge the orders of the last hour."""
    text = do(job, "orders judged", 160, 5.5)
    return {"judged": int(text.split()[0]), "held": 2}


def resize_images(job: Job) -> str:
    """Make small pictures of large ones."""
    log.info("[\x1b[32mok\x1b[0m] 3 workers, \x1b[1mwebp\x1b[0m")
    return do(job, "pictures", 85, 34.0)


def warm_cache(job: Job) -> str:
    """Ask for the pages that most customers see."""
    return do(job, "pages", 120, 4.0)


def rebuild_search(job: Job) -> str:
    """Write the index of the search again."""
    return do(job, "documents", 51_000, 42.0)


def sync_legacy(job: Job) -> None:
    """Ask a machine that was switched off."""
    spend(job, 0.3)
    log.error("host legacy.example does not answer")
    raise ConnectionRefusedError(f"{job.name}: [Errno 111] Connection refused")


def remind(job: Job) -> str:
    """Remind a customer of a cart."""
    wait(0.2)
    return f"reminded {job.metadata.get('customer', 'nobody')}"
