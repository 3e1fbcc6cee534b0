"""Running transfers: how they begin, what they have reached, and how they become history.

A running transfer has one row in `transfers` until it ends. Every step of a file is written here before the
next one begins, so that a restart finds the file where it was. Unless said otherwise an operation raises
LookupError where no running transfer has the id, and TransferLost where it was in a file that was set aside;
one for several transfers then changes none of them.
"""

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

from sqlalchemy import RowMapping, Update, bindparam, delete, func, insert, select, update

from agent.journal import blocks, orphans
from agent.journal.journal import Transaction
from agent.journal.schema import TRANSFER_COLUMNS, history, transfers
from agent.model.names import path_at
from agent.model.source_file import FileVersion, Signature, may_have_same_content
from agent.model.transfer import (
    PublishedTransfer,
    ResumePoint,
    Transfer,
    TransferPhase,
    TransferResult,
    VerifiedTransfer,
)
from agent.model.verification import BLOCK_BYTES

# The statements are built once: SQLAlchemy recognizes them without compiling them again.
_ID = transfers.c.id == bindparam("its_id")
_IDS = transfers.c.id.in_(bindparam("ids", expanding=True))
_OF_PATHS = select(*TRANSFER_COLUMNS).where(
    transfers.c.route == bindparam("its_route"), transfers.c.path.in_(bindparam("paths", expanding=True))
)
_OF_DESTINATION = (
    select(*TRANSFER_COLUMNS)
    .where(transfers.c.destination == bindparam("its_destination"))
    .order_by(transfers.c.id)
)
_PUBLISHED = select(transfers.c.path, transfers.c.partial).where(
    transfers.c.route == bindparam("its_route"), transfers.c.phase == TransferPhase.PUBLISHED
)
_ALL = select(*TRANSFER_COLUMNS)
_IS_RUNNING = select(transfers.c.id).where(_ID)
_WHOLE = select(transfers).where(_IDS)
_INSERT = insert(transfers)
_UPDATE = update(transfers).where(_ID)
_PUBLISH = _UPDATE.values(level=func.coalesce(bindparam("its_level"), transfers.c.level))
_DELETE = delete(transfers).where(_IDS)
_END = insert(history)
_ALLOW_RETRY = (
    update(history)
    .where(
        history.c.route == bindparam("its_route"),
        history.c.path.in_(bindparam("paths", expanding=True)),
        history.c.suppresses_retry,
    )
    .values(suppresses_retry=False)
)
# Found by the index of the rows that suppress a retry.
_UNREMOVED = select(
    history.c.path, history.c.signature, history.c.destination_path, history.c.hash, history.c.verified_level
).where(
    history.c.route == bindparam("its_route"),
    history.c.path.in_(bindparam("paths", expanding=True)),
    history.c.destination == bindparam("its_destination"),
    history.c.suppresses_retry,
    history.c.result == "kept",
    history.c.error.is_not(None),
)
_UNDELIVERED = {
    "phase": TransferPhase.COPYING,
    "name": None,
    "hash": None,
    "level": None,
    "already_present": False,
}
_KEPT_COLUMNS = ("route", "path", "file_path", "signature", "destination", "discovered_at", "started_at")


def begin_or_resume(
    tx: Transaction,
    files: Mapping[str, FileVersion],
    source_root: str,
    destination: str,
    at: float,
    is_afresh: bool = False,
) -> dict[str, Transfer]:
    """The running transfer of each file with its blocks, else the one begun now; by path.

    `files` are at least one, of one route, by the partials that new transfers get: a transfer whose partial
    is among them was begun now. A running one is returned whatever signature and destination it is for. One
    that may be a file which was delivered and could not be removed is PUBLISHED, unless `is_afresh`.
    """
    route = next(iter(files.values())).route
    resumed = find(tx, route, [file.path for file in files.values()])
    fresh = {partial: file for partial, file in files.items() if file.path not in resumed}
    if not fresh:
        return resumed
    delivered = {} if is_afresh else _delivered_before(tx, fresh.values(), destination)
    return resumed | _begin(tx, fresh, source_root, destination, at, delivered)


def find(tx: Transaction, route: str, paths: Sequence[str]) -> dict[str, Transfer]:
    """Those of these files that have a running transfer, with its blocks; by path."""
    rows = _rows(tx, route, paths)
    if not rows:
        return {}
    verified = blocks.read(tx.db, [row["id"] for row in rows])
    return {row["path"]: _returned(tx, row, verified.get(row["id"], ())) for row in rows}


def running(tx: Transaction, destination: str) -> tuple[Transfer, ...]:
    """All transfers to this destination, oldest first, without their blocks."""
    rows = tx.db.execute(_OF_DESTINATION, {"its_destination": destination}).mappings()
    return tuple(_returned(tx, row) for row in rows)


