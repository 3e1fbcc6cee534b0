"""The storage of one destination: whether it is usable, its free space, and who waits for more of it."""

import math

from attrs import define, evolve, field

from agent.actors.dispatcher.job import Job
from agent.actors.dispatcher.room import Room
from agent.messages.dispatcher import DestinationState
from agent.model.errors import Fault, OutageReason


@define
class Storage:
    """Closed until the first probe finds it usable. `state`: None before that."""

    destination: str
    state: DestinationState | None = None
    _distrusted_until_s: float = -math.inf

    @property
    def is_open(self) -> bool:
        return self.state is not None and self.state.reason is None

    @property
    def device(self) -> int:
        """The accepted file system; 0 where there is none to check, as in an object store."""
        return (self.state.device if self.state else None) or 0

    @property
    def why_closed(self) -> str:
        """Empty: it is open."""
        if self.state is None:
            return "the destination has not been reached yet"
        reason = self.state.reason
        return f"outage: {reason.value}: {self.state.detail}" if reason else ""

    def probed(self, state: DestinationState) -> bool:
        """Accept a probe, unless it began before the last fault; returns whether it was accepted."""
        if state.reason is None and state.began_s <= self._distrusted_until_s:
            return False
        self.state = state
        return True

    def failed(self, fault: Fault, now_s: float, at: float) -> None:
        """A copy met an outage: closed at once, until a probe that begins later succeeds."""
        self._distrusted_until_s = now_s
        before = self.state
        since_at = before.since_at if before is not None and before.reason is not None else at
        self.state = DestinationState(
            destination=self.destination,
            reason=fault.reason or OutageReason.IO_ERROR,
            detail=fault.detail,
            since_at=since_at,
            began_s=now_s,
            free_bytes=before.free_bytes if before else None,
            total_bytes=before.total_bytes if before else None,
            device=before.device if before else None,
        )


@define
class RunningCopy:
    """How much of a running copy is written, and how much of that the last probe had already measured.

    `slot`: the id of the first file of its batch, or its own.
    """

    size_bytes: int
    written_bytes: int
    probed_bytes: int
    slot: str
    follows: bool = False


@define
class Space:
    """`free_bytes` by the last probe; None: not known.

    `smallest_blocked`: the smallest of the jobs for which the whole of the free space is too little. That is
    an outage (`full`), although smaller files still pass.
    """

    free_bytes: int | None = None
    room: Room = field(factory=Room)
    running: dict[str, RunningCopy] = field(factory=dict)
    smallest_blocked: Job | None = None
    _blocked: set[str] = field(factory=set)
    _full_since_at: float = 0.0

    def probed(self, free_bytes: int | None, began_s: float) -> None:
        """A probe has measured the free space. After a while it is tried whether there is more room."""
        self.free_bytes = free_bytes
        self.room.probed(began_s)
        for copy in self.running.values():
            copy.probed_bytes = copy.written_bytes

    def advanced(self, file_id: str, written_bytes: int) -> None:
        if file_id in self.running:
            copy = self.running[file_id]
            self.room.gain(copy.written_bytes - written_bytes)
            copy.written_bytes = written_bytes

    def delivered(self, file_id: str) -> None:
        """All of it is there, whatever was reported last."""
        size_bytes = self.running[file_id].size_bytes
        self.advanced(file_id, size_bytes)
        self.room.delivered(size_bytes)

    def partial_to_give_up(self, waiting: list[Job]) -> Job | None:
        """Where partials take up the room, the largest without which another job fits; None: none."""
        if self.running or not waiting:
            return None
        smallest = min(waiting, key=lambda job: job.missing_bytes)
        lacking_bytes = smallest.missing_bytes - self.available_bytes
        enough = [job for job in waiting if job is not smallest and 0 < lacking_bytes <= job.arrived_bytes]
        return max(enough, key=lambda job: job.missing_bytes, default=None)

    @property
    def available_bytes(self) -> float:
        """The free space less what running copies still need; infinity: it is not known."""
        copies = self.running.values()
        free_bytes = room_bytes = math.inf
        if self.free_bytes is not None:
            free_bytes = self.free_bytes - sum(max(0, each.size_bytes - each.probed_bytes) for each in copies)
        if self.room.left_bytes is not None:
            unwritten_bytes = sum(max(0, each.size_bytes - each.written_bytes) for each in copies)
            room_bytes = self.room.left_bytes - unwritten_bytes
        return min(free_bytes, room_bytes)

    def fits(self, job: Job) -> bool:
        return job.missing_bytes <= self.available_bytes

    def is_too_small_for(self, job: Job) -> bool:
        """Whether the job would not fit even if nothing else ran."""
        limits = (self.free_bytes, self.room.left_bytes)
        return any(limit is not None and job.missing_bytes > limit for limit in limits)

    def set_blocked(self, waiting: list[Job], at: float) -> list[Job]:
        """Note which of the jobs that wait for space are larger than all of it; returns the changed ones."""
        too_large = [job for job in waiting if self.is_too_small_for(job)]
        before, self._blocked = self._blocked, {job.file.id for job in too_large}
        self._set_smallest(too_large, at)
        return [job for job in waiting if (job.file.id in before) is not (job.file.id in self._blocked)]

    def add_blocked(self, waiting: list[Job], at: float) -> None:
        """As `set_blocked`, for jobs that have just begun to wait."""
        too_large = [job for job in waiting if self.is_too_small_for(job)]
        if not too_large:
            return
        self._blocked.update(job.file.id for job in too_large)
        smallest = self.smallest_blocked
        self._set_smallest(too_large if smallest is None else [smallest, *too_large], at)

    def _set_smallest(self, too_large: list[Job], at: float) -> None:
        if self.smallest_blocked is None:
            self._full_since_at = at
        self.smallest_blocked = min(too_large, key=lambda job: job.missing_bytes, default=None)

    def with_shortage(self, state: DestinationState) -> DestinationState:
        """The state that is published: a usable destination with a job that is too large for it is `full`."""
        if state.reason is not None or self.smallest_blocked is None:
            return state
        detail = self.shortage(self.smallest_blocked)
        return evolve(state, reason=OutageReason.FULL, detail=detail, since_at=self._full_since_at)

    def shortage(self, job: Job) -> str:
        room_bytes = self.room.left_bytes
        if room_bytes is not None and (self.free_bytes is None or room_bytes < self.free_bytes):
            lacking = f"{job.missing_bytes} bytes are still to be written"
            return f"{lacking}, and no more than {room_bytes} can be, as under a quota"
        return f"{job.missing_bytes} bytes are still to be written, {self.free_bytes} are free"
