"""When which file is to be looked at closely."""

import heapq
import math
from collections.abc import Callable, Iterable

from attrs import define, field

IsWanted = Callable[[float, str], bool]


@define
class RecheckQueue:
    """Paths by the time at which a look is due: a scan that finds a million files adds one time.

    What was asked for and is not wanted any more lingers here; `is_wanted` tells it apart, by time and path.
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
        """When the first look is due; infinity: none is."""
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
        """The one that `due_s` has just spoken of; of several at one time the last that was asked for."""
        self._count -= 1
        return self._paths[self._times[0]].pop()

    def rebuild(self, asks: Iterable[tuple[float, str]]) -> None:
        """Only these are wanted."""
        self._times, self._paths, self._count = [], {}, 0
        for at_s, path in asks:
            self.add(at_s, path)
