"""Does a file grow the way a recording does, so that its tail may be followed?"""

from attrs import define, field

from agent.config.sections import Route
from agent.model.source_file import Signature

MIN_GROWTHS = 2  # one may be a file that was moved in while we looked


@define
class GrowthDetector:
    """What was seen of one file's size: how often it rose in a row, and how fast it did last.

    `has_grown`: at the last change; `followed`: it has been announced as growing.
    """

    has_grown: bool = field(default=False, init=False)
    followed: bool = field(default=False, init=False)
    growths: int = field(default=0, init=False)
    rate_bytes_s: float = field(default=0.0, init=False)

    def seen(self, before: Signature, after: Signature, took_s: float) -> bool:
        """Take in a change; whether the file is still the one it was, no shorter than before."""
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
        """Only what is large enough to be worth it, and was seen to grow more than once."""
        return (
            route.growing
            and self.growths >= MIN_GROWTHS
            and signature.size_bytes >= route.growing_min_size_bytes
        )
