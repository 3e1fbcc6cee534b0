"""Making the names of files durable: each folder at once, or those of many files once for all."""

from collections.abc import Iterator
from contextlib import contextmanager

from attrs import define, field

from agent.fs import safe_open


@define(eq=False)
class DirSync:
    """The folders below an open root that lead to what was put there. `_gathered` None: synced at once."""

    root: int
    _gathered: set[str] | None = field(default=None, init=False)

    def sync(self, path: str) -> None:
        """The name of what stands at this path is durable; inside `batched`, when that ends.

        Raises: ValueError, OSError: as `safe_open.sync_way`.
        """
        if self._gathered is None:
            safe_open.fsync_parents(self.root, path)
        else:
            self._gathered.add(path.rpartition("/")[0])

    @contextmanager
    def batched(self) -> Iterator[None]:
        """Each folder is synced once, at the end; nothing is if the block raises.

        Raises: OSError: a folder could not be stored.
        """
        gathered = self._gathered = set()
        try:
            yield
        finally:
            self._gathered = None
        safe_open.fsync_folders(self.root, gathered)
