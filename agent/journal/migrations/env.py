"""Alembic's entry: migrates the connection that it is handed, inside the transaction it is in."""

from alembic import context

from agent.journal.schema import metadata

context.configure(
    connection=context.config.attributes["connection"], target_metadata=metadata, render_as_batch=True
)
context.run_migrations()
