"""Files that did not answer when they were examined: how often, and when each has its turn again."""

from attrs import define, field

RECHECK_S = 600.0  # the longest wait, and the one between the turns of a file that is held


@define
class HungFiles:
    """The files of one route that hung, until they answer, change or leave.

    `first_wait_s`: after the first time; it doubles with each further one. `held_after`: so many times.
    """

    first_wait_s: float
    held_after: int
    _times: dict[str, int] = field(factory=dict, init=False)

    def add(self, path: str) -> int:
        """It hung once more; returns how often by now."""
        times = self._times[path] = self._times.get(path, 0) + 1
        return times

    def is_held(self, times: int) -> bool:
        return times >= self.held_after

    def wait_s(self, times: int) -> float:
        """How long the others go before it."""
        if self.is_held(times):
            return RECHECK_S
        return float(min(RECHECK_S, self.first_wait_s * 2.0 ** (times - 1)))

    def discard(self, path: str) -> bool:
        """It has answered, changed or left; returns whether it hung before."""
        return self._times.pop(path, None) is not None
