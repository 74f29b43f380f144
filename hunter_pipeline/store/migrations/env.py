"""Alembic's entry point: runs the revisions on the connection that `store.migrate` hands over.

No configuration is read here and no connection is made: one place (`store.engine`) knows how to connect.
"""

from alembic import context

from hunter_pipeline.store.tables import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    compare_type=True,
    compare_server_default=False,
    transaction_per_migration=True,
)
with context.begin_transaction():
    context.run_migrations()
