"""What jobs, runs and tokens keep since 0.1.0.

Scripts are history: they are never edited once released, and import nothing of luad.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    """Bring the tables of 0.1.0 to those of the next version."""
    _runs_say_how_they_ended()


def _runs_say_how_they_ended() -> None:
    """Let a run say why its result was left out, and that a repetition would not cure it."""
    op.add_column("runs", sa.Column("result_omitted", sa.Text))
    op.add_column("runs", sa.Column("is_retryable", sa.Boolean(create_constraint=False)))
