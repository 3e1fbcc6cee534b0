"""Whether the files of a route may be read: a source that does not answer is no fault of any file's."""

import math

from attrs import define, field

from agent.messages.dispatcher import SourceState


@define
class SourceAvailability:
    """Open until a copy or a scan says otherwise, and again after a whole scan that began later.

    `why` it is shut; empty: it is not.
    """

    why: str = field(default="", init=False)
    _distrusted_until_s: float = field(default=-math.inf, init=False)

    @property
    def is_closed(self) -> bool:
        return bool(self.why)

    def close(self, why: str, now_s: float) -> None:
        self.why = why
        self._distrusted_until_s = now_s

    def scanned(self, reach: SourceState, now_s: float) -> bool:
        """Take in what a scan found; whether anything has changed."""
        before = self.why
        if reach.error:
            self.close(reach.error, now_s)
        elif reach.began_s > self._distrusted_until_s:
            self.why = ""
        return self.why != before
