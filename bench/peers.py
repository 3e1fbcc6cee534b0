"""What people use today, each a row of commands as somebody careful, or less so, would type them."""

from collections.abc import Callable

from bench.ground import Ground
from bench.subjects import Subject, timed, told


def _cp(ground: Ground) -> None:
    told("cp", "-r", f"{ground.source}/.", str(ground.destination))


def _sync(ground: Ground) -> None:
    told("sync", "-f", str(ground.destination))


def _forget(ground: Ground) -> None:
    ground.far.forget()


def remove(ground: Ground) -> None:
    """All that stands in the source."""
    told("find", str(ground.source), "-mindepth", "1", "-delete")


def _rsync(*options: str) -> Callable[[Ground], None]:
    def run(ground: Ground) -> None:
        told("rsync", "-a", *options, f"{ground.source}/", str(ground.destination))

    return run


def _rsync_compare(ground: Ground) -> None:
    words = ("-a", "--checksum", "--dry-run", "--itemize-changes")
    differing = told("rsync", *words, f"{ground.source}/", str(ground.destination))
    files = [line for line in differing.splitlines() if not line.startswith(".d")]
    assert not files, files


def _rclone(verb: str, *options: str) -> Callable[[Ground], None]:
    def run(ground: Ground) -> None:
        told("rclone", "--config", "", verb, *options, str(ground.source), str(ground.destination))

    return run


CP = Subject("cp -r, sync, rm", "nothing", "destination, before rm", timed(_cp, _sync, remove))
RSYNC_SAFE = Subject(
    "rsync --fsync, cache dropped, rsync -c compares, rm",
    "all, read back from the storage",
    "each file",
    timed(_rsync("--fsync"), _forget, _rsync_compare, remove),
    equal=True,
    needs=("rsync",),
)
RCLONE_SAFE = Subject(
    "rclone copy, sync, cache dropped, rclone check --download, rm",
    "all, read back from the storage",
    "destination, before the check",
    timed(_rclone("copy"), _sync, _forget, _rclone("check", "--download"), remove),
    equal=True,
    needs=("rclone",),
)
PEERS = (
    CP,
    Subject(
        "rsync --remove-source-files",
        "its stream, in memory",
        "nothing",
        timed(_rsync("--remove-source-files")),
        needs=("rsync",),
    ),
    RSYNC_SAFE,
    Subject(
        "rclone move",
        "MD5, read back from the cache",
        "nothing",
        timed(_rclone("move")),
        needs=("rclone",),
    ),
    RCLONE_SAFE,
)
