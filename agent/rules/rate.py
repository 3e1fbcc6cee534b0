"""Bytes per second over the last few seconds."""

from collections import deque

from attrs import define, field

WINDOW_S = 5.0


@define
class Rate:
    _amounts: deque[tuple[float, int]] = field(factory=deque, init=False)
    _total_bytes: int = field(default=0, init=False)

    def add(self, amount_bytes: int, at: float) -> None:
        self._amounts.append((at, amount_bytes))
        self._total_bytes += amount_bytes

    def bytes_s(self, at: float) -> float:
        """The mean over the window that ends at `at`."""
        while self._amounts and self._amounts[0][0] <= at - WINDOW_S:
            self._total_bytes -= self._amounts.popleft()[1]
        return self._total_bytes / WINDOW_S
