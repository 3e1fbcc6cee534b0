"""A transfer: its status, its phases in the journal, and how it ends."""

import enum
from typing import Literal

from attrs import frozen

from agent.model.source_file import Signature
from agent.model.verification import VerifyLevel


class Status(enum.Enum):
    """The status of a file; the values are the contract's words."""

    DISCOVERED = "Discovered"
    GROWING = "Growing"
    READY = "Ready"
    IN_QUEUE = "InQueue"
    COPYING = "Copying"
    VERIFYING = "Verifying"
    PAUSED = "Paused"
    HELD = "Held"
    COMPLETED = "Completed"
    FAILED = "Failed"


@frozen
class Delivery:
    """How a transfer ended well. `kept`: it stays at the source. `hash`: "xxh128:" and 32 hex digits.

    `started_at`: when it began; None where that is not remembered. `kept_because`: why the source, which the
    route does not keep, could not be removed.
    """

    destination_path: str
    level: VerifyLevel
    hash: str
    size_bytes: int
    already_present: bool
    kept: bool
    started_at: float | None = None
    kept_because: str | None = None


@frozen
class DeliveredFile:
    """What the history says of a delivered file. `destination_path` is absolute, `hash` as in `Delivery`."""

    route: str
    destination: str
    destination_path: str
    size_bytes: int
    hash: str


class TransferPhase(enum.Enum):
    """How far a running transfer has come, in the journal's words."""

    COPYING = "copying"
    VERIFIED = "verified"  # all of it, in the partial; the name that it is about to get is noted
    PUBLISHED = "published"  # delivered; only the source has still to be removed


@frozen
class Transfer:
    """One running or interrupted transfer, as the journal remembers it.

    `partial` and `name` are relative to the destination. `blocks`: 16-byte xxh3_128 digests of the verified
    blocks from offset 0 on, without gaps. `name`, `hash` and `level` are set from VERIFIED on.
    `file_identity`: what tells the verified partial, and later the published file, from any other, in the
    destination's own words; None: unknown, so its content has to be read again.
    """

    id: int
    route: str
    path: str
    signature: Signature
    destination: str
    phase: TransferPhase
    partial: str
    name: str | None
    blocks: tuple[bytes, ...]
    hash: str | None
    level: VerifyLevel | None
    already_present: bool
    discovered_at: float
    started_at: float
    file_identity: str | None = None


@frozen
class VerifiedTransfer:
    """All of a file is verified in its partial. `name`: the final one that it is about to get.

    `file_identity`: the partial's, as in `Transfer`.
    """

    transfer_id: int
    name: str
    hash: str
    level: VerifyLevel
    file_identity: str | None = None


@frozen
class PublishedTransfer:
    """A file has its final name, durably. `level`: reached under that name; None: the one before it holds.

    `file_identity`: as in `Transfer`, under that name.
    """

    transfer_id: int
    name: str
    already_present: bool
    level: VerifyLevel | None = None
    file_identity: str | None = None


@frozen
class TransferResult:
    """How a transfer ended, as the history keeps it. `leaves_orphan`: its partial may still exist."""

    transfer_id: int
    result: Literal["delivered", "kept", "failed"]
    attempts: int
    error: str | None
    at: float
    destination_path: str | None
    leaves_orphan: bool = False


@frozen
class ResumePoint:
    """How much of an interrupted transfer is verified at its destination."""

    route: str
    path: str
    signature: Signature
    destination: str
    verified_bytes: int


@frozen
class PriorResult:
    """Why a file that is still at the source is not transferred again: it was kept, or given up."""

    route: str
    path: str
    signature: Signature
    result: Literal["kept", "failed"]
    error: str | None
    attempts: int
    ended_at: float
    destination_path: str | None
    verified_level: VerifyLevel | None
    hash: str | None


SMALL_BYTES = 1 << 20  # files up to this size are copied whole, and examined when they are copied
