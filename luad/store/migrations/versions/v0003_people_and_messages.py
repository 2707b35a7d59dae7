"""Jobs that are made at run time, people, messages, tokens.

Scripts are history: they are never edited, and import nothing of luad, which goes on changing.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """Add what dynamic jobs need, and the tables of people, messages and access."""
    for name, kind in (
        ("created_at", sa.BigInteger),
        ("created_by", sa.Text),
        ("created_by_run", sa.Text),
        ("overlay_json", sa.Text),
        ("alert_json", sa.Text),
    ):
        op.add_column("jobs", sa.Column(name, kind))
    op.add_column("revisions", sa.Column("created_by_run", sa.Text))
    op.create_index(
        "revisions_by_run",
        "revisions",
        ["created_by_run"],
        sqlite_where=sa.text("created_by_run IS NOT NULL"),
    )
    op.add_column("runs", sa.Column("user_id", sa.Text))
    op.create_index(
        "runs_by_user",
        "runs",
        ["user_id", "claimed_at", "id"],
        sqlite_where=sa.text("user_id IS NOT NULL"),
    )
    _create_people()
    _create_messages()
    _create_access()


def _create_people() -> None:
    op.create_table(
        "users",
        sa.Column("id", sa.Text, nullable=False),
        sa.Column("definition_json", sa.Text, nullable=False),
        sa.Column("revision", sa.Text, nullable=False),
        sa.Column("changed_at", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("id", name="users_pk"),
    )
    op.create_table(
        "user_data",
        sa.Column("user_id", sa.Text, nullable=False),
        sa.Column("data_json", sa.Text, nullable=False),
        sa.Column("changed_at", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("user_id", name="user_data_pk"),
    )


def _create_messages() -> None:
    op.create_table(
        "messages",
        sa.Column("id", sa.Text, nullable=False),
        sa.Column("user_id", sa.Text, nullable=False),
        sa.Column("at", sa.BigInteger, nullable=False),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("title", sa.Text, nullable=False),
        sa.Column("parts_json", sa.Text, nullable=False),
        sa.Column("priority", sa.Text, nullable=False),
        sa.Column("channels_json", sa.Text),
        sa.Column("job_name", sa.Text),
        sa.Column("run_id", sa.Text),
        sa.Column("dedupe_key", sa.Text),
        sa.PrimaryKeyConstraint("id", name="messages_pk"),
    )
    op.create_index("messages_by_user", "messages", ["user_id", "at", "id"])
    op.create_index("messages_by_run", "messages", ["run_id"])
    op.create_index("messages_by_key", "messages", ["user_id", "dedupe_key"])
    op.create_index("messages_by_age", "messages", ["at"])
    op.create_table(
        "deliveries",
        sa.Column(
            "message_id",
            sa.Text,
            sa.ForeignKey("messages.id", name="deliveries_of", ondelete="CASCADE"),
        ),
        sa.Column("channel", sa.Text, nullable=False),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("started_at", sa.BigInteger, nullable=False),
        sa.Column("ended_at", sa.BigInteger),
        sa.Column("error", sa.Text, nullable=False),
        sa.Column("answer", sa.Text, nullable=False),
        sa.Column("is_degraded", sa.Boolean(create_constraint=False), nullable=False),
        sa.PrimaryKeyConstraint("message_id", "channel", name="deliveries_pk"),
    )
    op.create_index(
        "deliveries_going_on",
        "deliveries",
        ["state"],
        sqlite_where=sa.text("state = 'sending'"),
    )


def _create_access() -> None:
    op.create_table(
        "answers",
        sa.Column("key", sa.Text, nullable=False),
        sa.Column("fingerprint", sa.Text, nullable=False),
        sa.Column("subject", sa.Text, nullable=False),
        sa.Column("at", sa.BigInteger, nullable=False),
        sa.Column("status", sa.Integer),
        sa.Column("body_json", sa.Text),
        sa.PrimaryKeyConstraint("key", name="answers_pk"),
    )
    op.create_index("answers_by_age", "answers", ["at"])
    op.create_table(
        "tokens",
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("role", sa.Text, nullable=False),
        sa.Column("digest", sa.Text, nullable=False),
        sa.Column("created_at", sa.BigInteger, nullable=False),
        sa.Column("created_by", sa.Text, nullable=False),
        sa.Column("expires_at", sa.BigInteger),
        sa.PrimaryKeyConstraint("name", name="tokens_pk"),
    )
    op.create_index("tokens_by_digest", "tokens", ["digest"], unique=True)
    op.create_table(
        "audit",
        sa.Column("id", sa.Text, nullable=False),
        sa.Column("at", sa.BigInteger, nullable=False),
        sa.Column("entry_json", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("id", name="audit_pk"),
    )
    op.create_index("audit_by_age", "audit", ["at"])
