"""The verified blocks of a running transfer: one row per checkpoint, not one per block."""

from collections import defaultdict
from collections.abc import Sequence

from sqlalchemy import Connection, bindparam, delete, func, insert, select, update

from agent.journal.schema import blocks
from agent.model.verification import DIGEST_BYTES

_OF_TRANSFERS = (
    select(blocks.c.transfer_id, blocks.c.digests)
    .where(blocks.c.transfer_id.in_(bindparam("ids", expanding=True)))
    .order_by(blocks.c.transfer_id, blocks.c.first_block)
)


def read(db: Connection, transfer_ids: Sequence[int]) -> dict[int, tuple[bytes, ...]]:
    """The digests of each transfer's blocks, from the start of the file, without gaps; by transfer id."""
    joined: dict[int, bytes] = defaultdict(bytes)
    for transfer_id, digests in db.execute(_OF_TRANSFERS, {"ids": transfer_ids}):
        joined[transfer_id] += digests
    return {transfer_id: _split(digests) for transfer_id, digests in joined.items()}


def counts(db: Connection) -> dict[int, int]:
    """The number of blocks of each transfer, by its id; transfers without any are left out."""
    length = func.sum(func.length(blocks.c.digests))
    chosen = select(blocks.c.transfer_id, length).group_by(blocks.c.transfer_id)
    return {transfer_id: total // DIGEST_BYTES for transfer_id, total in db.execute(chosen)}


def replace(db: Connection, transfer_id: int, first_block: int, digests: bytes) -> None:
    """Replace all blocks from `first_block` on by these.

    Raises:
        ValueError: not whole digests, or a gap before `first_block`.
    """
    if len(digests) % DIGEST_BYTES:
        raise ValueError(f"{len(digests)} bytes are not whole digests")
    _cut(db, transfer_id, first_block)
    if digests:
        db.execute(insert(blocks).values(transfer_id=transfer_id, first_block=first_block, digests=digests))


def patch(db: Connection, transfer_id: int, block: int, digest: bytes) -> None:
    """Replace the digest of one block; the others stay.

    Raises:
        ValueError: there is no such block.
    """
    mine = blocks.c.transfer_id == transfer_id
    row = select(blocks.c.first_block, blocks.c.digests).where(mine, blocks.c.first_block <= block)
    found = db.execute(row.order_by(blocks.c.first_block.desc()).limit(1)).first()
    start, digests = (0, b"") if found is None else found
    at = (block - start) * DIGEST_BYTES
    if at >= len(digests):
        raise ValueError(f"block {block} is not in the table")
    changed = digests[:at] + digest + digests[at + DIGEST_BYTES :]
    db.execute(update(blocks).where(mine, blocks.c.first_block == start).values(digests=changed))


def _cut(db: Connection, transfer_id: int, first_block: int) -> None:
    mine = blocks.c.transfer_id == transfer_id
    before = select(blocks.c.first_block, blocks.c.digests).where(mine, blocks.c.first_block < first_block)
    last = db.execute(before.order_by(blocks.c.first_block.desc()).limit(1)).first()
    start, digests = (0, b"") if last is None else last
    kept = digests[: (first_block - start) * DIGEST_BYTES]
    if len(kept) != (first_block - start) * DIGEST_BYTES:
        raise ValueError(f"there is no block right before block {first_block}")
    if len(kept) < len(digests):
        db.execute(update(blocks).where(mine, blocks.c.first_block == start).values(digests=kept))
    db.execute(delete(blocks).where(mine, blocks.c.first_block >= first_block))


def _split(digests: bytes) -> tuple[bytes, ...]:
    return tuple(digests[at : at + DIGEST_BYTES] for at in range(0, len(digests), DIGEST_BYTES))