def partials_of_published(tx: Transaction, route: str) -> dict[str, str]:
    """The partials of this route's transfers whose source is being removed, or is to be; by path."""
    rows = tx.db.execute(_PUBLISHED, {"its_route": route})
    return {row.path: row.partial for row in rows}


def resume_points(tx: Transaction) -> tuple[ResumePoint, ...]:
    """How many bytes of each running transfer are verified at its destination."""
    counts = blocks.counts(tx.db)
    return tuple(
        ResumePoint(
            route=row["route"],
            path=row["path"],
            signature=row["signature"],
            destination=row["destination"],
            verified_bytes=counts.get(row["id"], 0) * BLOCK_BYTES,
        )
        for row in tx.db.execute(_ALL).mappings()
    )


def restart(tx: Transaction, transfer_id: int, partial: str, leaves_orphan: bool = True) -> None:
    """Back to COPYING without any block, into a fresh partial. `leaves_orphan`: the old one may exist."""
    if leaves_orphan:
        orphans.add_of_transfer(tx, transfer_id)
    blocks.replace(tx.db, transfer_id, 0, b"")
    unset = {"name": None, "hash": None, "level": None, "already_present": False, "file_identity": None}
    _change(tx, transfer_id, phase=TransferPhase.COPYING, partial=partial, **unset)


def allocate_partial(tx: Transaction, transfer_id: int, partial: str) -> None:
    """The bytes are about to be written under this name at the destination; none of them were before."""
    _change(tx, transfer_id, partial=partial)


def move(tx: Transaction, transfer_id: int, partial: str, name: str) -> None:
    """Its verified partial was found in another folder: it is to be published there, under this name."""
    _change(tx, transfer_id, partial=partial, name=name)


def update_signature(tx: Transaction, transfer_id: int, signature: Signature) -> None:
    """The transfer is now for this state of its file, which grew; its blocks were compared with it."""
    _change(tx, transfer_id, signature=signature)


def checkpoint(tx: Transaction, transfer_id: int, first_block: int, digests: bytes) -> None:
    """These are the digests of the verified blocks from `first_block` to the end, 16 bytes each.

    Raises:
        ValueError: not whole digests, or a gap before `first_block`.
    """
    _require(tx, transfer_id)
    blocks.replace(tx.db, transfer_id, first_block, digests)


def patch(tx: Transaction, transfer_id: int, block: int, digest: bytes) -> None:
    """This one verified block now has other content. Raises: ValueError: there is no such block."""
    _require(tx, transfer_id)
    blocks.patch(tx.db, transfer_id, block, digest)


def mark_verified(tx: Transaction, verified: Sequence[VerifiedTransfer]) -> None:
    """All of each file is verified in its partial, which is about to get its final name."""
    _change_all(
        tx,
        [
            {
                "its_id": each.transfer_id,
                "phase": TransferPhase.VERIFIED,
                "name": each.name,
                "hash": each.hash,
                "level": each.level,
                "file_identity": each.file_identity,
            }
            for each in verified
        ],
    )


def mark_published(tx: Transaction, published: Sequence[PublishedTransfer]) -> None:
    """Each file has its final name, durably: only now may its source be removed."""
    _change_all(
        tx,
        [
            {
                "its_id": each.transfer_id,
                "phase": TransferPhase.PUBLISHED,
                "name": each.name,
                "already_present": each.already_present,
                "its_level": each.level,
                "file_identity": each.file_identity,
            }
            for each in published
        ],
        _PUBLISH,
    )


def finish(tx: Transaction, results: Sequence[TransferResult]) -> None:
    """These transfers of one route, at least one, have ended: they move to the history."""
    ids = [result.transfer_id for result in results]
    rows = {row["id"]: row for row in tx.db.execute(_WHOLE, {"ids": ids}).mappings()}
    for result in results:
        if result.transfer_id not in rows:
            raise tx.unknown(result.transfer_id)
        if result.leaves_orphan:
            orphans.add_of_transfer(tx, result.transfer_id)
    paths = [row["path"] for row in rows.values()]
    tx.db.execute(_ALLOW_RETRY, {"its_route": rows[ids[0]]["route"], "paths": paths})
    tx.db.execute(_END, [_history_row(rows[result.transfer_id], result) for result in results])
    tx.db.execute(_DELETE, {"ids": ids})


