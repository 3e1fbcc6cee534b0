"""Whether the destination is the known one, and whether an outage is over for good.

A folder under a mount that is gone must never be filled; storage that comes and goes must not be thrashed.
"""

from collections import deque

from attrs import define, evolve, field

from agent.config.sections import MountRule
from agent.messages.dispatcher import DestinationState
from agent.model.errors import Fault, OutageReason
from agent.model.storage import PublishStrategy
from agent.model.text import is_inside, lies_above
from agent.protocol.replies import Probed

_WAYS_OUT = 'mount it, or, if the folder itself is meant, set mounted = "no" for the route'
MAX_PROBE_S = 60.0
FLAPPING_WINDOW_S = 600.0
MAX_GOOD_PROBES = 16


@define
class AvailabilityTracker:
    """Turns probes of one destination into its state; remembers the mount on which it was accepted.

    While an outage lasts, probes come every `probe_s`, then after twice as long each, up to a minute. It is
    over with the first good probe; but for every outage before it in the last ten minutes twice as many in a
    row are needed, up to 16.
    """

    destination: str
    has_marker: bool
    probe_s: float
    _mount_point: str | None = None
    mounted: MountRule = "auto"
    _state: DestinationState | None = field(default=None, init=False)
    _publish_strategy: PublishStrategy | None = field(default=None, init=False)
    _failures: int = field(default=0, init=False)
    _good_probes: int = field(default=0, init=False)
    _outages: deque[float] = field(factory=deque, init=False)

    @property
    def is_usable(self) -> bool:
        return self._state is not None and self._state.reason is None

    @property
    def mount_point(self) -> str | None:
        """Where the file system was mounted that holds the destination; None until it was seen."""
        return self._mount_point

    @property
    def publish_strategy(self) -> PublishStrategy | None:
        """How files get their names there; None until it was tried."""
        return self._publish_strategy

    def next_probe_s(self) -> float:
        """How long to wait before the next probe."""
        if self._failures < 2:  # noqa: PLR2004  after the first failure the interval is the usual one
            return self.probe_s
        slowest_s = max(MAX_PROBE_S, self.probe_s)
        return float(min(slowest_s, self.probe_s * 2.0 ** min(self._failures - 1, 20)))

    def answered(self, probed: Probed, began_s: float, at: float) -> DestinationState:
        """The destination is there and writable: accept it if it is mounted where that is required."""
        if detail := self._why_unmounted(probed):
            return self.failed(OutageReason.UNMOUNTED, detail, began_s, at)
        self._mount_point = probed.mount_point
        self._publish_strategy = probed.publish_strategy or self._publish_strategy
        self._failures = 0
        self._good_probes += 1
        if self._state is not None and self._state.reason is not None:
            needed = self._good_probes_needed(began_s)
            if self._good_probes < needed:
                detail = (
                    f"it comes and goes: it has answered well {self._good_probes} times of {needed} in a row"
                )
                self._state = evolve(self._state, detail=detail, began_s=began_s)
                return self._state
        figures = (probed.free_bytes, probed.total_bytes, probed.device)
        return self._become(None, "", began_s, at, figures)

    def _why_unmounted(self, probed: Probed) -> str:
        """Why the folder does not lie on the mount that it should lie on; empty: it does.

        Where a mount is gone, the folder is on the file system above it. A marker overrules "auto": with it
        the operator says that the folder is the right one.
        """
        if self.mounted == "no" or (self.mounted == "auto" and self.has_marker):
            return ""
        known, expected, here = self._mount_point, probed.expected_mount, probed.mount_point
        if known is not None and lies_above(here, known):
            return f"{known} is not mounted, the folder now lies on {here}: {_WAYS_OUT}"
        if expected is not None and not is_inside(here, expected):
            return f"nothing is mounted at or below {expected}, the folder lies on {here}: {_WAYS_OUT}"
        if self.mounted == "yes" and here == "/":
            return f"nothing is mounted there, the folder lies on {here}: {_WAYS_OUT}"
        return ""

    def failed(self, reason: OutageReason, detail: str, began_s: float, at: float) -> DestinationState:
        """The probe has failed."""
        self._failures += 1
        return self._lost(reason, detail, began_s, at)

    def report_outage(self, fault: Fault, now_s: float, at: float) -> DestinationState:
        """A copy met an outage that no probe has seen."""
        return self._lost(fault.reason or OutageReason.IO_ERROR, fault.detail, now_s, at)

    def _lost(self, reason: OutageReason, detail: str, now_s: float, at: float) -> DestinationState:
        if self.is_usable:
            self._outages.append(now_s)
        self._good_probes = 0
        return self._become(reason, detail, now_s, at, (None, None, None))

    def _good_probes_needed(self, now_s: float) -> int:
        while self._outages and self._outages[0] <= now_s - FLAPPING_WINDOW_S:
            self._outages.popleft()
        return int(min(MAX_GOOD_PROBES, 2 ** max(0, len(self._outages) - 1)))

    def _become(
        self,
        reason: OutageReason | None,
        detail: str,
        began_s: float,
        at: float,
        figures: tuple[int | None, int | None, int | None],
    ) -> DestinationState:
        before = self._state
        since_at = before.since_at if before is not None and before.reason is reason else at
        self._state = DestinationState(self.destination, reason, detail, since_at, began_s, *figures)
        return self._state
