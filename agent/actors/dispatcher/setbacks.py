"""What has held one file up since it last got further, and whether the next fault is its own."""

import math

from attrs import define, field

from agent.model.errors import Fault, OutageReason

FORGOTTEN_AFTER_S = 600.0
MAX_STALLS = 2


@define
class Setbacks:
    """`outages`: in a row without progress; files with fewer go first."""

    outages: int = 0
    _verified_bytes: int = -1
    _unconfirmed: set[OutageReason] = field(factory=set)
    _stalls: int = 0
    _deliveries: int = 0
    _last_s: float = -math.inf

    def interrupted(self, verified_bytes: int, now_s: float) -> bool:
        """A copy came back without having delivered; returns whether it got further than any before.

        Progress makes up for what was before it, and so does a good while.
        """
        has_progressed = verified_bytes > self._verified_bytes
        if has_progressed or now_s - self._last_s > FORGOTTEN_AFTER_S:
            self.outages = self._stalls = 0
            self._unconfirmed.clear()
        self._verified_bytes = max(verified_bytes, self._verified_bytes)
        self._last_s = now_s
        return has_progressed

    def confirmed(self) -> None:
        """The monitor met the fault too, so the ones before it may have been the destination's as well."""
        self._unconfirmed.clear()

    def is_own(self, fault: Fault) -> bool:
        """A probe that began after this fault was good; returns whether that happens again."""
        reason = fault.reason or OutageReason.IO_ERROR
        is_repeated = reason in self._unconfirmed
        self._unconfirmed.add(reason)
        return is_repeated

    def is_own_stall(self, deliveries: int) -> bool:
        """Nothing moved; returns whether this file keeps stopping a destination that others get through to.

        `deliveries` counts those of the destination. A probe cannot tell: storage that crawls answers it.
        """
        self._stalls += deliveries > self._deliveries
        self._deliveries = deliveries
        return self._stalls > MAX_STALLS
