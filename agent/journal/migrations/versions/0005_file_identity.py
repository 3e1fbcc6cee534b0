"""The identity of what was verified is remembered, so that nothing else is published in its place."""

import sqlalchemy as sa
from alembic import op

revision = "journal_0005"
down_revision = "journal_0004"


def upgrade() -> None:
    op.add_column("transfers", sa.Column("file_identity", sa.Text))
