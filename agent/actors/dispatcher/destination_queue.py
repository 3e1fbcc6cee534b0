"""One destination as the scheduler sees it: is it usable, how many copies it may run, what still fits."""

import math
from collections.abc import Iterable
from collections.abc import Set as AbstractSet

from attrs import define, evolve, field

from agent.actors.dispatcher.job import Job, JobState
from agent.actors.dispatcher.priority_queue import PriorityQueue
from agent.config.sections import DestinationPlan
from agent.messages.dispatcher import DestinationState
from agent.model.errors import Fault, OutageReason


@define
class RunningCopy:
    """What stands of a running copy's file, and how much of it the last probe already saw.

    `slot`: the id of the file that leads its lot, or its own.
    """

    size_bytes: int
    written_bytes: int
    probed_bytes: int
    slot: str
    follows: bool = False


@define  # noqa: PLR0904  half of them are properties that read one figure
class DestinationQueue:
    """Credits and free space of one destination. Closed until the first probe says that it is usable.

    `smallest_blocked`: the smallest of the jobs that wait because the whole of the free space is too little
    for them.
    That is an outage (`full`), although what is small enough still passes.
    """

    plan: DestinationPlan
    queue: PriorityQueue = field(factory=PriorityQueue)
    follow_queue: PriorityQueue = field(factory=lambda: PriorityQueue(JobState.GROWING_QUEUED))
    storage: DestinationState | None = None
    running: dict[str, RunningCopy] = field(factory=dict)
    deliveries: int = 0
    smallest_blocked: Job | None = None
    _blocked: set[str] = field(factory=set)
    _cache_key: tuple[DestinationState | None, frozenset[str]] | None = None
    _full_since_at: float = 0.0
    _published: DestinationState | None = None
    _distrusted_until_s: float = -math.inf

    @property
    def is_open(self) -> bool:
        return self.storage is not None and self.storage.reason is None

    @property
    def has_free_slot(self) -> bool:
        return self.is_open and self._running(follows=False) < self.plan.workers

    @property
    def can_follow(self) -> bool:
        """Growing files have as many places of their own: hours of recording hold up nothing finished."""
        return self.is_open and self._running(follows=True) < self.plan.workers

    def _running(self, *, follows: bool) -> int:
        return len({copy.slot for copy in self.running.values() if copy.follows is follows})

    @property
    def device(self) -> int:
        """The accepted file system; 0 where there is none to check, as in an object store."""
        return (self.storage.device if self.storage else None) or 0

    @property
    def free_bytes(self) -> int | None:
        return self.storage.free_bytes if self.storage else None

    @property
    def why_closed(self) -> str:
        if self.storage is None:
            return "the destination has not been reached yet"
        reason = self.storage.reason
        return f"outage: {reason.value}: {self.storage.detail}" if reason else ""

    def why_paused(self, job: Job) -> str:
        """What keeps this job from going on that only the storage can change; empty: nothing."""
        if self.is_open and job.waits_for_space and self.lacks(job.missing_bytes):
            return f"outage: full: {self._shortage(job)}"
        return self.why_closed

    def started(
        self, file_id: str, size_bytes: int, arrived_bytes: int, *, follows: bool = False, place: str = ""
    ) -> None:
        """`slot`: the file whose credit it shares; empty: it has one of its own."""
        place = place or file_id
        self.running[file_id] = RunningCopy(size_bytes, arrived_bytes, arrived_bytes, place, follows)

    def advanced(self, file_id: str, written_bytes: int) -> None:
        if file_id in self.running:
            self.running[file_id].written_bytes = written_bytes

    def finished(self, file_id: str) -> int:
        """A copy came back: its credit is free again, and perhaps space for those that did not fit.

        Returns:
            The bytes of it that had been written.
        """
        copy = self.running.pop(file_id)
        self.retry_blocked()
        return copy.written_bytes

    def retry_blocked(self) -> None:
        """Free space may have changed."""
        if not (self.queue.has_blocked or self.follow_queue.has_blocked):
            return
        room_bytes = self.available_bytes
        self.queue.retry_blocked(room_bytes)
        self.follow_queue.retry_blocked(room_bytes)

    def probed(self, state: DestinationState) -> bool:
        """Believe a probe, unless it began before the last fault. Returns whether it counts."""
        if state.reason is None and state.began_s <= self._distrusted_until_s:
            return False
        self.storage = state
        for copy in self.running.values():
            copy.probed_bytes = copy.written_bytes
        return True

    def outage_reported(self, fault: Fault, now_s: float, at: float) -> None:
        """A copy met an outage: closed at once, until a probe that begins later says otherwise."""
        self._distrusted_until_s = now_s
        before = self.storage
        since_at = before.since_at if before is not None and before.reason is not None else at
        self.storage = DestinationState(
            destination=self.plan.destination,
            reason=fault.reason or OutageReason.IO_ERROR,
            detail=fault.detail,
            since_at=since_at,
            began_s=now_s,
            free_bytes=before.free_bytes if before else None,
            total_bytes=before.total_bytes if before else None,
            device=before.device if before else None,
        )

    @property
    def available_bytes(self) -> float:
        """The free space less what running copies still need; infinity: it is not known."""
        if self.free_bytes is None:
            return math.inf
        promised = sum(max(0, copy.size_bytes - copy.probed_bytes) for copy in self.running.values())
        return self.free_bytes - promised

    def fits(self, missing_bytes: int) -> bool:
        """Whether there is room for what is missing of a file."""
        return missing_bytes <= self.available_bytes

    def lacks(self, missing_bytes: int) -> bool:
        """Whether it would not fit even if nothing else were under way."""
        return self.free_bytes is not None and missing_bytes > self.free_bytes

    def changed_state(self) -> DestinationState | None:
        """What visitors have to hear about the destination, if it is not what they heard last."""
        state = self.storage
        if state is not None and state.reason is None and self.smallest_blocked is not None:
            detail = self._shortage(self.smallest_blocked)
            state = evolve(state, reason=OutageReason.FULL, detail=detail, since_at=self._full_since_at)
        if state == self._published:
            return None
        self._published = state
        return state

    def short_of_space(self, aside: Iterable[Job], paused: AbstractSet[str], at: float) -> list[Job]:
        """Note which waiting jobs the free space is too little for; those for which that has changed.

        `aside`: those set aside just now, of which has been told. All the others are only gone through after
        a change that may concern them.
        """
        basis = (self.storage, frozenset(paused))
        if basis == self._cache_key and (
            self.smallest_blocked is None or self.queue.is_blocked(self.smallest_blocked)
        ):
            self._lack_too(aside, at)
            return []
        self._cache_key = basis
        jobs = [job for job in self.queue.short_of_space() if job.route.name not in paused]
        lacking = [job for job in jobs if self.lacks(job.missing_bytes)]
        before, self._blocked = self._blocked, {job.file.id for job in lacking}
        self._want(lacking, at)
        return [job for job in jobs if (job.file.id in before) is not (job.file.id in self._blocked)]

    def _lack_too(self, aside: Iterable[Job], at: float) -> None:
        lacking = [job for job in aside if self.lacks(job.missing_bytes)]
        if lacking:
            self._blocked.update(job.file.id for job in lacking)
            self._want(lacking if self.smallest_blocked is None else [self.smallest_blocked, *lacking], at)

    def _want(self, lacking: list[Job], at: float) -> None:
        if self.smallest_blocked is None:
            self._full_since_at = at
        self.smallest_blocked = min(lacking, key=lambda job: job.missing_bytes, default=None)

    def _shortage(self, job: Job) -> str:
        return f"{job.missing_bytes} bytes are still to be written, {self.free_bytes} are free"
