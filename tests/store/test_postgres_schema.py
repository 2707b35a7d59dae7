"""The schema on PostgreSQL: all tables of the metadata, texts that sort by their bytes."""

from __future__ import annotations

from sqlalchemy import create_engine, inspect, text

from luad.store.postgresql.schema import create_tables
from luad.store.tables import metadata


def test_a_fresh_database_has_every_table_and_column(postgres_url: str) -> None:
    engine = create_engine(postgres_url.replace("postgresql://", "postgresql+psycopg://"))
    with engine.begin() as connection:
        create_tables(connection)
    with engine.connect() as connection:
        inspector = inspect(connection)
        found = {
            table: [column["name"] for column in inspector.get_columns(table)]
            for table in inspector.get_table_names()
        }
        collations = connection.execute(
            text(
                "SELECT DISTINCT collation_name FROM information_schema.columns"
                " WHERE table_schema = 'public' AND data_type = 'text'"
            )
        ).scalars()
        assert list(collations) == ["C"]
        conditions = connection.execute(
            text("SELECT count(*) FROM pg_indexes WHERE indexdef LIKE '% WHERE %'")
        ).scalar_one()
        options = connection.execute(
            text("SELECT relname, reloptions FROM pg_class WHERE reloptions IS NOT NULL")
        ).all()
        assert {"runs", "inbox"} <= {name for name, _ in options}
    engine.dispose()
    assert found == {table.name: list(table.c.keys()) for table in metadata.tables.values()}
    partial = [
        index
        for table in metadata.tables.values()
        for index in table.indexes
        if index.dialect_options["sqlite"]["where"] is not None
    ]
    assert conditions == len(partial) + 2, "two more are PostgreSQL's alone"
