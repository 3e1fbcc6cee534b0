"""Messages to a storage monitor."""

from attrs import frozen

from agent.model.errors import Fault


@frozen
class ProbeNow:
    """Probe now, by writing.

    `fault`: the outage that a copy has met; None: a fault that may be its file's own, which the answer tells.
    """

    fault: Fault | None
