"""All measurements in the order in which they run, and the minutes that each may take."""

from collections.abc import Callable, Iterator
from functools import partial

from attrs import frozen

from bench.comparison import ALL, JUDGED, LARGE, Comparison, move
from bench.disk_pair import DiskPair
from bench.far_source import far_source
from bench.growing import MB, growing
from bench.lag import lag
from bench.many_files import many_files
from bench.pages import pages
from bench.report import Figures
from bench.rounds import Rounds
from bench.start import start
from bench.uploading import uploads
from bench.waiting import waiting
from bench.workload import GIB, KIB, MIB, Workload

SMALL = 0.02
AS_PLANNED = 3  # rounds; the minutes are planned for them
BRIEF_S = 5.0  # of idling in a small run


@frozen
class Measurement:
    """`minutes`: limit for all of it; no round starts that would end later.

    `after`: minutes after the rounds.
    """

    name: str
    group: str
    minutes: float
    run: Callable[[Rounds], Figures]
    after: float = 0.0

    def rounds(self, count: int) -> Rounds:
        """The rounds; more rounds than planned may take longer."""
        return Rounds(count, (self.minutes - self.after) * 60 * max(1.0, count / AS_PLANNED))


def plan(*, small: bool) -> list[Measurement]:
    """All measurements; `small`: with a fiftieth of everything."""
    scale = SMALL if small else 1.0
    idling = BRIEF_S if small else None
    return [
        *_moves(scale),
        *_links(scale),
        *_uploads(scale),
        *_service(scale),
        *_waiting(scale, idling),
        *_far(scale),
    ]


def _moves(scale: float) -> Iterator[Measurement]:
    for minutes, subjects, workload in (
        (6.0, LARGE, Workload("1x4GiB", 1, 4 * GIB)),
        (5.5, JUDGED, Workload("10x1GiB", 10, GIB)),
        (4.0, ALL, Workload("2000x1MiB", 2000, MIB)),
        (5.5, ALL, Workload("10000x64KiB", 10_000, 64 * KIB)),
        (
            0.5,
            ALL,
            Workload("1000x1-4096B", 1000, 4 * KIB, smallest_bytes=1),
        ),  # the agent never moves an empty file
    ):
        comparison = Comparison(workload.scaled(scale), subjects)
        yield Measurement(workload.name, "moves", minutes, partial(move, comparison))


def _links(scale: float) -> Iterator[Measurement]:
    for minutes, link_bytes_s, workload in (
        (3.5, 125_000_000, Workload("link-1Gbit", 1, GIB)),
        (3.5, 500_000_000, Workload("link-4Gbit", 1, 4 * GIB)),
    ):
        comparison = Comparison(
            workload.scaled(scale), JUDGED, partial(DiskPair.of, link_bytes_s=link_bytes_s)
        )
        yield Measurement(workload.name, "link", minutes, partial(move, comparison))


def _uploads(scale: float) -> Iterator[Measurement]:
    for minutes, workload in (
        (1.5, Workload("s3-1x1GiB", 1, GIB)),
        (1.5, Workload("s3-1000x1MiB", 1000, MIB)),
        (1.5, Workload("s3-2000x64KiB", 2000, 64 * KIB)),
    ):
        yield Measurement(workload.name, "s3", minutes, partial(move, uploads(workload.scaled(scale))))


def _service(scale: float) -> Iterator[Measurement]:
    files = max(3, int(30 * scale))
    yield Measurement("lag", "service", 1.0, lambda _: lag(files))
    yield Measurement("growing", "service", 2.0, partial(growing, int(300 * MB * scale)))
    starts = max(1, int(7 * scale))
    yield Measurement("start", "service", 0.5, lambda _: start(starts))
    workload = Workload("pages", 10_000, 64 * KIB).scaled(scale)
    yield Measurement("pages", "service", 5.0, partial(pages, workload))


def _waiting(scale: float, idling_s: float | None) -> Iterator[Measurement]:
    """Many waiting files; the agent is watched for several scans and the pauses between them."""
    for count, minutes, watch_s in ((10_000, 2.0, 70.0), (100_000, 5.5, 190.0), (1_000_000, 6.0, 70.0)):
        name = f"waiting-{count}"
        run = partial(waiting, name, int(count * scale), watch_s if idling_s is None else idling_s)
        yield Measurement(name, "scale", minutes, run, after=1 + watch_s / 60)
    workload = Workload("moving-100000", 100_000, 16 * KIB, smallest_bytes=KIB).scaled(scale)
    yield Measurement(workload.name, "scale", 5.0, partial(many_files, workload))


def _far(scale: float) -> Iterator[Measurement]:
    workload = Workload("far-10000x1KiB", 10_000, KIB).scaled(scale)
    yield Measurement(workload.name, "far", 120.0, partial(far_source, workload))


def chosen(known: list[Measurement], names: tuple[str, ...]) -> list[Measurement]:
    """The measurements with these names or groups; all without names.

    Raises:
        KeyError: a name is unknown.
    """
    for name in names:
        if not any(name in {each.name, each.group} for each in known):
            raise KeyError(name)
    return [each for each in known if not names or {each.name, each.group} & set(names)]
