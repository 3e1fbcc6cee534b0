"""Messages to the supervisor."""

from attrs import frozen


@frozen
class Reload:
    """Read the configuration again."""
