"""The rows of running transfers, and how they become history; one or many at a time.

The statements are built once: SQLAlchemy recognises them without looking at them again.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, MappingResult, RowMapping, bindparam, delete, insert, select, update

from agent.journal import orphan_table
from agent.journal.carried_state import CarriedState
from agent.journal.schema import CARRIED_COLUMNS, TRANSFER_COLUMNS, history, transfers
from agent.model.source_file import FileVersion
from agent.model.transfer import TransferPhase, TransferResult

_ID = transfers.c.id == bindparam("its_id")
_RUNNING = select(*TRANSFER_COLUMNS).where(
    transfers.c.route == bindparam("its_route"), transfers.c.path.in_(bindparam("paths", expanding=True))
)
_KNOWN = select(transfers.c.id).where(_ID)
_WHOLE = select(transfers).where(transfers.c.id.in_(bindparam("ids", expanding=True)))
_BEGIN = insert(transfers)
_CHANGE = update(transfers).where(_ID)
_FORGET = delete(transfers).where(transfers.c.id.in_(bindparam("ids", expanding=True)))
_END = insert(history)
_UNSETTLE = (
    update(history)
    .where(
        history.c.route == bindparam("its_route"),
        history.c.path.in_(bindparam("paths", expanding=True)),
        history.c.suppresses_retry,
    )
    .values(suppresses_retry=False)
)


def running(db: Connection, route: str, paths: Sequence[str]) -> MappingResult:
    """Those of these files that have a running transfer."""
    return db.execute(_RUNNING, {"its_route": route, "paths": paths}).mappings()


def is_known(db: Connection, transfer_id: int) -> bool:
    return db.scalar(_KNOWN, {"its_id": transfer_id}) is not None


def begin(
    db: Connection, files: Mapping[str, FileVersion], source_root: str, destination: str, at: float
) -> None:
    """Rows for these files, by their partials."""
    rows = [
        {
            "route": file.route,
            "path": file.path,
            "file_path": str(Path(source_root, file.path)),
            "signature": file.signature,
            "destination": destination,
            "phase": TransferPhase.COPYING,
            "partial": partial,
            "already_present": False,
            "discovered_at": file.discovered_at,
            "started_at": at,
        }
        for partial, file in files.items()
    ]
    db.execute(_BEGIN, rows)


def change(db: Connection, memory: CarriedState, changes: Sequence[Mapping[str, Any]]) -> None:
    """Set the same columns of several transfers, chosen by `its_id`.

    Raises: as `CarriedState.unknown`.
    """
    if db.execute(_CHANGE, changes).rowcount != len(changes):
        raise memory.unknown(next(each["its_id"] for each in changes if not is_known(db, each["its_id"])))


def forget(db: Connection, transfer_id: int) -> bool:
    """Returns whether it was known."""
    return bool(db.execute(_FORGET, {"ids": [transfer_id]}).rowcount)


def end(db: Connection, memory: CarriedState, endings: Sequence[TransferResult]) -> None:
    """Those of one route move to the history. Raises: as `CarriedState.unknown`."""
    ids = [ending.transfer_id for ending in endings]
    rows = {row["id"]: row for row in db.execute(_WHOLE, {"ids": ids}).mappings()}
    for ending in endings:
        if ending.transfer_id not in rows:
            raise memory.unknown(ending.transfer_id)
        if ending.leaves_orphan:
            orphan_table.add_of_transfer(db, ending.transfer_id)
    paths = [row["path"] for row in rows.values()]
    db.execute(_UNSETTLE, {"its_route": rows[ids[0]]["route"], "paths": paths})
    db.execute(_END, [_history(rows[ending.transfer_id], ending) for ending in endings])
    db.execute(_FORGET, {"ids": ids})


def _history(row: RowMapping, ending: TransferResult) -> dict[str, object]:
    arrived = ending.result != "failed"
    return {
        **{name: row[name] for name in CARRIED_COLUMNS},
        "transfer_id": ending.transfer_id,
        "ended_at": ending.at,
        "result": ending.result,
        "destination_path": ending.destination_path if arrived else None,
        "verified_level": row["level"] if arrived else None,
        "hash": row["hash"] if arrived else None,
        "attempts": ending.attempts,
        "error": ending.error,
        "suppresses_retry": ending.result != "delivered",
    }
