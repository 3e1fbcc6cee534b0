"""Moves into a bucket: an S3 server on loopback that stores it on the other disk."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from bench.comparison import Comparison
from bench.disk_pair import DiskPair
from bench.other_tools import remove
from bench.subjects import RunTime, Subject, output_of, timed
from bench.transfer_agent import name_of, once
from bench.workload import Workload
from tests.s3.servers import credentials, rclone

BUCKET = "bench"
ARRIVAL = Path("data", BUCKET)  # the folder in which the server stores it
REGION = "us-east-1"
MD5, READ_BACK = "MD5 of each part, by the server", "all, read back from the server"
UNSYNCED = "nothing: the server does not sync"
Step = Callable[[DiskPair, str], None]  # also gets the server's address


@contextmanager
def _served(disks: DiskPair) -> Iterator[str]:
    """A running server; yields its address. Its keys are in the environment."""
    with credentials(), rclone(disks.destination) as server:
        (disks.destination / ARRIVAL).mkdir()
        yield server.url


def _upload(*steps: Step) -> Callable[[DiskPair], RunTime]:
    """Run these steps and remove the source; start and end of the server are not timed."""

    def move(disks: DiskPair) -> RunTime:
        with _served(disks) as url:
            return timed(*(lambda disks, step=step: step(disks, url) for step in steps), remove)(disks)

    return move


def _rclone(verb: str, *options: str) -> Step:
    def run(disks: DiskPair, url: str) -> None:
        words = ("--config", "", "--s3-provider", "Rclone", "--s3-env-auth", "--s3-endpoint", url)
        output_of("rclone", *words, verb, *options, str(disks.source), f":s3:{BUCKET}")

    return run


def _aws(disks: DiskPair, url: str) -> None:
    words = ("--endpoint-url", url, "--region", REGION, "s3", "cp", "--recursive", "--only-show-errors")
    output_of("aws", *words, str(disks.source), f"s3://{BUCKET}/")


def _agent(verify: str, workers: int) -> Subject:
    def move(disks: DiskPair) -> RunTime:
        with _served(disks) as url:
            more = ("[s3]", f'endpoint_url = "{url}"', f'region = "{REGION}"', "path_style = true")
            return once(disks, f"s3://{BUCKET}", verify, workers, *more)

    return Subject(
        name_of(verify, workers),
        READ_BACK if verify == "read_back" else MD5,
        f"the journal; of the rest {UNSYNCED}",
        move,
        is_as_safe=verify == "read_back",
        is_ours=True,
    )


SUBJECTS = (
    Subject("rclone copy, rm", MD5, UNSYNCED, _upload(_rclone("copy")), needs=("rclone",)),
    Subject(
        "rclone copy, rclone check --download, rm",
        READ_BACK,
        UNSYNCED,
        _upload(_rclone("copy"), _rclone("check", "--download")),
        is_as_safe=True,
        needs=("rclone",),
    ),
    Subject(
        "aws s3 cp --recursive, rm",
        "nothing: this server does not check its CRC32",
        UNSYNCED,
        _upload(_aws),
        needs=("aws",),
    ),
    *(_agent(verify, workers) for verify, workers in (("hash", 2), ("read_back", 2), ("read_back", 4))),
)


def uploads(workload: Workload) -> Comparison:
    return Comparison(workload, SUBJECTS, arrival=ARRIVAL)
