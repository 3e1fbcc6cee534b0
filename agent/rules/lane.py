"""One destination as the scheduler sees it: is it usable, how many copies it may run, what still fits."""

import math

from attrs import define, field

from agent.config import DestinationPlan
from agent.faults import Fault, OutageReason
from agent.messages import StorageState
from agent.rules.queue import WaitingLine


@define
class Running:
    """What stands of a running copy's file, and how much of it the last probe already saw."""

    size_bytes: int
    written_bytes: int
    probed_bytes: int


@define
class Lane:
    """Credits and free space of one destination. Closed until the first probe says that it is usable."""

    plan: DestinationPlan
    line: WaitingLine = field(factory=WaitingLine)
    storage: StorageState | None = None
    running: dict[str, Running] = field(factory=dict)
    deliveries: int = 0
    _distrusted_until_s: float = -math.inf

    @property
    def is_open(self) -> bool:
        return self.storage is not None and self.storage.reason is None

    @property
    def has_credit(self) -> bool:
        return self.is_open and len(self.running) < self.plan.workers

    @property
    def device(self) -> int:
        """The accepted file system; 0 where there is none to check, as in an object store."""
        return (self.storage.device if self.storage else None) or 0

    @property
    def why_closed(self) -> str:
        if self.storage is None:
            return "the destination has not been reached yet"
        reason = self.storage.reason
        return f"outage: {reason.value}: {self.storage.detail}" if reason else ""

    def started(self, file_id: str, size_bytes: int, arrived_bytes: int) -> None:
        self.running[file_id] = Running(size_bytes, arrived_bytes, arrived_bytes)

    def advanced(self, file_id: str, written_bytes: int) -> None:
        if file_id in self.running:
            self.running[file_id].written_bytes = written_bytes

    def finished(self, file_id: str) -> int:
        """A copy came back: its credit is free again, and perhaps space for those that did not fit.

        Returns:
            The bytes of it that had been written.
        """
        copy = self.running.pop(file_id)
        self.line.unpark()
        return copy.written_bytes

    def probed(self, state: StorageState) -> bool:
        """Believe a probe, unless it began before the last fault. Returns whether it counts."""
        if state.reason is None and state.began_s <= self._distrusted_until_s:
            return False
        self.storage = state
        for copy in self.running.values():
            copy.probed_bytes = copy.written_bytes
        return True

    def faulted(self, fault: Fault, now_s: float, at: float) -> StorageState:
        """A copy met an outage: closed at once, until a probe that begins later says otherwise."""
        self._distrusted_until_s = now_s
        before = self.storage
        since_at = before.since_at if before is not None and before.reason is not None else at
        self.storage = StorageState(
            destination=self.plan.destination,
            reason=fault.reason or OutageReason.IO_ERROR,
            detail=fault.detail,
            since_at=since_at,
            began_s=now_s,
            free_bytes=before.free_bytes if before else None,
            total_bytes=before.total_bytes if before else None,
            device=before.device if before else None,
        )
        return self.storage

    def fits(self, missing_bytes: int) -> bool:
        """Whether what is missing of a file fits into the free space less what running copies still need."""
        if self.storage is None or self.storage.free_bytes is None:
            return True
        promised = sum(max(0, copy.size_bytes - copy.probed_bytes) for copy in self.running.values())
        return missing_bytes <= self.storage.free_bytes - promised
