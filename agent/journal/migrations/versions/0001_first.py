"""Transfers, their blocks, history, paused routes, mounts."""

import sqlalchemy as sa
from alembic import op

revision = "journal_0001"
down_revision = None


def upgrade() -> None:
    _transfers()
    _blocks()
    _history()
    op.create_table(
        "paused_routes",
        sa.Column("route", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("route", name="pk_paused_routes"),
    )
    op.create_table(
        "mounts",
        sa.Column("destination", sa.LargeBinary, nullable=False),
        sa.Column("mount_point", sa.LargeBinary, nullable=False),
        sa.PrimaryKeyConstraint("destination", name="pk_mounts"),
    )


def _transfers() -> None:
    op.create_table(
        "transfers",
        sa.Column("id", sa.Integer, nullable=False),
        sa.Column("route", sa.Text, nullable=False),
        sa.Column("path", sa.LargeBinary, nullable=False),
        sa.Column("file_path", sa.LargeBinary, nullable=False),
        sa.Column("signature", sa.Text, nullable=False),
        sa.Column("destination", sa.LargeBinary, nullable=False),
        sa.Column("step", sa.String(16), nullable=False),
        sa.Column("partial", sa.LargeBinary, nullable=False),
        sa.Column("name", sa.LargeBinary),
        sa.Column("hash", sa.Text),
        sa.Column("level", sa.Text),
        sa.Column("already_there", sa.Boolean, nullable=False),
        sa.Column("discovered_at", sa.Double, nullable=False),
        sa.Column("started_at", sa.Double, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_transfers"),
        sa.UniqueConstraint("route", "path", name="uq_transfers_route_path"),
        sqlite_autoincrement=True,
    )


def _blocks() -> None:
    op.create_table(
        "blocks",
        sa.Column("transfer_id", sa.Integer, nullable=False),
        sa.Column("first_block", sa.Integer, nullable=False, autoincrement=False),
        sa.Column("digests", sa.LargeBinary, nullable=False),
        sa.PrimaryKeyConstraint("transfer_id", "first_block", name="pk_blocks"),
        sa.ForeignKeyConstraint(
            ["transfer_id"], ["transfers.id"], name="fk_blocks_transfer_id", ondelete="CASCADE"
        ),
    )


def _history() -> None:
    op.create_table(
        "history",
        sa.Column("id", sa.Integer, nullable=False),
        sa.Column("transfer_id", sa.Integer, nullable=False),
        sa.Column("route", sa.Text, nullable=False),
        sa.Column("path", sa.LargeBinary, nullable=False),
        sa.Column("file_path", sa.LargeBinary, nullable=False),
        sa.Column("signature", sa.Text, nullable=False),
        sa.Column("destination", sa.LargeBinary, nullable=False),
        sa.Column("discovered_at", sa.Double, nullable=False),
        sa.Column("started_at", sa.Double, nullable=False),
        sa.Column("ended_at", sa.Double, nullable=False),
        sa.Column("result", sa.Text, nullable=False),
        sa.Column("destination_path", sa.LargeBinary),
        sa.Column("verified_level", sa.Text),
        sa.Column("hash", sa.Text),
        sa.Column("attempts", sa.Integer, nullable=False),
        sa.Column("error", sa.Text),
        sa.Column("settles", sa.Boolean, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_history"),
    )
    op.create_index(
        "ux_history_settles",
        "history",
        ["route", "path"],
        unique=True,
        sqlite_where=sa.text("settles = 1"),
        postgresql_where=sa.text("settles"),
    )
