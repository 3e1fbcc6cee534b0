"""The waiting jobs of one destination: biggest route priority first, then oldest.

Those that met an outage again and again, without getting any further, come after all others.
"""

import heapq
from collections import deque
from collections.abc import Callable
from collections.abc import Set as AbstractSet
from itertools import count

from attrs import define, field

from agent.actors.dispatcher.job import Job, JobState


@define
class PriorityQueue:
    """A heap per route, so that a paused route costs nothing; jobs that left `state` are skipped when met.

    What does not fit is parked by the room it needs, so that a full destination costs nothing either.
    """

    state: JobState = JobState.QUEUED
    _heaps: dict[str, list[tuple[int, int, int, Job]]] = field(factory=dict)
    _blocked: list[tuple[int, int, Job]] = field(factory=list)
    _short: list[Job] = field(factory=list)
    _aborts: deque[Job] = field(factory=deque)
    _pushes: "count[int]" = field(factory=count)

    def push(self, job: Job) -> None:
        heap = self._heaps.setdefault(job.route.name, [])
        heapq.heappush(heap, (job.outage_count, job.queue_number, next(self._pushes), job))

    @property
    def has_blocked(self) -> bool:
        return bool(self._blocked)

    def is_blocked(self, job: Job) -> bool:
        """Whether it was set aside and still waits."""
        return job.waits_for_space and job.state is self.state

    def short_of_space(self) -> list[Job]:
        """Those that were ever set aside and still wait."""
        self._short = list(filter(self.is_blocked, self._short))
        self._blocked = [parked for parked in self._blocked if parked[-1].state is self.state]
        heapq.heapify(self._blocked)
        return self._short

    def push_abort(self, job: Job) -> None:
        self._aborts.append(job)

    def next_abort(self) -> Job | None:
        return self._aborts.popleft() if self._aborts else None

    def next_copy(
        self, paused: AbstractSet[str], fits: Callable[[Job], bool]
    ) -> tuple[Job | None, list[Job]]:
        """The next job that fits, taken out of the line, and those that were set aside for want of space."""
        aside: list[Job] = []
        while (job := self._pop(paused)) is not None:
            if fits(job):
                return job, aside
            heapq.heappush(self._blocked, (job.missing_bytes, next(self._pushes), job))
            if not job.waits_for_space:
                job.waits_for_space = True
                self._short.append(job)
                aside.append(job)
        return None, aside

    def next_if(self, paused: AbstractSet[str], wanted: Callable[[Job], bool]) -> Job | None:
        """The next job, taken out of the line if it is wanted."""
        heap = self._best(paused)
        return heapq.heappop(heap)[-1] if heap and wanted(heap[0][-1]) else None

    def retry_blocked(self, room_bytes: float) -> None:
        """There is so much room now: those that it is enough for are in the line again."""
        while self._blocked and self._blocked[0][0] <= room_bytes:
            self.push(heapq.heappop(self._blocked)[-1])

    def _pop(self, paused: AbstractSet[str]) -> Job | None:
        heap = self._best(paused)
        return heapq.heappop(heap)[-1] if heap else None

    def _best(self, paused: AbstractSet[str]) -> "list[tuple[int, int, int, Job]] | None":
        """The heap with the job that is next."""
        heads = [heap for name, heap in self._heaps.items() if name not in paused and self._skip_left(heap)]
        if not heads:
            return None
        return min(heads, key=lambda heap: (heap[0][0], -heap[0][-1].route.priority, heap[0][1]))

    def _skip_left(self, heap: list[tuple[int, int, int, Job]]) -> bool:
        while heap and heap[0][-1].state is not self.state:
            heapq.heappop(heap)
        return bool(heap)
