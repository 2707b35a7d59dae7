"""The tables and columns of a store that several machines share.

An embedded store leaves them empty. A PostgreSQL store begins with this schema, so no earlier script knows
PostgreSQL. Scripts are history: they are never edited once released, and import nothing of luad.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    """Add what a store needs that several machines share."""
    _extend_jobs_and_runs()
    _add_inbox()
    _add_nodes()
    _add_sites()


def _extend_jobs_and_runs() -> None:
    for table, name, kind in (
        ("jobs", "shard", sa.Integer),
        ("jobs", "next_at", sa.BigInteger),
        ("runs", "shard", sa.Integer),
        ("runs", "queue", sa.Text),
        ("runs", "hand_over", sa.BigInteger),
        ("runs", "stop", sa.Text),
        ("attempts", "worker", sa.Text),
        ("attempts", "code_digest", sa.Text),
        ("deliveries", "node", sa.Text),
    ):
        op.add_column(table, sa.Column(name, kind))


def _add_inbox() -> None:
    op.create_table(
        "inbox",
        sa.Column("seq", sa.Integer, nullable=False),
        sa.Column("shard", sa.Integer, nullable=False),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("request_id", sa.Text),
        sa.Column("asker", sa.Text),
        sa.Column("body_json", sa.Text, nullable=False),
        sa.Column("at", sa.BigInteger, nullable=False),
        sa.Column("failed_at", sa.BigInteger),
        sa.Column("error", sa.Text),
        sa.PrimaryKeyConstraint("seq", name="inbox_pk"),
    )
    op.create_index("inbox_by_request", "inbox", ["request_id"], unique=True)
    _index("inbox_waiting", "inbox", ["shard", "seq"], "failed_at IS NULL")
    op.create_table(
        "replies",
        sa.Column("request_id", sa.Text, nullable=False),
        sa.Column("asker", sa.Text, nullable=False),
        sa.Column("body_json", sa.Text, nullable=False),
        sa.Column("at", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("request_id", name="replies_pk"),
    )
    op.create_index("replies_by_asker", "replies", ["asker", "at"])


def _add_nodes() -> None:
    op.create_table(
        "workers",
        sa.Column("life", sa.Text, nullable=False),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("node", sa.Text),
        sa.Column("queues_json", sa.Text, nullable=False),
        sa.Column("code_digest", sa.Text),
        sa.Column("version", sa.Text, nullable=False),
        sa.Column("started_at", sa.BigInteger, nullable=False),
        sa.Column("seen_at", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("life", name="workers_pk"),
    )
    op.create_table(
        "nodes",
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("version", sa.Text, nullable=False),
        sa.Column("schema", sa.Text, nullable=False),
        sa.Column("site", sa.Text),
        sa.Column("files_digest", sa.Text),
        sa.Column("offset_ms", sa.BigInteger),
        sa.Column("started_at", sa.BigInteger, nullable=False),
        sa.Column("seen_at", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("name", name="nodes_pk"),
    )
    op.create_table(
        "shards",
        sa.Column("shard", sa.Integer, nullable=False, autoincrement=False),
        sa.Column("seen_at", sa.BigInteger),
        sa.Column("owner", sa.Text),
        sa.PrimaryKeyConstraint("shard", name="shards_pk"),
    )


def _add_sites() -> None:
    op.create_table(
        "sites",
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("digest", sa.Text, nullable=False),
        sa.Column("generation", sa.BigInteger, nullable=False),
        sa.Column("published_at", sa.BigInteger, nullable=False),
        sa.Column("published_by", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("name", name="sites_pk"),
    )
    op.create_table(
        "site_sets",
        sa.Column("site", sa.Text, nullable=False),
        sa.Column("digest", sa.Text, nullable=False),
        sa.Column("first_published_at", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("site", "digest", name="site_sets_pk"),
    )
    op.create_table(
        "declarations",
        sa.Column("site", sa.Text, nullable=False),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("since", sa.BigInteger, nullable=False),
        sa.Column("definition_json", sa.Text, nullable=False),
        sa.Column("revision", sa.Text, nullable=False),
        sa.Column("path", sa.Text),
        sa.Column("line", sa.BigInteger),
        sa.Column("is_stale", sa.Boolean(create_constraint=False), nullable=False),
        sa.PrimaryKeyConstraint("site", "kind", "name", name="declarations_pk"),
    )
    op.create_index("declarations_by_name", "declarations", ["kind", "name", "since"])


def _index(name: str, table: str, columns: list[str], condition: str) -> None:
    op.create_index(name, table, columns, sqlite_where=sa.text(condition))
