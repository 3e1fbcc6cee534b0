"""Access to an object store, the steps of a bandwidth timetable, and how a folder gives a file its name."""

from typing import Literal

from attrs import frozen

# How a folder gives a file its name without replacing another: see docs/limits.md on the last one.
PublishStrategy = Literal["rename", "link", "placeholder"]


@frozen
class BandwidthStep:
    """The limit (bytes per second; None: no limit) from this minute of the day on (0 to 1439, local time)."""

    minute_of_day: int
    limit_bytes_s: int | None


@frozen
class S3Access:
    """The access to an s3:// destination; an empty text leaves the value to the usual AWS configuration.

    A response that takes longer than `timeout_s` counts as missing.
    """

    endpoint_url: str
    region: str
    path_style: bool
    part_size_bytes: int
    timeout_s: float
