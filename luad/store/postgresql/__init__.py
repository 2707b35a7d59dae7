"""The PostgreSQL backend: the session that writes and holds the locks, readers, the schema.

Rule: only this package imports psycopg, which the extra `cluster` installs.
"""
