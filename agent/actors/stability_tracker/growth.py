"""Whether a file grows the way a recording does, so that it may be copied meanwhile."""

from attrs import define, field

from agent.config.sections import Route
from agent.model.source_file import Signature

MIN_GROWTHS = 2  # one may be a file that was moved in during the scan


@define
class GrowthDetector:
    """The growth of one file: how often it grew in a row, and how fast it grew last.

    `has_grown`: at the last change; `followed`: it was reported as growing.
    """

    has_grown: bool = field(default=False, init=False)
    followed: bool = field(default=False, init=False)
    growths: int = field(default=0, init=False)
    rate_bytes_s: float = field(default=0.0, init=False)

    def seen(self, before: Signature, after: Signature, took_s: float) -> bool:
        """Take in a change; whether it is still the same file and no shorter than before."""
        grown_bytes = after.size_bytes - before.size_bytes
        self.has_grown = grown_bytes > 0
        if grown_bytes < 0 or not after.is_same_file(before):
            self.growths = 0
            return False
        if grown_bytes > 0:
            self.growths += 1
            self.rate_bytes_s = grown_bytes / max(took_s, 0.001)
        return True

    def may_be_followed(self, signature: Signature, route: Route) -> bool:
        """Whether it is large enough, and was seen to grow more than once."""
        return (
            route.growing
            and self.growths >= MIN_GROWTHS
            and signature.size_bytes >= route.growing_min_size_bytes
        )
