"""How an object store is reached, and how fast a copy may go."""

from attrs import frozen


@frozen
class BandwidthStep:
    """From this minute of the day (0 to 1439, local time) on so many bytes a second; None: no limit."""

    minute_of_day: int
    limit_bytes_s: int | None


@frozen
class S3Access:
    """How an s3:// destination is reached; empty texts leave the choice to the usual AWS places.

    An answer that takes longer than `timeout_s` is none.
    """

    endpoint_url: str
    region: str
    path_style: bool
    part_size_bytes: int
    timeout_s: float
