"""When which file is to be examined."""

import heapq
import math
from collections.abc import Callable, Iterable

from attrs import define, field

IsWanted = Callable[[float, str], bool]


@define
class RecheckQueue:
    """Paths by the time at which their examination is due: a scan that finds a million files adds one time.

    Entries that are no longer wanted stay until they are due; `is_wanted` recognizes them by time and path.
    """

    _times: list[float] = field(factory=list, init=False)  # a heap
    _paths: dict[float, list[str]] = field(factory=dict, init=False)
    _count: int = field(default=0, init=False)

    def __len__(self) -> int:
        return self._count

    def add(self, at_s: float, path: str) -> None:
        if at_s not in self._paths:
            heapq.heappush(self._times, at_s)
            self._paths[at_s] = []
        self._paths[at_s].append(path)
        self._count += 1

    def due_s(self, is_wanted: IsWanted) -> float:
        """When the first examination is due; infinity: none is."""
        while self._times:
            at_s = self._times[0]
            paths = self._paths[at_s]
            while paths and not is_wanted(at_s, paths[-1]):
                self.pop()
            if paths:
                return at_s
            del self._paths[heapq.heappop(self._times)]
        return math.inf

    def pop(self) -> str:
        """Remove and return the path that `due_s` refers to; of several the last that was added."""
        self._count -= 1
        return self._paths[self._times[0]].pop()

    def rebuild(self, wanted: Iterable[tuple[float, str]]) -> None:
        """Keep only these."""
        self._times, self._paths, self._count = [], {}, 0
        for at_s, path in wanted:
            self.add(at_s, path)
