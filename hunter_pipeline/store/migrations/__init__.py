"""Alembic's environment and the revisions, oldest first. Run through `store.migrate`, never by `alembic` itself."""
