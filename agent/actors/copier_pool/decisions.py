"""What a transfer decides without touching anything: how it goes on, what it asks for, how it ended."""

from collections.abc import Sequence

from attrs import evolve

from agent.config.sections import Route
from agent.messages.dispatcher import AttemptFailed, Interrupted
from agent.model.errors import Fault, FaultKind
from agent.model.multipart import bound_name
from agent.model.names import path_at, removing_path
from agent.model.source_file import (
    FileVersion,
    Signature,
    may_have_same_content,
    may_share_blocks,
)
from agent.model.transfer import (
    Delivery,
    PriorResult,
    PublishedTransfer,
    Transfer,
    TransferPhase,
    TransferResult,
    VerifiedTransfer,
)
from agent.model.views import HistoryResult
from agent.protocol.replies import Copied, Published
from agent.protocol.requests import (
    ConfirmDelivery,
    ConflictMode,
    DestinationRef,
    LookUpSource,
    PartialToPublish,
    PublishFiles,
    RemoveSources,
    SourceMount,
    SourceToRemove,
    VerifyFile,
)

HASH_PREFIX = "xxh128:"
NOT_READ_BACK = ("hash", "size")
EXFAT_TIME_NS = 10_000_000
# Not the file's fault, so no attempt is counted.
NON_COUNTING = (
    FaultKind.DESTINATION,
    FaultKind.JOURNAL,
    FaultKind.SHORTAGE,
    FaultKind.SOURCE_OUTAGE,
    FaultKind.BUSY,
    FaultKind.DISPLACED,
)
LOST_PARTIAL = (FaultKind.DISPLACED, FaultKind.PARTIAL_GONE)  # the copy starts over in a fresh one
REPORTED_ELSEWHERE = (FaultKind.JOURNAL, FaultKind.SHORTAGE)  # once, when it begins; it meets every file


def may_be_resumed(transfer: Transfer, file: FileVersion, destination: str) -> bool:
    """Whether a running transfer leads to this destination, perhaps with the content that the file has now.

    While it is COPYING, an earlier state of the same file will do: its blocks are compared.
    """
    is_copying = transfer.phase is TransferPhase.COPYING
    may_be_of_use = may_share_blocks if is_copying else may_have_same_content
    return transfer.destination == destination and may_be_of_use(transfer.signature, file.signature)


def is_as_journaled(transfer: Transfer, file: FileVersion) -> bool:
    """Whether the file is certainly as the transfer has it, so that nothing has to be compared."""
    return transfer.signature.is_same_state(file.signature) and _has_own_ctime(file.signature)


def was_written(transfer: Transfer) -> bool:
    """Whether its partial was at the destination: a transfer begins before its partial is created."""
    return bool(transfer.blocks) or transfer.phase is TransferPhase.VERIFIED


def _has_own_ctime(signature: Signature) -> bool:
    """Whether ctime says more than mtime, which is only as exact as it is, and can be set back.

    It is no later than mtime on file systems that keep none (FAT, exFAT, some FUSE), and right after a write.
    Times that are finer than those of FAT and exFAT, 10 ms at best, tell the second from the first.
    """
    *_, mtime_ns, ctime_ns = signature.numbers
    return ctime_ns > mtime_ns or (ctime_ns == mtime_ns and mtime_ns % EXFAT_TIME_NS != 0)


def is_kept_copy(prior: PriorResult, file: FileVersion) -> bool:
    """Whether this file was delivered and kept, if its content has the recorded hash."""
    is_kept = prior.result == "kept" and prior.error is None and prior.hash is not None
    return is_kept and may_have_same_content(prior.signature, file.signature)


def delivery_before(prior: PriorResult, file: FileVersion) -> Delivery:
    """The delivery of a file that was kept."""
    return Delivery(
        destination_path=prior.destination_path or "",
        level=prior.verified_level or "size",
        hash=prior.hash or "",
        size_bytes=file.signature.size_bytes,
        already_present=True,
        kept=True,
    )


def outcome_of(
    file: FileVersion, fault: Fault, verified_bytes: int, at: float
) -> Interrupted | AttemptFailed:
    if fault.kind in NON_COUNTING:
        return Interrupted(file, fault, verified_bytes, at)
    return AttemptFailed(file, fault, verified_bytes, at)


def as_verified(transfer: Transfer, copied: Copied, name: str) -> Transfer:
    """`name`: the one that the file is to have, unless its partial can only get another."""
    name = copied.published.name if copied.published else bound_name(transfer.partial, name)
    digest = HASH_PREFIX + copied.digest.hex()
    return evolve(
        transfer,
        phase=TransferPhase.VERIFIED,
        name=name,
        hash=digest,
        level=copied.level,
        file_identity=copied.file_identity,
    )


def as_published(transfer: Transfer, published: Published) -> Transfer:
    return evolve(
        transfer,
        phase=TransferPhase.PUBLISHED,
        name=published.name,
        level=published.level or transfer.level,
        already_present=published.already_present,
        file_identity=published.file_identity,
    )


