"""The tables of a store that several machines share; in the embedded store they are empty.

Rule: each table is written by the part that its comment names. Instants are milliseconds since the epoch, UTC.
"""

from __future__ import annotations

from typing import Final

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Identity,
    Index,
    Integer,
    PrimaryKeyConstraint,
    Table,
)

from luad.store.schema_base import Text, metadata, only

# Rows for the engine of a shard, in the order of `seq`. `kind`: `request` or `report`.
inbox: Final = Table(
    "inbox",
    metadata,
    Column("seq", BigInteger().with_variant(Integer, "sqlite"), Identity(), nullable=False),
    Column("shard", Integer, nullable=False),
    Column("kind", Text, nullable=False),
    Column("request_id", Text),
    Column("asker", Text),
    Column("body_json", Text, nullable=False),
    Column("at", BigInteger, nullable=False),
    Column("failed_at", BigInteger),
    Column("error", Text),
    PrimaryKeyConstraint("seq", name="inbox_pk"),
    Index("inbox_by_request", "request_id", unique=True),
    Index("inbox_waiting", "shard", "seq", **only("failed_at IS NULL")),
)

# Answers to requests. The asker deletes its own; the chores delete old ones.
replies: Final = Table(
    "replies",
    metadata,
    Column("request_id", Text, nullable=False),
    Column("asker", Text, nullable=False),
    Column("body_json", Text, nullable=False),
    Column("at", BigInteger, nullable=False),
    PrimaryKeyConstraint("request_id", name="replies_pk"),
    Index("replies_by_asker", "asker", "at"),
)

# One row for each start of a worker.
workers: Final = Table(
    "workers",
    metadata,
    Column("life", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("node", Text),
    Column("queues_json", Text, nullable=False),
    Column("code_digest", Text),
    Column("version", Text, nullable=False),
    Column("started_at", BigInteger, nullable=False),
    Column("seen_at", BigInteger, nullable=False),
    PrimaryKeyConstraint("life", name="workers_pk"),
)

# A node writes its own row with each pulse, and deletes it when it stops in order.
nodes: Final = Table(
    "nodes",
    metadata,
    Column("name", Text, nullable=False),
    Column("version", Text, nullable=False),
    Column("schema", Text, nullable=False),
    Column("site", Text),
    Column("files_digest", Text),
    Column("offset_ms", BigInteger),
    Column("started_at", BigInteger, nullable=False),
    Column("seen_at", BigInteger, nullable=False),
    PrimaryKeyConstraint("name", name="nodes_pk"),
)

# The set of files in force of each site.
sites: Final = Table(
    "sites",
    metadata,
    Column("name", Text, nullable=False),
    Column("digest", Text, nullable=False),
    Column("generation", BigInteger, nullable=False),
    Column("published_at", BigInteger, nullable=False),
    Column("published_by", Text, nullable=False),
    PrimaryKeyConstraint("name", name="sites_pk"),
)

# Every set that a node has published.
site_sets: Final = Table(
    "site_sets",
    metadata,
    Column("site", Text, nullable=False),
    Column("digest", Text, nullable=False),
    Column("first_published_at", BigInteger, nullable=False),
    PrimaryKeyConstraint("site", "digest", name="site_sets_pk"),
)

# The jobs and users of the sets in force. `kind`: `job` or `user`.
declarations: Final = Table(
    "declarations",
    metadata,
    Column("site", Text, nullable=False),
    Column("kind", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("since", BigInteger, nullable=False),
    Column("definition_json", Text, nullable=False),
    Column("revision", Text, nullable=False),
    Column("path", Text),
    Column("line", BigInteger),
    Column("is_stale", Boolean(create_constraint=False), nullable=False),
    PrimaryKeyConstraint("site", "kind", "name", name="declarations_pk"),
    Index("declarations_by_name", "kind", "name", "since"),
)

# `seen_at`: until when the engine of the shard has decided. `owner` is for people to look at.
shards: Final = Table(
    "shards",
    metadata,
    Column("shard", Integer, nullable=False, autoincrement=False),
    Column("seen_at", BigInteger),
    Column("owner", Text),
    PrimaryKeyConstraint("shard", name="shards_pk"),
)
