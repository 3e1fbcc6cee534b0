"""The journal's tables. A change here needs a migration."""

import enum
import os

from attrs import fields
from sqlalchemy import (
    Boolean,
    Column,
    Dialect,
    Double,
    Enum,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    Text,
    TypeDecorator,
    UniqueConstraint,
    text,
)

from agent.model.source_file import Signature
from agent.model.transfer import Transfer, TransferPhase
from agent.model.upload import UploadFileState, UploadState

REVISION = "journal_0005"  # of the newest migration; spares Alembic's import when the file is up to date


class FileName(TypeDecorator[str]):
    """A path as the bytes the file system has (PEP 383), so that any legal name survives."""

    impl = LargeBinary
    cache_ok = True

    def process_bind_param(self, value: str | None, dialect: Dialect) -> bytes | None:  # noqa: ARG002  part of the base
        return None if value is None else os.fsencode(value)

    def process_result_value(self, value: bytes | None, dialect: Dialect) -> str | None:  # noqa: ARG002  part of the base
        return None if value is None else os.fsdecode(value)


class SignatureText(TypeDecorator[Signature]):
    """A signature as five decimal numbers: inodes and far-off times do not fit into signed 64 bits."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: Signature | None, dialect: Dialect) -> str | None:  # noqa: ARG002  part of the base
        return None if value is None else " ".join(map(str, value.numbers))

    def process_result_value(self, value: str | None, dialect: Dialect) -> Signature | None:  # noqa: ARG002  part of the base
        return None if value is None else Signature(*map(int, value.split()))


class WholeNumber(TypeDecorator[int]):
    """In decimal: a file's times in nanoseconds do not always fit into signed 64 bits."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: int | None, dialect: Dialect) -> str | None:  # noqa: ARG002  part of the base
        return None if value is None else str(value)

    def process_result_value(self, value: str | None, dialect: Dialect) -> int | None:  # noqa: ARG002  part of the base
        return None if value is None else int(value)


