"""One destination as the scheduler sees it: its slots, its storage, and which job is next."""

import math
from collections.abc import Set as AbstractSet

from attrs import define, field, frozen

from agent.actors.dispatcher.batching import Batch, is_batchable
from agent.actors.dispatcher.job import Job
from agent.actors.dispatcher.priority_queue import PriorityQueue
from agent.actors.dispatcher.storage import RunningCopy, Space, Storage
from agent.actors.dispatcher.transitions import FOLLOW_WAITING, JobEvent, JobState
from agent.config.sections import DestinationPlan
from agent.messages.copier_pool import AbortTransfer, Copy, CopyBatch, Follow
from agent.messages.dispatcher import DestinationState
from agent.model.errors import Fault, OutageReason


@frozen
class Check:
    """A fault that a copy met. A probe that begins later tells whether it is the destination's.

    `unverified_bytes`: what it had written, and gave back if there was no space.
    """

    job: Job
    fault: Fault
    met_s: float
    unverified_bytes: int


@define
class DestinationQueue:
    """Starts waiting jobs while slots are free, the storage is open, and no fault waits for a probe.

    `deliveries`: how many files were delivered there since the start.
    """

    plan: DestinationPlan
    storage: Storage = field(init=False)
    queue: PriorityQueue = field(factory=PriorityQueue, init=False)
    follow_queue: PriorityQueue = field(factory=lambda: PriorityQueue(FOLLOW_WAITING), init=False)
    space: Space = field(factory=Space, init=False)
    deliveries: int = field(default=0, init=False)
    _checks: list[Check] = field(factory=list, init=False)
    _newly_blocked: list[Job] = field(factory=list, init=False)
    _cache_key: tuple[DestinationState | None, frozenset[str]] | None = field(default=None, init=False)
    _published: DestinationState | None = field(default=None, init=False)

    def __attrs_post_init__(self) -> None:
        self.storage = Storage(self.plan.destination)

    # Slots

    def start_next(
        self, closed_routes: AbstractSet[str]
    ) -> tuple[Job, AbortTransfer | Copy | CopyBatch] | None:
        """Start the next job, or a batch of them; returns the first job and the command for all."""
        if not self._has_free_slot(follows=False):
            return None
        job = self.queue.next_abort()
        if job is not None:  # it takes a slot, and no space
            self.space.running[job.file.id] = RunningCopy(0, 0, 0, job.file.id)
            return job, AbortTransfer(job.file, job.attempts, job.error, self.storage.device)
        batch = self._next_batch(closed_routes)
        if not batch:
            return None
        first = batch[0]
        for job in batch:
            self._start(job, slot=first.file.id)
        if len(batch) > 1:
            return first, CopyBatch(tuple(job.file for job in batch), self.storage.device)
        return first, Copy(first.file, first.attempts + 1, self.storage.device)

    def start_next_follow(self, closed_routes: AbstractSet[str]) -> Follow | None:
        """Growing files have as many slots of their own: hours of recording delay no finished file."""
        if not self._has_free_slot(follows=True):
            return None
        job, _ = self.follow_queue.next_copy(closed_routes, self.space.fits)
        if job is None:
            return None
        self._start(job, slot=job.file.id, follows=True)
        return Follow(job.file, self.storage.device)

    def returned(self, job: Job) -> None:
        """A copy came back: its slot is free, and perhaps space for those that did not fit."""
        job.arrived_bytes = self.space.running.pop(job.file.id).written_bytes
        self.retry_blocked()

    def _has_free_slot(self, *, follows: bool) -> bool:
        used = {copy.slot for copy in self.space.running.values() if copy.follows is follows}
        return self.storage.is_open and not self.is_checking and len(used) < self.plan.workers

    def _start(self, job: Job, slot: str, *, follows: bool = False) -> None:
        job.on(JobEvent.STARTED)
        size_bytes, arrived_bytes = job.file.signature.size_bytes, job.arrived_bytes
        self.space.running[job.file.id] = RunningCopy(size_bytes, arrived_bytes, arrived_bytes, slot, follows)

    def _next_batch(self, closed_routes: AbstractSet[str]) -> list[Job]:
        """The next job that fits, and those that are copied with it."""
        first, blocked = self.queue.next_copy(closed_routes, self.space.fits)
        self._newly_blocked += blocked
        if first is None:
            return []
        batch = Batch(self.plan, [first])
        if not is_batchable(first, self.plan):
            return batch.jobs
        available_bytes = self.space.available_bytes
        while job := self.queue.next_if(closed_routes, lambda job: batch.takes(job, available_bytes)):
            batch.add(job)
        if batch.is_worthwhile:
            return batch.jobs
        for job in batch.jobs[1:]:
            self.queue.push(job)
        return [first]

    # Storage

    @property
    def is_checking(self) -> bool:
        """Whether a fault waits for a probe: until then nothing new is sent there, and what runs goes on."""
        self._checks = [check for check in self._checks if check.job.state is JobState.CHECKING]
        return bool(self._checks)

    def check(self, job: Job, fault: Fault, verified_bytes: int, now_s: float) -> None:
        unverified_bytes = max(0, job.arrived_bytes - verified_bytes)
        self._checks.append(Check(job, fault, now_s, unverified_bytes))
        if fault.reason is OutageReason.FULL:
            job.arrived_bytes -= unverified_bytes

    def take_checks(self, began_s: float = math.inf) -> list[Check]:
        """Those that a probe answers which began then."""
        answered = [check for check in self._checks if check.met_s <= began_s]
        self._checks = [check for check in self._checks if check.met_s > began_s]
        return [check for check in answered if check.job.state is JobState.CHECKING]

    def probed(self, state: DestinationState) -> bool:
        """Take in a probe; returns whether it was accepted."""
        is_accepted = self.storage.probed(state)
        if is_accepted:
            self.space.probed(state.free_bytes, state.began_s)
            self.retry_blocked()
        return is_accepted

    def retry_blocked(self) -> None:
        """Queue what fits again, since the free space may have changed."""
        if not (self.queue.has_blocked or self.follow_queue.has_blocked):
            return
        available_bytes = self.space.available_bytes
        self.queue.retry_blocked(available_bytes)
        self.follow_queue.retry_blocked(available_bytes)

    def why_paused(self, job: Job) -> str:
        """Why this job waits for the storage; empty: it does not."""
        if self.storage.is_open and job.waits_for_space and self.space.is_too_small_for(job):
            return f"outage: full: {self.space.shortage(job)}"
        return self.storage.why_closed

    def update_shortage(self, paused: AbstractSet[str], at: float) -> tuple[list[Job], list[Job]]:
        """Note which waiting jobs are larger than the whole free space.

        All of them are gone through only after a change of the storage or of the paused routes, or when the
        smallest no longer waits. Otherwise the newly blocked ones are enough.

        Returns:
            The jobs that newly wait for space, and those for which the space has become too small or enough.
        """
        blocked, self._newly_blocked = self._newly_blocked, []
        key = (self.storage.state, frozenset(paused))
        smallest = self.space.smallest_blocked
        if key == self._cache_key and (smallest is None or self.queue.is_blocked(smallest)):
            self.space.add_blocked(blocked, at)
            return blocked, []
        self._cache_key = key
        jobs = [job for job in self.queue.short_of_space() if job.route.name not in paused]
        return blocked, self.space.set_blocked(jobs, at)

    def state_to_publish(self) -> DestinationState | None:
        """The destination's state, if it differs from the one published last."""
        state = None if self.storage.state is None else self.space.with_shortage(self.storage.state)
        if state == self._published:
            return None
        self._published = state
        return state
