"""Everything from here to there, by each of the subjects in turn, round after round."""

import statistics
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from pathlib import Path

from attrs import frozen

from bench.ground import Ground
from bench.needs import needed, program
from bench.ours import HASH_SUBJECT, OURS, READ_BACK_SUBJECT, TIMES
from bench.peers import CP, PEERS, RCLONE_SAFE, RSYNC_SAFE
from bench.report import Figures, load, note, ratios, say, spread, table
from bench.rounds import Rounds
from bench.subjects import Subject, Took
from bench.works import Work, digests, names

ALL = (*PEERS, *OURS)
LARGE = (*PEERS, HASH_SUBJECT, READ_BACK_SUBJECT)  # a single file has no use for more workers
JUDGED = (CP, RSYNC_SAFE, RCLONE_SAFE, HASH_SUBJECT, READ_BACK_SUBJECT)  # whom the goals name
Times = dict[str, list[Took]]


@frozen
class Course:
    """What is carried by whom and over what; the others are compared with the first of the subjects.

    `arrival`: where files come to stand, below the destination.
    """

    work: Work
    subjects: Sequence[Subject] = ALL
    ground: Callable[[int], AbstractContextManager[Ground]] = Ground.of
    arrival: Path = Path()

    @property
    def first(self) -> Subject:
        return self.subjects[0]

    @property
    def safe_peers(self) -> list[Subject]:
        return [subject for subject in self.subjects if subject.equal and not subject.ours]

    @property
    def head(self) -> list[str]:
        first, safe = self.first.short, [safe_of(peer.short) for peer in self.safe_peers]
        return ["subject", "took", f"of {first}", "net", net_of(first), *safe, "verified", "synced"]


def net_of(peer: str) -> str:
    """The column in which our net times are compared with a peer's."""
    return f"net, of {peer}"


def safe_of(peer: str) -> str:
    """The column in which equally safe subjects are compared: our net times, a peer's whole ones."""
    return f"of {peer} as safe"


def move(course: Course, rounds: Rounds) -> Figures:
    """Print how long each subject took; ours by column.

    Raises:
        CannotMeasure: a program or the room is missing.
        AssertionError: something did not arrive.
    """
    needed("cp", "sync", "find")
    for name in {name for subject in course.subjects for name in subject.needs}:
        program(name)
    work, began_s = course.work, time.monotonic()
    took: Times = {subject.name: [] for subject in course.subjects}
    with course.ground(work.disk_bytes) as ground:
        work.write(ground.masters)
        expected = digests(ground.masters)
        for number in rounds:
            for subject in course.subjects:
                took[subject.name].append(_once(ground, course, subject, expected, thoroughly=number == 0))
                note(f"{work.name}, round {number + 1}: {subject.name}: {took[subject.name][-1].s:.2f} s")
        terms = ground.terms()
    turns = len(took[course.first.name])
    say(f"## {work.name}: {work.count} files, {work.total_bytes / 1e6:,.0f} MB, rounds: {turns}\n")
    table(course.head, [_row(course, subject, took) for subject in course.subjects])
    say(f"{terms}{TIMES} Took {time.monotonic() - began_s:.0f} s; load at its end {load()}.\n")
    ours = (subject for subject in course.subjects if subject.ours)
    return {
        f"{subject.name}: {column}": statistics.median(shares)
        for subject in ours
        for column, shares in _compared(course, subject, took).items()
    }


def _once(
    ground: Ground, course: Course, subject: Subject, expected: dict[str, str], *, thoroughly: bool
) -> Took:
    ground.set_up()
    sizes = names(ground.source)
    took = subject.move(ground)
    arrival = ground.destination / course.arrival
    assert names(arrival) == sizes, f"{subject.name}: not everything has arrived"
    assert not any(ground.source.iterdir()), f"{subject.name}: not everything has left"
    if thoroughly:
        ground.far.forget()
        with ground.far.without_line():
            assert digests(arrival) == expected, f"{subject.name}: something has arrived altered"
    return took


def _row(course: Course, subject: Subject, took: Times) -> list[str]:
    compared = {column: spread(shares, "") for column, shares in _compared(course, subject, took).items()}
    net = [each.net_s for each in took[subject.name] if each.net_s is not None]
    cells = {
        "subject": subject.name,
        "took": spread([each.s for each in took[subject.name]]),
        "net": spread(net) if net else "",
        "verified": subject.verified,
        "synced": subject.synced,
    } | compared
    return [cells.get(column, "") for column in course.head]


def _compared(course: Course, subject: Subject, took: Times) -> dict[str, list[float]]:
    """By column: round by round, how many times what a peer took."""
    mine, first = took[subject.name], [each.s for each in took[course.first.name]]
    found = {f"of {course.first.short}": ratios([each.s for each in mine], first)}
    if subject.ours:
        found[net_of(course.first.short)] = ratios([each.best_s for each in mine], first)
    if subject.equal:
        for peer in course.safe_peers:
            theirs = [each.s for each in took[peer.name]]
            found[safe_of(peer.short)] = ratios([each.best_s for each in mine], theirs)
    return found
