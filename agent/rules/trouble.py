"""When is the journal in trouble, and when is that over? Said once each, however often it is met."""

import math

from attrs import define, field

CALM_S = 15.0  # a disk that is nearly full takes one write and refuses the next


@define
class Trouble:
    """`error` is what was met first; None: the journal can be written."""

    error: str | None = field(default=None, init=False)
    _failed_s: float = field(default=-math.inf, init=False)

    def failed(self, error: str, now_s: float) -> bool:
        """An operation failed. Returns whether that is news."""
        is_news = self.error is None
        self.error = self.error or error
        self._failed_s = now_s
        return is_news

    def wrote(self, now_s: float) -> bool:
        """Something was written durably. Returns whether the trouble is over with that."""
        if self.error is None or now_s - self._failed_s < CALM_S:
            return False
        self.error = None
        return True
