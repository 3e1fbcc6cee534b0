"""How often may the house fall and be set up again before its supervisor must act?"""

from collections import deque

from attrs import define, field

FALLS = 5
WINDOW_S = 600.0


@define
class RestartBudget:
    """At most `FALLS` restarts in `WINDOW_S` (OTP: restart intensity), after 1, 2, 4 ... seconds."""

    _falls: deque[float] = field(factory=deque, init=False)

    def fell(self, now_s: float) -> float | None:
        """How long to wait before the restart; None: the budget is spent."""
        self._falls.append(now_s)
        while self._falls[0] <= now_s - WINDOW_S:
            self._falls.popleft()
        if len(self._falls) > FALLS:
            return None
        return 2.0 ** (len(self._falls) - 1)
