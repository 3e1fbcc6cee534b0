"""How far writing may run ahead of syncing: a sync of much data to slow storage looks like a stall."""

from attrs import define

from agent.model.verification import BLOCK_BYTES

SYNC_S = 1.0  # a sync that takes longer is made smaller
MOST_BYTES = 32 * BLOCK_BYTES  # as many as a pipeline holds: the bound is none any more


@define
class WritePace:
    """`limit_bytes` may be written before they are synced, at least one block.

    It grows as long as syncs are quick, and is cut to what the last slow one could store in `SYNC_S`. One per
    destination and worker process, so fast storage is found out once.
    """

    limit_bytes: int = BLOCK_BYTES

    def synced(self, size_bytes: int, took_s: float) -> None:
        """So many bytes were synced together; a slow sync of nothing says nothing."""
        if took_s > SYNC_S and size_bytes > 0:
            fitting_bytes = int(size_bytes * SYNC_S / took_s)
            self.limit_bytes = max(BLOCK_BYTES, min(self.limit_bytes, fitting_bytes))
        elif took_s <= SYNC_S / 2 and 2 * size_bytes >= self.limit_bytes:
            self.limit_bytes = min(2 * self.limit_bytes, MOST_BYTES)