class ErrorText(TypeDecorator[str]):
    r"""A line for people; a file name's undecodable bytes in it are kept readable, as `\udcff`."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: str | None, dialect: Dialect) -> str | None:  # noqa: ARG002  part of the base
        return None if value is None else value.encode("utf-8", "backslashreplace").decode("utf-8")


def _enum(members: type[enum.Enum]) -> Enum:
    values = [member.value for member in members]
    return Enum(members, native_enum=False, length=16, values_callable=lambda _: values)


metadata = MetaData(
    naming_convention={
        "pk": "pk_%(table_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s",
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    }
)


transfers = Table(
    "transfers",
    metadata,
    # Never used twice: history and logs name ended transfers by it.
    Column("id", Integer, primary_key=True),
    # The route's name.
    Column("route", Text, nullable=False),
    # The file, relative to the route's source.
    Column("path", FileName, nullable=False),
    # The same file, absolute, when the transfer began.
    Column("file_path", FileName, nullable=False),
    # The state of the file that is being transferred.
    Column("signature", SignatureText, nullable=False),
    # The destination as configured: a folder or s3://bucket/prefix.
    Column("destination", FileName, nullable=False),
    # A `TransferPhase`.
    Column("phase", _enum(TransferPhase), nullable=False),
    # The temporary file, relative to the destination.
    Column("partial", FileName, nullable=False),
    # The final name, relative to the destination; from VERIFIED on.
    Column("name", FileName),
    # "xxh128:" and 32 hexadecimal digits of the whole content; from VERIFIED on.
    Column("hash", Text),
    # The `VerifyLevel` reached; from VERIFIED on.
    Column("level", Text),
    # Whether the same content was there already, so that nothing was published.
    Column("already_present", Boolean, nullable=False),
    # When the file was first seen.
    Column("discovered_at", Double, nullable=False),
    # When the transfer began.
    Column("started_at", Double, nullable=False),
    # What tells the verified partial, and later the published file, from any other; from VERIFIED on.
    Column("file_identity", Text),
    UniqueConstraint("route", "path"),
    sqlite_autoincrement=True,
)


blocks = Table(
    "blocks",
    metadata,
    # The running transfer they belong to; they go with it.
    Column("transfer_id", ForeignKey("transfers.id", ondelete="CASCADE"), primary_key=True),
    # Number of the first block of this checkpoint, counted from 0 at the start of the file.
    Column("first_block", Integer, primary_key=True, autoincrement=False),
    # 16 bytes (xxh3_128) for each verified block, one after the other.
    Column("digests", LargeBinary, nullable=False),
)


history = Table(
    "history",
    metadata,
    # Rises with the order in which transfers ended; pages are cut by it.
    Column("id", Integer, primary_key=True),
    # The id it had in `transfers`.
    Column("transfer_id", Integer, nullable=False),
    # As in `transfers`, from here ...
    Column("route", Text, nullable=False),
    Column("path", FileName, nullable=False),
    Column("file_path", FileName, nullable=False),
    Column("signature", SignatureText, nullable=False),
    Column("destination", FileName, nullable=False),
    Column("discovered_at", Double, nullable=False),
    Column("started_at", Double, nullable=False),
    # ... to here.
    # When the transfer ended.
    Column("ended_at", Double, nullable=False),
    # A `HistoryResult`: delivered, kept (delivered, stays at the source) or failed.
    Column("result", Text, nullable=False),
    # Where it was delivered; empty for a failed one, and so are the next two.
    Column("destination_path", FileName),
    # The `VerifyLevel` reached.
    Column("verified_level", Text),
    # "xxh128:" and 32 hexadecimal digits.
    Column("hash", Text),
    # How often it was tried.
    Column("attempts", Integer, nullable=False),
    # Why it failed.
    Column("error", ErrorText),
    # Whether this row is the reason not to transfer this state of the file again.
    Column("suppresses_retry", Boolean, nullable=False),
)


Index(
    "ux_history_suppresses_retry",
    history.c.route,
    history.c.path,
    unique=True,
    # Exactly as in the queries, or SQLite does not use the index for them.
    sqlite_where=text("suppresses_retry = 1"),
    postgresql_where=text("suppresses_retry"),
)


paused_routes = Table(
    "paused_routes",
    metadata,
    # A route that the operator has paused; a route without a row is not paused.
    Column("route", Text, primary_key=True),
)


mounts = Table(
    "mounts",
    metadata,
    # A destination, or a source folder, as configured.
    Column("destination", FileName, primary_key=True),
    # The mount point that held it when it was last accepted.
    Column("mount_point", FileName, nullable=False),
)


orphans = Table(
    "orphans",
    metadata,
    # The destination, as configured, where it is.
    Column("destination", FileName, primary_key=True),
    # A temporary file of ours, relative to the destination, that no transfer will use again.
    Column("partial", FileName, primary_key=True),
)


orphan_scans = Table(
    "orphan_scans",
    metadata,
    # The installation id whose temporary files were searched for.
    Column("identity", Text, primary_key=True),
    # The destination, as configured, that was searched to its end; empty: no search is needed anywhere,
    # since all that was ever made under this id is in this journal.
    Column("destination", FileName, primary_key=True),
)


upload_jobs = Table(
    "upload_jobs",
    metadata,
    # Rises with the order in which jobs were added; pages are cut by it.
    Column("number", Integer, primary_key=True),
    # The job's name in the API, and of its folder in the bucket.
    Column("id", Text, nullable=False),
    # The folder, absolute, without symbolic links.
    Column("source_folder", FileName, nullable=False),
    # The bucket's name.
    Column("destination_bucket", Text, nullable=False),
    # A glob on the path below the folder; empty: every file.
    Column("pattern", FileName),
    # An `UploadState`.
    Column("state", _enum(UploadState), nullable=False),
    # From 0 to 1, by bytes.
    Column("progress", Double, nullable=False),
    # How many files were found, and how many of them were delivered.
    Column("total_files", Integer, nullable=False),
    Column("completed_files", Integer, nullable=False),
    # Why it failed, or why it waits.
    Column("error", ErrorText),
    # When it was added, and when anything about it last changed.
    Column("created_at", Double, nullable=False),
    Column("updated_at", Double, nullable=False),
    # Whether its end is complete: it has no partial left in the bucket.
    Column("cleaned_up", Boolean, nullable=False),
    UniqueConstraint("id"),
)


upload_files = Table(
    "upload_files",
    metadata,
    # Rises with the order in which files were found; pages are cut by it.
    Column("number", Integer, primary_key=True),
    # The id of the job.
    Column("job", ForeignKey("upload_jobs.id"), nullable=False),
    # The file, relative to the job's folder.
    Column("path", FileName, nullable=False),
    # An `UploadFileState`.
    Column("state", _enum(UploadFileState), nullable=False),
    # The state of the file that was last seen.
    Column("size_bytes", Integer, nullable=False),
    Column("mtime_ns", WholeNumber, nullable=False),
    # Its key in the bucket.
    Column("key", FileName),
    # What went wrong.
    Column("error", ErrorText),
    # When it was first seen, and when anything about it last changed.
    Column("created_at", Double, nullable=False),
    Column("updated_at", Double, nullable=False),
    UniqueConstraint("job", "path"),
)


TRANSFER_COLUMNS = [transfers.c[each.name] for each in fields(Transfer) if each.name != "blocks"]
