"""Alembic migrations of the journal; run by `agent.journal.database` when a journal is opened."""
