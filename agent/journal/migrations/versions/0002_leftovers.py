"""Leftovers, and which destinations were searched for them."""

import sqlalchemy as sa
from alembic import op

revision = "journal_0002"
down_revision = "journal_0001"


def upgrade() -> None:
    op.create_table(
        "leftovers",
        sa.Column("destination", sa.LargeBinary, nullable=False),
        sa.Column("partial", sa.LargeBinary, nullable=False),
        sa.PrimaryKeyConstraint("destination", "partial", name="pk_leftovers"),
    )
    op.create_table(
        "searched",
        sa.Column("identity", sa.Text, nullable=False),
        sa.Column("destination", sa.LargeBinary, nullable=False),
        sa.PrimaryKeyConstraint("identity", "destination", name="pk_searched"),
    )
