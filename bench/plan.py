"""All measurements, in the order in which they run, and how long each may take."""

from collections.abc import Callable, Iterator
from functools import partial

from attrs import frozen

from bench.ground import Ground
from bench.growing import MB, growing
from bench.lag import lag
from bench.moving import ALL, JUDGED, LARGE, Course, move
from bench.pages import pages
from bench.report import Figures
from bench.rounds import Rounds
from bench.throng import throng
from bench.uploading import uploads
from bench.waiting import waiting
from bench.works import GIB, KIB, MIB, Work

SMALL = 0.02
AS_PLANNED = 3  # rounds, for which the minutes are meant
BRIEF_S = 5.0  # of idling, where only whether it works is asked


@frozen
class Measurement:
    """`minutes`: for all of it; no round is begun that would end later. `after`: those behind the rounds."""

    name: str
    group: str
    minutes: float
    run: Callable[[Rounds], Figures]
    after: float = 0.0

    def rounds(self, count: int) -> Rounds:
        """With more of them than planned it may take longer."""
        return Rounds(count, (self.minutes - self.after) * 60 * max(1.0, count / AS_PLANNED))


def plan(*, small: bool) -> list[Measurement]:
    """`small`: a fiftieth of everything."""
    scale = SMALL if small else 1.0
    idling = BRIEF_S if small else None
    return [*_moves(scale), *_links(scale), *_uploads(scale), *_service(scale), *_waiting(scale, idling)]


def _moves(scale: float) -> Iterator[Measurement]:
    for minutes, subjects, work in (
        (6.0, LARGE, Work("1x4GiB", 1, 4 * GIB)),
        (5.5, JUDGED, Work("10x1GiB", 10, GIB)),
        (4.0, ALL, Work("2000x1MiB", 2000, MIB)),
        (5.5, ALL, Work("10000x64KiB", 10_000, 64 * KIB)),
        (0.5, ALL, Work("1000x1-4096B", 1000, 4 * KIB, smallest_bytes=1)),  # we never move an empty file
    ):
        course = Course(work.scaled(scale), subjects)
        yield Measurement(work.name, "moves", minutes, partial(move, course))


def _links(scale: float) -> Iterator[Measurement]:
    for minutes, line_bytes_s, work in (
        (3.5, 125_000_000, Work("link-1Gbit", 1, GIB)),
        (3.5, 500_000_000, Work("link-4Gbit", 1, 4 * GIB)),
    ):
        course = Course(work.scaled(scale), JUDGED, partial(Ground.of, line_bytes_s=line_bytes_s))
        yield Measurement(work.name, "link", minutes, partial(move, course))


def _uploads(scale: float) -> Iterator[Measurement]:
    for minutes, work in (
        (1.5, Work("s3-1x1GiB", 1, GIB)),
        (1.5, Work("s3-1000x1MiB", 1000, MIB)),
        (1.5, Work("s3-2000x64KiB", 2000, 64 * KIB)),
    ):
        yield Measurement(work.name, "s3", minutes, partial(move, uploads(work.scaled(scale))))


def _service(scale: float) -> Iterator[Measurement]:
    files = max(3, int(30 * scale))
    yield Measurement("lag", "service", 1.0, lambda _: lag(files))
    yield Measurement("growing", "service", 2.0, partial(growing, int(300 * MB * scale)))
    work = Work("pages", 10_000, 64 * KIB).scaled(scale)
    yield Measurement("pages", "service", 5.0, partial(pages, work))


def _waiting(scale: float, idling_s: float | None) -> Iterator[Measurement]:
    """Watched while they idle for several scans and the rests between them."""
    for count, minutes, watch_s in ((10_000, 2.0, 70.0), (100_000, 5.5, 190.0), (1_000_000, 6.0, 70.0)):
        name = f"waiting-{count}"
        run = partial(waiting, name, int(count * scale), watch_s if idling_s is None else idling_s)
        yield Measurement(name, "scale", minutes, run, after=1 + watch_s / 60)
    work = Work("moving-100000", 100_000, 16 * KIB, smallest_bytes=KIB).scaled(scale)
    yield Measurement(work.name, "scale", 5.0, partial(throng, work))


def chosen(known: list[Measurement], names: tuple[str, ...]) -> list[Measurement]:
    """Those with one of these names, or in a group with one; without names all. Raises: KeyError: unknown."""
    for name in names:
        if not any(name in {each.name, each.group} for each in known):
            raise KeyError(name)
    return [each for each in known if not names or {each.name, each.group} & set(names)]
