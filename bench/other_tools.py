"""Other tools as subjects, each a sequence of commands, from careless to as safe as the agent."""

from collections.abc import Callable

from bench.disk_pair import DiskPair
from bench.subjects import Subject, output_of, timed


def _cp(disks: DiskPair) -> None:
    output_of("cp", "-r", f"{disks.source}/.", str(disks.destination))


def _sync(disks: DiskPair) -> None:
    output_of("sync", "-f", str(disks.destination))


def _drop_cache(disks: DiskPair) -> None:
    disks.far.drop_cache()


def remove(disks: DiskPair) -> None:
    """Delete everything in the source."""
    output_of("find", str(disks.source), "-mindepth", "1", "-delete")


def _rsync(*options: str) -> Callable[[DiskPair], None]:
    def run(disks: DiskPair) -> None:
        output_of("rsync", "-a", *options, f"{disks.source}/", str(disks.destination))

    return run


def _rsync_compare(disks: DiskPair) -> None:
    words = ("-a", "--checksum", "--dry-run", "--itemize-changes")
    differing = output_of("rsync", *words, f"{disks.source}/", str(disks.destination))
    files = [line for line in differing.splitlines() if not line.startswith(".d")]
    assert not files, files


def _rclone(verb: str, *options: str) -> Callable[[DiskPair], None]:
    def run(disks: DiskPair) -> None:
        output_of("rclone", "--config", "", verb, *options, str(disks.source), str(disks.destination))

    return run


CP = Subject("cp -r, sync, rm", "nothing", "destination, before rm", timed(_cp, _sync, remove))
RSYNC_SAFE = Subject(
    "rsync --fsync, cache dropped, rsync -c compares, rm",
    "all, read back from the storage",
    "each file",
    timed(_rsync("--fsync"), _drop_cache, _rsync_compare, remove),
    is_as_safe=True,
    needs=("rsync",),
)
RCLONE_SAFE = Subject(
    "rclone copy, sync, cache dropped, rclone check --download, rm",
    "all, read back from the storage",
    "destination, before the check",
    timed(_rclone("copy"), _sync, _drop_cache, _rclone("check", "--download"), remove),
    is_as_safe=True,
    needs=("rclone",),
)
OTHER_TOOLS = (
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