def verified_record(transfer: Transfer) -> VerifiedTransfer:
    name, file_identity = transfer.name or transfer.path, transfer.file_identity
    return VerifiedTransfer(transfer.id, name, transfer.hash or "", transfer.level or "size", file_identity)


def published_record(transfer: Transfer) -> PublishedTransfer:
    name, file_identity = transfer.name or transfer.path, transfer.file_identity
    return PublishedTransfer(transfer.id, name, transfer.already_present, transfer.level, file_identity)


def publish_request(
    destination: DestinationRef, route: Route | None, verified: Sequence[Transfer]
) -> PublishFiles:
    """`route`: None when it is not configured any more."""
    conflict: ConflictMode = "rename" if route is None else route.conflict
    verify = "read_back" if route is None else route.verify
    files = tuple(
        PartialToPublish(
            partial=transfer.partial,
            name=transfer.name or transfer.path,
            size_bytes=transfer.signature.size_bytes,
            digest=digest_of(transfer),
            read_back=verify == "read_back" and transfer.level in NOT_READ_BACK,
            file_identity=transfer.file_identity,
        )
        for transfer in verified
    )
    return PublishFiles(destination, conflict, files)


def confirm_request(destination: DestinationRef, published: Transfer) -> ConfirmDelivery:
    """Its content is read back where that was asked for when it was delivered."""
    digest = None if published.level in NOT_READ_BACK else digest_of(published)
    name, size_bytes = published.name or published.path, published.signature.size_bytes
    return ConfirmDelivery(VerifyFile(destination, name, size_bytes, digest))


def digest_of(known: Transfer | PriorResult) -> bytes:
    return bytes.fromhex((known.hash or "").removeprefix(HASH_PREFIX))


def remove_request(identity: str, route: Route, published: Sequence[Transfer]) -> RemoveSources:
    files = tuple(_source_to_remove(identity, transfer) for transfer in published)
    return RemoveSources(route.source, route.after, route.archive, files)


def look_up_request(identity: str, route: Route, transfer: Transfer, mount_point: str | None) -> LookUpSource:
    """Whether its source exists, perhaps under the private name that a removal has given it.

    `mount_point`: where the source was mounted when it was last accepted.
    """
    mount = SourceMount(mount_point, route.source_marker)
    if transfer.phase is not TransferPhase.PUBLISHED:
        return LookUpSource(route.source, transfer.path, mount=mount)
    private_path = _source_to_remove(identity, transfer).private_path
    return LookUpSource(route.source, transfer.path, private_path, mount)


def finish_removal_request(
    identity: str, route: Route, transfer: Transfer, *, is_delivered: bool
) -> RemoveSources:
    """End a removal that was cut off: the source goes, or gets its name back if it is to stay.

    It stays when the destination has lost it (`is_delivered` False), and when it was delivered to one that
    its route does not have any more.
    """
    file = evolve(_source_to_remove(identity, transfer), is_renamed=True)
    if transfer.destination != route.destination or not is_delivered:
        return RemoveSources(route.source, "keep", None, (file,))
    return RemoveSources(route.source, route.after, route.archive, (file,))


def _source_to_remove(identity: str, transfer: Transfer) -> SourceToRemove:
    private_path = removing_path(identity, transfer.path, transfer.partial)
    return SourceToRemove(transfer.path, transfer.signature, private_path)


def destination_path(transfer: Transfer) -> str:
    """Where the published file is, as operators read it."""
    return path_at(transfer.destination, transfer.name or transfer.path)


def result_of(
    transfer: Transfer, route: Route, kept_because: str | None, attempts: int, at: float
) -> TransferResult:
    """How a published file ended. `kept_because`: as in `SourceRemoved`; no error if the route keeps it."""
    error = _unwanted(route, kept_because)
    result: HistoryResult = "delivered" if kept_because is None else "kept"
    return TransferResult(transfer.id, result, attempts, error, at, destination_path(transfer))


def _unwanted(route: Route, kept_because: str | None) -> str | None:
    return None if route.after == "keep" else kept_because


def delivery_of(transfer: Transfer, route: Route, kept_because: str | None) -> Delivery:
    return Delivery(
        destination_path=destination_path(transfer),
        level=transfer.level or "size",
        hash=transfer.hash or "",
        size_bytes=transfer.signature.size_bytes,
        already_present=transfer.already_present,
        kept=kept_because is not None,
        started_at=transfer.started_at,
        kept_because=_unwanted(route, kept_because),
    )


def log_fields(route: str, path: str, destination: str, transfer_id: int | None) -> dict[str, str | int]:
    """The fields of a log line about a file. `transfer_id`: None before its transfer has begun."""
    known = {} if transfer_id is None else {"transfer_id": transfer_id}
    return {"route": route, "file": path, **known, "destination": destination}
