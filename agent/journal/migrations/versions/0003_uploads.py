"""Upload jobs and their files."""

import sqlalchemy as sa
from alembic import op

revision = "journal_0003"
down_revision = "journal_0002"


def upgrade() -> None:
    op.create_table(
        "upload_jobs",
        sa.Column("number", sa.Integer, nullable=False),
        sa.Column("id", sa.Text, nullable=False),
        sa.Column("source_folder", sa.LargeBinary, nullable=False),
        sa.Column("destination_bucket", sa.Text, nullable=False),
        sa.Column("pattern", sa.LargeBinary),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("progress", sa.Double, nullable=False),
        sa.Column("total_files", sa.Integer, nullable=False),
        sa.Column("completed_files", sa.Integer, nullable=False),
        sa.Column("error", sa.Text),
        sa.Column("created_at", sa.Double, nullable=False),
        sa.Column("updated_at", sa.Double, nullable=False),
        sa.Column("closed", sa.Boolean, nullable=False),
        sa.PrimaryKeyConstraint("number", name="pk_upload_jobs"),
        sa.UniqueConstraint("id", name="uq_upload_jobs_id"),
    )
    op.create_table(
        "upload_files",
        sa.Column("number", sa.Integer, nullable=False),
        sa.Column("job", sa.Text, nullable=False),
        sa.Column("path", sa.LargeBinary, nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("size_bytes", sa.Integer, nullable=False),
        sa.Column("mtime_ns", sa.Text, nullable=False),
        sa.Column("key", sa.LargeBinary),
        sa.Column("error", sa.Text),
        sa.Column("created_at", sa.Double, nullable=False),
        sa.Column("updated_at", sa.Double, nullable=False),
        sa.PrimaryKeyConstraint("number", name="pk_upload_files"),
        sa.ForeignKeyConstraint(["job"], ["upload_jobs.id"], name="fk_upload_files_job"),
        sa.UniqueConstraint("job", "path", name="uq_upload_files_job_path"),
    )
