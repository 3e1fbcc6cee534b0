"""Everything into a bucket: an S3 server on loopback that keeps it on the other disk."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from bench.ground import Ground
from bench.moving import Course
from bench.ours import name_of, once
from bench.peers import remove
from bench.subjects import Subject, Took, timed, told
from bench.works import Work
from tests.s3.servers import credentials, rclone

BUCKET = "bench"
ARRIVAL = Path("data", BUCKET)  # where the server keeps it
REGION = "us-east-1"
MD5, READ_BACK = "MD5 of each part, by the server", "all, read back from the server"
UNSYNCED = "nothing: the server does not sync"
Step = Callable[[Ground, str], None]  # with the server's address


@contextmanager
def _served(ground: Ground) -> Iterator[str]:
    """The server's address, with its keys in the environment."""
    with credentials(), rclone(ground.destination) as server:
        (ground.destination / ARRIVAL).mkdir()
        yield server.url


def _upload(*steps: Step) -> Callable[[Ground], Took]:
    """One after the other, and the source is removed; start and end of the server do not count."""

    def move(ground: Ground) -> Took:
        with _served(ground) as url:
            return timed(*(lambda ground, step=step: step(ground, url) for step in steps), remove)(ground)

    return move


def _rclone(verb: str, *options: str) -> Step:
    def run(ground: Ground, url: str) -> None:
        words = ("--config", "", "--s3-provider", "Rclone", "--s3-env-auth", "--s3-endpoint", url)
        told("rclone", *words, verb, *options, str(ground.source), f":s3:{BUCKET}")

    return run


def _aws(ground: Ground, url: str) -> None:
    words = ("--endpoint-url", url, "--region", REGION, "s3", "cp", "--recursive", "--only-show-errors")
    told("aws", *words, str(ground.source), f"s3://{BUCKET}/")


def _ours(verify: str, workers: int) -> Subject:
    def move(ground: Ground) -> Took:
        with _served(ground) as url:
            more = ("[s3]", f'endpoint_url = "{url}"', f'region = "{REGION}"', "path_style = true")
            return once(ground, f"s3://{BUCKET}", verify, workers, *more)

    return Subject(
        name_of(verify, workers),
        READ_BACK if verify == "read_back" else MD5,
        f"the journal; of the rest {UNSYNCED}",
        move,
        equal=verify == "read_back",
        ours=True,
    )


SUBJECTS = (
    Subject("rclone copy, rm", MD5, UNSYNCED, _upload(_rclone("copy")), needs=("rclone",)),
    Subject(
        "rclone copy, rclone check --download, rm",
        READ_BACK,
        UNSYNCED,
        _upload(_rclone("copy"), _rclone("check", "--download")),
        equal=True,
        needs=("rclone",),
    ),
    Subject(
        "aws s3 cp --recursive, rm",
        "nothing: its CRC32 is not looked at by this server",
        UNSYNCED,
        _upload(_aws),
        needs=("aws",),
    ),
    *(_ours(verify, workers) for verify, workers in (("hash", 2), ("read_back", 2), ("read_back", 4))),
)


def uploads(work: Work) -> Course:
    return Course(work, SUBJECTS, arrival=ARRIVAL)
