"""A line of so many bytes a second, each way, in front of a disk: the kernel's throttle of block devices.

Two loop devices stand on one another. The lower one is throttled; the upper one, which carries the file
system, hands requests down in pieces (the throttle counts what is handed to it as one, however large, and
writes of many megabytes at once would get two thirds of the line), reads before writes, as a link that is
full duplex would. What is not modelled: the round trip of each request, and another machine's cache.
"""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from bench.needs import CannotMeasure

THROTTLE = Path("/sys/fs/cgroup/blkio")  # cgroup v1: its root counts writes from the cache, too
PIECE_KIB = 512


@contextmanager
def throttled(device: str, bytes_s: int) -> Iterator[None]:
    """Reads and writes of this device, so much each. Raises: CannotMeasure: this kernel cannot do that."""
    number = (_of(device) / "dev").read_text().strip()
    with ExitStack() as undo:
        for way in ("read", "write"):
            rule = THROTTLE / f"blkio.throttle.{way}_bps_device"
            if not rule.exists():
                raise CannotMeasure(f"missing: {rule} (cgroup v1, blkio)")
            rule.write_text(f"{number} {bytes_s}")
            undo.callback(rule.write_text, f"{number} 0")
        yield


def in_pieces(device: str) -> None:
    """What it hands down from now on."""
    queue = _of(device) / "queue"
    (queue / "max_sectors_kb").write_text(str(PIECE_KIB))
    (queue / "scheduler").write_text("mq-deadline")


def _of(device: str) -> Path:
    return Path("/sys/block", Path(device).name)
