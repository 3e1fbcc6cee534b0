"""Everything from one disk to the other, by each of the subjects in turn, round after round."""

import statistics
import time
from collections.abc import Sequence

from bench.ground import Ground, needed
from bench.ours import OURS, TIMES
from bench.peers import PEERS, Subject, Took, program
from bench.report import load, note, say, spread, table
from bench.works import Work, digests, names

HEAD = (
    "subject",
    "took",
    "of cp",
    "net",
    "net, of cp",
    "of rsync as safe",
    "of rclone as safe",
    "verified",
    "synced",
)
SUBJECTS = (*PEERS, *OURS)


def move(work: Work, rounds: int, subjects: Sequence[Subject] = SUBJECTS) -> None:
    """Print how long each subject took.

    Raises:
        CannotMeasure: a program or the room is missing.
        AssertionError: something did not arrive.
    """
    needed("mkfs.ext4", "losetup", "mount", "cp", "sync", "find")
    for name in {name for subject in subjects for name in subject.needs}:
        program(name)
    began_s = time.monotonic()
    took: dict[str, list[Took]] = {subject.name: [] for subject in subjects}
    with Ground.of(work.disk_bytes) as ground:
        work.write(ground.masters)
        expected = digests(ground.masters)
        for number in range(rounds):
            for subject in subjects:
                took[subject.name].append(_once(ground, subject, expected, thoroughly=number == 0))
                note(f"{work.name}, round {number + 1}: {subject.name}: {took[subject.name][-1].s:.2f} s")
    say(f"## {work.name}: {work.count} files, {work.total_bytes / 1e6:,.0f} MB, {rounds} rounds\n")
    table(HEAD, [_row(subject, took) for subject in subjects])
    say(f"{TIMES} Took {time.monotonic() - began_s:.0f} s; load at its end {load()}.\n")


def _once(ground: Ground, subject: Subject, expected: dict[str, str], *, thoroughly: bool) -> Took:
    ground.set_up()
    sizes = names(ground.source)
    took = subject.move(ground)
    assert names(ground.destination) == sizes, f"{subject.name}: not everything has arrived"
    assert not any(ground.source.iterdir()), f"{subject.name}: not everything has left"
    if thoroughly:
        ground.far.forget()
        assert digests(ground.destination) == expected, f"{subject.name}: something has arrived altered"
    return took


def _row(subject: Subject, took: dict[str, list[Took]]) -> list[str]:
    mine = took[subject.name]
    net = [each.net_s for each in mine if each.net_s is not None]
    wall = [each.s for each in mine]
    best = statistics.median(net or wall)
    safe = [_times(best, took, name) if subject.equal else "" for name in ("rsync", "rclone")]
    return [
        subject.name,
        spread(wall),
        _times(statistics.median(wall), took, "cp"),
        spread(net) if net else "",
        _times(best, took, "cp") if net else "",
        *safe,
        subject.verified,
        subject.synced,
    ]


def _times(seconds: float, took: dict[str, list[Took]], program_name: str) -> str:
    """How many times what the unchecked `cp`, or a peer at equal safety, took."""
    for subject in PEERS:
        is_meant = subject.name.startswith("cp") if program_name == "cp" else subject.equal
        if is_meant and subject.name.startswith(program_name) and took.get(subject.name):
            return f"{seconds / statistics.median([each.s for each in took[subject.name]]):.2f}"
    return "-"
