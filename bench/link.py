"""A line of so many bytes a second, each way, in front of a disk: the kernel's throttle of block devices.

Two loop devices stand on one another. The lower one is throttled; the upper one, which carries the file
system, hands requests down in pieces (the throttle counts what is handed to it as one, however large, and
writes of many megabytes at once would get two thirds of the line), reads before writes, as a link that is
full duplex would. What is not modelled: the round trip of each request, and another machine's cache.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from attrs import frozen

from bench.needs import CannotMeasure

THROTTLE = Path("/sys/fs/cgroup/blkio")  # cgroup v1: its root counts writes from the cache, too
PIECE_KIB = 512


@frozen
class Line:
    """`number`: of the device behind it, as the kernel writes it."""

    number: str
    bytes_s: int

    def limit(self) -> None:
        """Raises: CannotMeasure: this kernel cannot do that."""
        self._allow(self.bytes_s)

    def lift(self) -> None:
        self._allow(0)

    def _allow(self, bytes_s: int) -> None:
        for way in ("read", "write"):
            rule = THROTTLE / f"blkio.throttle.{way}_bps_device"
            if not rule.exists():
                raise CannotMeasure(f"missing: {rule} (cgroup v1, blkio)")
            rule.write_text(f"{self.number} {bytes_s}")


@contextmanager
def throttled(device: str, bytes_s: int) -> Iterator[Line]:
    """Reads and writes of this device, so much each. Raises: CannotMeasure: this kernel cannot do that."""
    line = Line((_of(device) / "dev").read_text().strip(), bytes_s)
    line.limit()
    try:
        yield line
    finally:
        line.lift()


def in_pieces(device: str) -> None:
    """What it hands down from now on."""
    queue = _of(device) / "queue"
    (queue / "max_sectors_kb").write_text(str(PIECE_KIB))
    (queue / "scheduler").write_text("mq-deadline")


def _of(device: str) -> Path:
    return Path("/sys/block", Path(device).name)
