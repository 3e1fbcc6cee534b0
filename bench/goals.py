"""The goals of docs/performance.md, and whether a measurement has met them."""

from collections.abc import Sequence

from attrs import frozen

from bench.comparison import net_of, safe_of
from bench.report import Figures, table
from bench.transfer_agent import HASH, READ_BACK

DISKS = ("1x4GiB", "10x1GiB")
LINKS = ("link-1Gbit", "link-4Gbit")
MANY = ("2000x1MiB", "10000x64KiB")
SAFE = (safe_of("rsync"), safe_of("rclone"))


@frozen
class Goal:
    """For these measurements `figure` is at most `limit`, or with `at_least` not below it."""

    measurements: tuple[str, ...]
    figure: str
    limit: float
    unit: str = ""
    at_least: bool = False

    def is_met(self, measured: float) -> bool:
        return measured >= self.limit if self.at_least else measured <= self.limit

    @property
    def words(self) -> str:
        return f"{self.figure}: {'at least' if self.at_least else 'at most'} {self.limit:g}{self.unit}"


GOALS = (
    Goal(LINKS, f"{READ_BACK}: {net_of('cp')}", 0.95),
    *(Goal(LINKS, f"{READ_BACK}: {safe}", 0.45) for safe in SAFE),
    Goal(DISKS, f"{HASH}: {net_of('cp')}", 1.05),
    Goal(DISKS, f"{READ_BACK}: {net_of('cp')}", 1.3),
    Goal(MANY, f"{READ_BACK}: {net_of('cp')}", 1.2),
    *(Goal(MANY, f"{READ_BACK}: {safe}", 0.5) for safe in SAFE),
    Goal(("lag",), "close to copy started, beside `stable`, p90", 0.3, " s"),
    Goal(("start",), "the agent: until the first page", 0.6, " s"),
    Goal(("start",), "a worker: until its first reply", 0.1, " s"),
    Goal(("growing",), "lag, of that of a copy after its end", 0.25),
    Goal(("waiting-10000",), "idle, of one processor", 0.5, " %"),
    Goal(("waiting-100000",), "idle, of one processor", 3, " %"),
    Goal(("waiting-1000000",), "resident memory, program and workers", 600, " MB"),
    Goal(("pages",), "copied with 200 clients, of that without", 0.95, at_least=True),
    Goal(("pages",), "updates with 200 clients, p99 of their age", 0.5, " s"),
)


@frozen
class Verdict:
    goal: Goal
    measured: float

    @property
    def words(self) -> str:
        return "met" if self.goal.is_met(self.measured) else "**missed**"


def verdicts(measurement: str, figures: Figures) -> list[Verdict]:
    """One verdict for each goal of this measurement.

    Raises:
        KeyError: the measurement has not returned the figure of a goal.
    """
    return [Verdict(goal, figures[goal.figure]) for goal in GOALS if measurement in goal.measurements]


def print_verdicts(found: Sequence[Verdict]) -> None:
    """Print a table of the verdicts, if there are any."""
    if found:
        rows = ([each.goal.words, f"{each.measured:.3g}{each.goal.unit}", each.words] for each in found)
        table(("goal", "measured", "verdict"), rows)
