"""What a transfer decides without touching anything: how it goes on, what it asks for, how it ended."""

from collections.abc import Sequence

from attrs import evolve

from agent.config.sections import Route
from agent.messages.dispatcher import AttemptFailed, Interrupted
from agent.model.errors import Fault, FaultKind
from agent.model.multipart import bound_name
from agent.model.names import removing_path
from agent.model.source_file import FileVersion
from agent.model.transfer import (
    Delivery,
    PublishedTransfer,
    Transfer,
    TransferPhase,
    TransferResult,
    VerifiedTransfer,
)
from agent.model.views import HistoryResult
from agent.protocol.replies import Copied, Published
from agent.protocol.requests import (
    ConflictMode,
    DestinationRef,
    LookUpSource,
    PartialToPublish,
    PublishFiles,
    RemoveSources,
    SourceMount,
    SourceToRemove,
)

HASH_PREFIX = "xxh128:"
NOT_READ_BACK = ("hash", "size")
# Not the file's fault, so no attempt is counted.
NON_COUNTING = (FaultKind.DESTINATION, FaultKind.JOURNAL, FaultKind.SOURCE_OUTAGE, FaultKind.BUSY)


def can_resume(transfer: Transfer, file: FileVersion, destination: str) -> bool:
    """Whether this running transfer leads to the destination with the file as it is now.

    While it is COPYING, an earlier state of the same file will do: its blocks are compared.
    """
    if transfer.destination != destination:
        return False
    if transfer.signature == file.signature:
        return True
    return transfer.phase is TransferPhase.COPYING and transfer.signature.is_same_file(file.signature)


def outcome_of(
    file: FileVersion, fault: Fault, verified_bytes: int, at: float
) -> Interrupted | AttemptFailed:
    if fault.kind in NON_COUNTING:
        return Interrupted(file, fault, verified_bytes, at)
    return AttemptFailed(file, fault, at)


def as_verified(transfer: Transfer, copied: Copied, name: str) -> Transfer:
    """`name`: the one that the file is to have, unless its partial can only get another."""
    name = copied.published.name if copied.published else bound_name(transfer.partial, name)
    digest = HASH_PREFIX + copied.digest.hex()
    return evolve(transfer, phase=TransferPhase.VERIFIED, name=name, hash=digest, level=copied.level)


def as_published(transfer: Transfer, published: Published) -> Transfer:
    return evolve(
        transfer,
        phase=TransferPhase.PUBLISHED,
        name=published.name,
        level=published.level or transfer.level,
        already_present=published.already_present,
    )


def verified_record(transfer: Transfer) -> VerifiedTransfer:
    return VerifiedTransfer(
        transfer.id, transfer.name or transfer.path, transfer.hash or "", transfer.level or "size"
    )


def published_record(transfer: Transfer) -> PublishedTransfer:
    return PublishedTransfer(
        transfer.id, transfer.name or transfer.path, transfer.already_present, transfer.level
    )


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
            digest=bytes.fromhex((transfer.hash or "").removeprefix(HASH_PREFIX)),
            read_back=verify == "read_back" and transfer.level in NOT_READ_BACK,
        )
        for transfer in verified
    )
    return PublishFiles(destination, conflict, files)


def remove_request(identity: str, route: Route, published: Sequence[Transfer]) -> RemoveSources:
    files = tuple(_source_to_remove(identity, transfer) for transfer in published)
    return RemoveSources(route.source, route.after, route.archive, files)


def look_up_request(
    identity: str, route: Route, transfer: Transfer, mount_point: str | None = None
) -> LookUpSource:
    """Whether its source exists, perhaps under the private name that a removal has given it.

    `mount_point`: where the source was mounted when it was last accepted.
    """
    mount = SourceMount(mount_point, route.source_marker)
    if transfer.phase is not TransferPhase.PUBLISHED:
        return LookUpSource(route.source, transfer.path, mount=mount)
    private_path = _source_to_remove(identity, transfer).private_path
    return LookUpSource(route.source, transfer.path, private_path, mount)


def finish_removal_request(identity: str, route: Route, transfer: Transfer) -> RemoveSources:
    """End a removal that was cut off: the source goes, or gets its name back if it is to stay.

    It stays when it was delivered to a destination that its route does not have any more.
    """
    file = evolve(_source_to_remove(identity, transfer), is_renamed=True)
    if transfer.destination != route.destination:
        return RemoveSources(route.source, "keep", None, (file,))
    return RemoveSources(route.source, route.after, route.archive, (file,))


def _source_to_remove(identity: str, transfer: Transfer) -> SourceToRemove:
    private_path = removing_path(identity, transfer.path, transfer.partial)
    return SourceToRemove(transfer.path, transfer.signature, private_path)


def destination_path(transfer: Transfer) -> str:
    """Where the published file is, as operators read it."""
    return path_at(transfer.destination, transfer.name or transfer.path)


def path_at(destination: str, name: str) -> str:
    return f"{destination.rstrip('/')}/{name}"


def result_of(
    transfer: Transfer, route: Route, kept_because: str | None, attempts: int, at: float
) -> TransferResult:
    """How a published file ended. `kept_because`: as in `SourceRemoved`; no error if the route keeps it."""
    error = None if route.after == "keep" else kept_because
    result: HistoryResult = "delivered" if kept_because is None else "kept"
    return TransferResult(transfer.id, result, attempts, error, at, destination_path(transfer))


def delivery_of(transfer: Transfer, kept_because: str | None) -> Delivery:
    return Delivery(
        destination_path=destination_path(transfer),
        level=transfer.level or "size",
        hash=transfer.hash or "",
        size_bytes=transfer.signature.size_bytes,
        already_present=transfer.already_present,
        kept=kept_because is not None,
        started_at=transfer.started_at,
    )


def log_fields(route: str, path: str, destination: str, transfer_id: int | None) -> dict[str, str | int]:
    """The fields of a log line about a file. `transfer_id`: None before its transfer has begun."""
    known = {} if transfer_id is None else {"transfer_id": transfer_id}
    return {"route": route, "file": path, **known, "destination": destination}
