"""Is the destination the one we know? A folder under a mount that is gone must never be filled."""

from attrs import define, field

from agent.faults import OutageReason
from agent.messages import StorageState
from agent.protocol import Probed


@define
class Reach:
    """Turns probes of one destination into its state; remembers the mount on which it was accepted."""

    destination: str
    has_marker: bool
    _mount_point: str | None = None
    _state: StorageState | None = field(default=None, init=False)

    @property
    def is_usable(self) -> bool:
        return self._state is not None and self._state.reason is None

    @property
    def mount_point(self) -> str | None:
        """Where the file system was mounted that holds the destination; None until it was seen."""
        return self._mount_point

    def answered(self, probed: Probed, began_s: float, at: float) -> StorageState:
        """The folder is there and writable; is it on the mount that it was on before?

        A mount that is gone shows the folder on the mount that lies above. A marker that is there overrules
        this: with it the operator says that the folder is the right one.
        """
        known = self._mount_point
        if known is not None and not self.has_marker and _lies_above(probed.mount_point, known):
            detail = (
                f"{known} is not mounted, the folder now lies on {probed.mount_point}: mount it, or, if this "
                f"is meant, put a file there and name it as the route's marker"
            )
            return self.failed(OutageReason.UNMOUNTED, detail, began_s, at)
        self._mount_point = probed.mount_point
        figures = (probed.free_bytes, probed.total_bytes, probed.device)
        return self._become(None, "", began_s, at, figures)

    def failed(self, reason: OutageReason, detail: str, began_s: float, at: float) -> StorageState:
        """The probe met an outage."""
        return self._become(reason, detail, began_s, at, (None, None, None))

    def _become(
        self,
        reason: OutageReason | None,
        detail: str,
        began_s: float,
        at: float,
        figures: tuple[int | None, int | None, int | None],
    ) -> StorageState:
        before = self._state
        since_at = before.since_at if before is not None and before.reason is reason else at
        self._state = StorageState(self.destination, reason, detail, since_at, began_s, *figures)
        return self._state


def _lies_above(mount_point: str, other: str) -> bool:
    return mount_point != other and f"{other}/".startswith(f"{mount_point.rstrip('/')}/")
