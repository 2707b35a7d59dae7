"""The handlers of operations: checks, backups, certificates."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pace import do, log, spend

if TYPE_CHECKING:
    from luad.sdk import Job


class CertificateError(Exception):
    """A certificate will expire soon."""


def check_health(job: Job) -> dict[str, object]:
    """Ask each service how it is."""
    text = do(job, "services asked", 12, 0.5)
    return {"asked": int(text.split()[0]), "slow": 0}


def check_names(job: Job) -> str:
    """Resolve the names of the shop."""
    return do(job, "names resolved", 24, 0.3)


def check_disks(job: Job) -> str:
    """Compare the free space with the limits."""
    return do(job, "disks", 9, 0.2)


def check_certificates(job: Job) -> str:
    """Look for certificates that expire soon; the first one does in six days."""
    spend(job, 0.8)
    days = int(str(job.metadata["warn_days"]))
    if days < 6:
        return "14 certificates are valid"
    log.error("shop.example expires in 6 days")
    raise CertificateError(f"1 of 14 certificates expires within {days} days: shop.example")


def watch_promises(job: Job) -> str:
    """Compare the answers with what customers were promised."""
    return do(job, "answers compared", 300, 0.7)


def publish_status(job: Job) -> str:
    """Write the page that says how the shop is."""
    return do(job, "lines written", 18, 0.4)


def meter_usage(job: Job) -> str:
    """Add up what customers used."""
    return do(job, "meters", 730, 1.8, 0.01)


def rotate_logs(job: Job) -> str:
    """Pack yesterday's logs."""
    return do(job, "files packed", 44, 6.0)


def back_up(job: Job) -> dict[str, object]:
    """Copy the database to another house."""
    log.info("dump of %s", job.metadata.get("database", "shop"))
    spend(job, 260)
    return {"bytes": 18_402_113_024, "to": "backup.example"}


def vacuum(job: Job) -> str:
    """Give the space of deleted rows back."""
    return do(job, "tables", 63, 95)
