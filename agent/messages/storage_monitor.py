"""Messages to a storage monitor."""

from attrs import frozen

from agent.model.errors import Fault


@frozen
class ProbeNow:
    """A copy met an outage that the storage monitor has not seen: probe now."""

    fault: Fault
