"""Alembic migrations of the journal; run by `agent.stores.database` when a journal is opened."""
