"""What jobs, runs and tokens keep since 0.1.0.

Scripts are history: they are never edited once released, and import nothing of luad.
"""

from __future__ import annotations

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    """Bring the tables of 0.1.0 to those of the next version."""
