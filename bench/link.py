"""A link of a given rate in each direction, in front of a disk: the kernel's throttle of block devices.

Two loop devices are stacked. The lower one is throttled. The upper one carries the file system and passes
requests on in pieces of 512 KiB, because the throttle counts a request as one, however large: large writes
would get only two thirds of the rate. Reads and writes are limited apart, as on a full duplex link. The round
trip of each request and the cache of another machine are not modelled.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from attrs import frozen

from bench.requirements import CannotMeasure

THROTTLE = Path("/sys/fs/cgroup/blkio")  # cgroup v1: its root counts writes from the cache, too
PIECE_KIB = 512


@frozen
class Link:
    """`number`: the device number (major:minor) of the disk behind the link."""

    number: str
    bytes_s: int

    def limit(self) -> None:
        """Raises: CannotMeasure: this kernel has no such throttle."""
        self._allow(self.bytes_s)

    def lift(self) -> None:
        self._allow(0)

    def _allow(self, bytes_s: int) -> None:
        for direction in ("read", "write"):
            rule = THROTTLE / f"blkio.throttle.{direction}_bps_device"
            if not rule.exists():
                raise CannotMeasure(f"missing: {rule} (cgroup v1, blkio)")
            rule.write_text(f"{self.number} {bytes_s}")


@contextmanager
def throttled(device: str, bytes_s: int) -> Iterator[Link]:
    """Limit reads and writes of this device to `bytes_s` each.

    Raises:
        CannotMeasure: this kernel has no such throttle.
    """
    link = Link((_of(device) / "dev").read_text().strip(), bytes_s)
    link.limit()
    try:
        yield link
    finally:
        link.lift()


def in_pieces(device: str) -> None:
    """Let the device pass requests on in pieces."""
    queue = _of(device) / "queue"
    (queue / "max_sectors_kb").write_text(str(PIECE_KIB))
    (queue / "scheduler").write_text("mq-deadline")


def _of(device: str) -> Path:
    return Path("/sys/block", Path(device).name)
