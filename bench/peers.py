"""What people use today, each a row of commands as somebody careful, or less so, would type them."""

import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from attrs import frozen

from bench.ground import CannotMeasure, Ground


@frozen
class Took:
    """`s`: the whole program, from start to end. `net_s`: without start and waiting, where that is known."""

    s: float
    net_s: float | None = None


@frozen
class Subject:
    """One way of moving everything. `verified`, `synced`: what holds when it has ended."""

    name: str
    verified: str
    synced: str
    move: Callable[[Ground], Took]
    equal: bool = False  # as safe as reading back from the storage before the source goes
    needs: tuple[str, ...] = ()


def program(name: str) -> str:
    """Where it is: beside our interpreter (extra `bench`), or on the path. Raises: CannotMeasure."""
    beside = Path(sys.executable).parent / name
    found = str(beside) if beside.exists() else shutil.which(name)
    if found is None:
        raise CannotMeasure(f"missing: {name}")
    return found


def _say(name: str, *words: str) -> str:
    done = subprocess.run([program(name), *words], check=False, capture_output=True, text=True)
    assert done.returncode == 0, f"{name} {' '.join(words)}: {done.stderr[-2000:]}"
    return done.stdout


def _timed(*steps: Callable[[Ground], None]) -> Callable[[Ground], Took]:
    def move(ground: Ground) -> Took:
        began_s = time.monotonic()
        for step in steps:
            step(ground)
        return Took(time.monotonic() - began_s)

    return move


def _cp(ground: Ground) -> None:
    _say("cp", "-r", f"{ground.source}/.", str(ground.destination))


def _sync(ground: Ground) -> None:
    _say("sync", "-f", str(ground.destination))


def _forget(ground: Ground) -> None:
    ground.far.forget()


def _remove(ground: Ground) -> None:
    _say("find", str(ground.source), "-mindepth", "1", "-delete")


def _rsync(*options: str) -> Callable[[Ground], None]:
    def run(ground: Ground) -> None:
        _say("rsync", "-a", *options, f"{ground.source}/", str(ground.destination))

    return run


def _rsync_compare(ground: Ground) -> None:
    words = ("-a", "--checksum", "--dry-run", "--itemize-changes")
    differing = _say("rsync", *words, f"{ground.source}/", str(ground.destination))
    files = [line for line in differing.splitlines() if not line.startswith(".d")]
    assert not files, files


def _rclone(verb: str, *options: str) -> Callable[[Ground], None]:
    def run(ground: Ground) -> None:
        _say("rclone", "--config", "", verb, *options, str(ground.source), str(ground.destination))

    return run


PEERS = (
    Subject("cp -r, sync, rm", "nothing", "destination, before rm", _timed(_cp, _sync, _remove)),
    Subject(
        "rsync --remove-source-files",
        "its stream, in memory",
        "nothing",
        _timed(_rsync("--remove-source-files")),
        needs=("rsync",),
    ),
    Subject(
        "rsync --fsync, cache dropped, rsync -c compares, rm",
        "all, read back from the storage",
        "each file",
        _timed(_rsync("--fsync"), _forget, _rsync_compare, _remove),
        equal=True,
        needs=("rsync",),
    ),
    Subject(
        "rclone move",
        "MD5, read back from the cache",
        "nothing",
        _timed(_rclone("move")),
        needs=("rclone",),
    ),
    Subject(
        "rclone copy, sync, cache dropped, rclone check --download, rm",
        "all, read back from the storage",
        "destination, before the check",
        _timed(_rclone("copy"), _sync, _forget, _rclone("check", "--download"), _remove),
        equal=True,
        needs=("rclone",),
    ),
)
