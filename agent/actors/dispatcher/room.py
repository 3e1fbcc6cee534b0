"""How much can really be written where the file system says more: under a quota, in a branch of a union."""

from attrs import define

FIRST_TRUST_S, LONGEST_TRUST_S = 60.0, 960.0


@define
class Room:
    """`left_bytes`: None: as much as the file system says.

    It is learnt when copies run out of space a second time, and forgotten after a while: one minute at first,
    up to 16 as it happens again.
    """

    left_bytes: int | None = None
    _refused_bytes: int | None = None
    _delivered_bytes: int = 0
    _until_s: float = 0.0
    _trust_s: float = FIRST_TRUST_S

    def refused(self, given_back_bytes: int, now_s: float) -> bool:
        """Copies ran out of space that a good probe says is there, and gave back what was not verified.

        Returns:
            Whether others were delivered since the last time that took more, so that the fault is its own.
        """
        before, self._refused_bytes = self._refused_bytes, given_back_bytes
        is_own = before is not None and self._delivered_bytes > before
        self._delivered_bytes, self._until_s = 0, now_s
        if before is not None and not is_own:
            self.left_bytes = given_back_bytes
            self._until_s += self._trust_s
            self._trust_s = min(2 * self._trust_s, LONGEST_TRUST_S)
        return is_own

    def probed(self, began_s: float) -> None:
        """The destination is well."""
        if began_s >= self._until_s:
            self.left_bytes = None
        if began_s >= self._until_s + LONGEST_TRUST_S:
            self._refused_bytes, self._trust_s = None, FIRST_TRUST_S

    def delivered(self, size_bytes: int) -> None:
        self._delivered_bytes += size_bytes

    def gain(self, gained_bytes: int) -> None:
        """A partial has gone; less than 0: something was written."""
        if self.left_bytes is not None:
            self.left_bytes = max(0, self.left_bytes + gained_bytes)
