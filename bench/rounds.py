"""The rounds of a measurement, as many as its time allows."""

import time
from collections.abc import Callable, Iterator

from attrs import field, frozen


@frozen
class Rounds:
    """At most `count` rounds, at least one. No round starts that would probably end later than `limit_s`."""

    count: int
    limit_s: float
    _clock: Callable[[], float] = time.monotonic
    _created_s: float = field(init=False)

    @_created_s.default
    def _now(self) -> float:
        return self._clock()

    def __iter__(self) -> Iterator[int]:
        """The number of each round, from 0."""
        before_s, longest_s = self._clock(), 0.0
        for number in range(self.count):
            if number > 0 and before_s - self._created_s + longest_s > self.limit_s:
                return
            yield number
            now_s = self._clock()
            longest_s = max(longest_s, now_s - before_s)
            before_s = now_s
