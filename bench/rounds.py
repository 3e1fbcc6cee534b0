"""How often subjects take their turns, so that the whole run ends in time."""

import time
from collections.abc import Callable, Iterator

from attrs import field, frozen


@frozen
class Rounds:
    """At most `count`, one at least; none is begun that would probably end `limit_s` after they were made."""

    count: int
    limit_s: float
    _clock: Callable[[], float] = time.monotonic
    _made_s: float = field(init=False)

    @_made_s.default
    def _now(self) -> float:
        return self._clock()

    def __iter__(self) -> Iterator[int]:
        """The number of each round, from 0."""
        before_s, longest_s = self._clock(), 0.0
        for number in range(self.count):
            if number > 0 and before_s - self._made_s + longest_s > self.limit_s:
                return
            yield number
            now_s = self._clock()
            longest_s = max(longest_s, now_s - before_s)
            before_s = now_s
