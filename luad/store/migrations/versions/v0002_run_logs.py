"""Moves the output and logs of runs into the database.

Scripts are history: they are never edited, and import nothing of luad, which goes on changing.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Make the table of the chunks of lines."""
    op.create_table(
        "run_logs",
        sa.Column(
            "run_id", sa.Text, sa.ForeignKey("runs.id", name="run_logs_run", ondelete="CASCADE")
        ),
        sa.Column("seq", sa.BigInteger, nullable=False),
        sa.Column("line_count", sa.BigInteger, nullable=False),
        sa.Column("first_at", sa.BigInteger, nullable=False),
        sa.Column("last_at", sa.BigInteger, nullable=False),
        sa.Column("byte_count", sa.Integer, nullable=False),
        sa.Column("lines_json", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("run_id", "seq", name="run_logs_pk"),
    )
    op.create_index("run_logs_by_age", "run_logs", ["last_at"])
