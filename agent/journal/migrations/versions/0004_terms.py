"""The tables and columns take the names that the code uses."""

import sqlalchemy as sa
from alembic import op

revision = "journal_0004"
down_revision = "journal_0003"


def upgrade() -> None:
    op.alter_column("transfers", "step", new_column_name="phase")
    op.alter_column("transfers", "already_there", new_column_name="already_present")
    op.execute("UPDATE transfers SET phase = 'verified' WHERE phase = 'intent'")
    op.drop_index("ux_history_settles", "history")
    op.alter_column("history", "settles", new_column_name="suppresses_retry")
    op.create_index(
        "ux_history_suppresses_retry",
        "history",
        ["route", "path"],
        unique=True,
        sqlite_where=sa.text("suppresses_retry = 1"),
        postgresql_where=sa.text("suppresses_retry"),
    )
    op.alter_column("upload_jobs", "closed", new_column_name="cleaned_up")
    _move_orphans()
    _move_orphan_scans()


def _move_orphans() -> None:
    op.create_table(
        "orphans",
        sa.Column("destination", sa.LargeBinary, nullable=False),
        sa.Column("partial", sa.LargeBinary, nullable=False),
        sa.PrimaryKeyConstraint("destination", "partial", name="pk_orphans"),
    )
    op.execute("INSERT INTO orphans (destination, partial) SELECT destination, partial FROM leftovers")
    op.drop_table("leftovers")


def _move_orphan_scans() -> None:
    op.create_table(
        "orphan_scans",
        sa.Column("identity", sa.Text, nullable=False),
        sa.Column("destination", sa.LargeBinary, nullable=False),
        sa.PrimaryKeyConstraint("identity", "destination", name="pk_orphan_scans"),
    )
    op.execute("INSERT INTO orphan_scans (identity, destination) SELECT identity, destination FROM searched")
    op.drop_table("searched")
