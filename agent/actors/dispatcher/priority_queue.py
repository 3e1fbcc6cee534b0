"""Waiting jobs: those of a destination by priority, those of a retry delay by time."""

import heapq
import math
from collections import deque
from collections.abc import Callable
from collections.abc import Set as AbstractSet
from itertools import count

from attrs import define, field

from agent.actors.dispatcher.job import Job
from agent.actors.dispatcher.transitions import ABORTING, COPY_WAITING, JobState


@define
class PriorityQueue:
    """Files that met no outage first, then by route priority, then by age.

    One heap per route, so that a paused route costs nothing; a job that left `states` is skipped when met.
    Jobs that do not fit are kept in order of the space they need, so that a full destination costs nothing
    either.
    """

    states: frozenset[JobState] = COPY_WAITING
    _heaps: dict[str, list[tuple[int, int, int, Job]]] = field(factory=dict)
    _blocked: list[tuple[int, int, Job]] = field(factory=list)
    _short_of_space: list[Job] = field(factory=list)
    _aborts: deque[Job] = field(factory=deque)
    _pushes: "count[int]" = field(factory=count)

    def push(self, job: Job) -> None:
        heap = self._heaps.setdefault(job.route.name, [])
        heapq.heappush(heap, (job.setbacks.outages, job.queue_number, next(self._pushes), job))

    @property
    def has_blocked(self) -> bool:
        return bool(self._blocked)

    def is_blocked(self, job: Job) -> bool:
        """Whether it did not fit and still waits."""
        return job.waits_for_space and job.state in self.states

    def short_of_space(self) -> list[Job]:
        """All that did not fit once and still wait."""
        self._short_of_space = list(filter(self.is_blocked, self._short_of_space))
        self._blocked = [entry for entry in self._blocked if entry[-1].state in self.states]
        heapq.heapify(self._blocked)
        return self._short_of_space

    def push_abort(self, job: Job) -> None:
        self._aborts.append(job)

    def next_abort(self) -> Job | None:
        return self._aborts.popleft() if self._aborts else None

    def next_copy(
        self, closed_routes: AbstractSet[str], fits: Callable[[Job], bool]
    ) -> tuple[Job | None, list[Job]]:
        """Take the next job that fits; returns it, and those that newly wait for space."""
        newly_blocked: list[Job] = []
        while (job := self._pop(closed_routes)) is not None:
            if fits(job):
                return job, newly_blocked
            heapq.heappush(self._blocked, (job.missing_bytes, next(self._pushes), job))
            if not job.waits_for_space:
                job.waits_for_space = True
                self._short_of_space.append(job)
                newly_blocked.append(job)
        return None, newly_blocked

    def next_if(self, closed_routes: AbstractSet[str], wanted: Callable[[Job], bool]) -> Job | None:
        """Take the next job if it is wanted."""
        heap = self._best(closed_routes)
        return heapq.heappop(heap)[-1] if heap and wanted(heap[0][-1]) else None

    def retry_blocked(self, available_bytes: float) -> None:
        """Queue the blocked jobs again for which so much space is enough."""
        while self._blocked and self._blocked[0][0] <= available_bytes:
            self.push(heapq.heappop(self._blocked)[-1])

    def _pop(self, closed_routes: AbstractSet[str]) -> Job | None:
        heap = self._best(closed_routes)
        return heapq.heappop(heap)[-1] if heap else None

    def _best(self, closed_routes: AbstractSet[str]) -> "list[tuple[int, int, int, Job]] | None":
        """The heap that holds the next job."""
        heads = [
            heap for name, heap in self._heaps.items() if name not in closed_routes and self._skip_left(heap)
        ]
        if not heads:
            return None
        return min(heads, key=lambda heap: (heap[0][0], -heap[0][-1].route.priority, heap[0][1]))

    def _skip_left(self, heap: list[tuple[int, int, int, Job]]) -> bool:
        while heap and heap[0][-1].state not in self.states:
            heapq.heappop(heap)
        return bool(heap)


@define
class DelayedJobs:
    """Jobs that wait for their retry delay: to be queued again, or to be cleaned up again."""

    _heap: list[tuple[float, int, bool, Job]] = field(factory=list)
    _pushes: "count[int]" = field(factory=count)

    def push(self, job: Job, due_s: float) -> None:
        heapq.heappush(self._heap, (due_s, next(self._pushes), job.state in ABORTING, job))

    def due_s(self) -> float:
        """When the first delay is over; infinity: none runs."""
        return self._heap[0][0] if self._heap else math.inf

    def pop_due(self, now_s: float) -> list[Job]:
        """The jobs whose delay is over; one that was cancelled or removed meanwhile is none of them."""
        due = []
        while self._heap and self._heap[0][0] <= now_s:
            *_, was_aborting, job = heapq.heappop(self._heap)
            if job.state in ABORTING if was_aborting else job.state is JobState.RETRYING:
                due.append(job)
        return due
