"""Files whose source we have removed: a scan that began before that may still list them."""

from attrs import define, field


@define
class RemovedFiles:
    """The signature and the time of removal by path, as long as an earlier scan may still report.

    The watcher reads the source with one request after the other. After a report of one that began later,
    none of an earlier one follows.
    """

    _removals: dict[str, tuple[bytes, float]] = field(factory=dict, init=False)

    def __len__(self) -> int:
        return len(self._removals)

    def add(self, path: str, packed_signature: bytes, removed_s: float) -> None:
        self._removals.pop(path, None)  # keeps the order of removal
        self._removals[path] = packed_signature, removed_s

    def is_removed(self, path: str, packed_signature: bytes) -> bool:
        """Whether an entry of a scan is the file that we removed; with another signature it is a new file."""
        removal = self._removals.get(path)
        return removal is not None and removal[0] == packed_signature

    def forget_before(self, began_s: float) -> None:
        """A scan that began then lists only what is there in spite of these removals."""
        while self._removals:
            path = next(iter(self._removals))
            if self._removals[path][1] >= began_s:
                return
            del self._removals[path]