def record_failure(
    tx: Transaction,
    file: FileVersion,
    source_root: str,
    destination: str,
    attempts: int,
    error: str,
    at: float,
) -> int:
    """The file failed before a transfer began. Returns the transfer id that it has in the history.

    One that was delivered, but could not be removed, stays so, for this other reason.

    Raises:
        ValueError: the file has a running transfer.
    """
    if _rows(tx, file.route, [file.path]):
        raise ValueError(f"{file.path!r} has a running transfer on route {file.route}")
    delivered = _delivered_before(tx, [file], destination)
    unstarted = _begin(tx, {"": file}, source_root, destination, at, delivered)[file.path]
    if unstarted.phase is TransferPhase.PUBLISHED:
        where = path_at(destination, unstarted.name or file.path)
        finish(tx, [TransferResult(unstarted.id, "kept", attempts, error, at, where)])
        return unstarted.id
    finish(tx, [TransferResult(unstarted.id, "failed", attempts, error, at, destination_path=None)])
    return unstarted.id


def drop(tx: Transaction, transfer_id: int, leaves_orphan: bool = False) -> None:
    """Forget a running transfer; it gets no row in the history. `leaves_orphan`: its partial may exist."""
    if leaves_orphan:
        orphans.add_of_transfer(tx, transfer_id)
    if not tx.db.execute(_DELETE, {"ids": [transfer_id]}).rowcount:
        raise tx.unknown(transfer_id)


def withdraw(tx: Transaction, transfer_ids: Sequence[int]) -> None:
    """Forget running transfers of which nothing was written; they get no row in the history."""
    tx.db.execute(_DELETE, {"ids": list(transfer_ids)})


def _begin(
    tx: Transaction,
    files: Mapping[str, FileVersion],
    source_root: str,
    destination: str,
    at: float,
    delivered: Mapping[str, Mapping[str, object]],
) -> dict[str, Transfer]:
    rows = [
        {
            "route": file.route,
            "path": file.path,
            "file_path": str(Path(source_root, file.path)),
            "signature": file.signature,
            "destination": destination,
            "partial": partial,
            "discovered_at": file.discovered_at,
            "started_at": at,
            **_UNDELIVERED,
            **delivered.get(file.path, {}),
        }
        for partial, file in files.items()
    ]
    tx.db.execute(_INSERT, rows)
    paths = [file.path for file in files.values()]
    return {row["path"]: _returned(tx, row) for row in _rows(tx, rows[0]["route"], paths)}


def _delivered_before(
    tx: Transaction, files: Collection[FileVersion], destination: str
) -> dict[str, dict[str, object]]:
    """What a transfer has of these files that were delivered, but could not be removed; by path."""
    by_path = {file.path: file for file in files}
    chosen = {"its_route": next(iter(files)).route, "paths": list(by_path), "its_destination": destination}
    return {
        row.path: {
            "signature": row.signature,
            "phase": TransferPhase.PUBLISHED,
            "name": row.destination_path.removeprefix(path_at(destination, "")),
            "hash": row.hash,
            "level": row.verified_level,
            "already_present": True,  # so that it is shown not to be the source itself
        }
        for row in tx.db.execute(_UNREMOVED, chosen)
        if may_have_same_content(row.signature, by_path[row.path].signature)
    }


def _rows(tx: Transaction, route: object, paths: Collection[str]) -> Sequence[RowMapping]:
    return tx.db.execute(_OF_PATHS, {"its_route": route, "paths": paths}).mappings().all()


def _returned(tx: Transaction, row: RowMapping, verified: tuple[bytes, ...] = ()) -> Transfer:
    transfer = Transfer(**row, blocks=verified)
    tx.remembered.newest_id = max(tx.remembered.newest_id, transfer.id)
    return transfer


def _require(tx: Transaction, transfer_id: int) -> None:
    if tx.db.scalar(_IS_RUNNING, {"its_id": transfer_id}) is None:
        raise tx.unknown(transfer_id)


def _change(tx: Transaction, transfer_id: int, **values: object) -> None:
    _change_all(tx, [{"its_id": transfer_id, **values}])


def _change_all(tx: Transaction, changes: Sequence[Mapping[str, Any]], statement: Update = _UPDATE) -> None:
    """Set the same columns of several transfers, chosen by `its_id`."""
    if tx.db.execute(statement, changes).rowcount != len(changes):
        for each in changes:
            _require(tx, each["its_id"])


def _history_row(row: RowMapping, result: TransferResult) -> dict[str, object]:
    arrived = result.result != "failed"
    return {
        **{name: row[name] for name in _KEPT_COLUMNS},
        "transfer_id": result.transfer_id,
        "ended_at": result.at,
        "result": result.result,
        "destination_path": result.destination_path if arrived else None,
        "verified_level": row["level"] if arrived else None,
        "hash": row["hash"] if arrived else None,
        "attempts": result.attempts,
        "error": result.error,
        "suppresses_retry": result.result != "delivered",
    }
