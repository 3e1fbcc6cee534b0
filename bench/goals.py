"""What is aimed at (the facts, section 4.5), and whether a measurement has reached it."""

from collections.abc import Sequence

from attrs import frozen

from bench.moving import net_of, safe_of
from bench.ours import HASH, READ_BACK
from bench.report import Figures, table

DISKS = ("1x4GiB", "10x1GiB")
LINKS = ("link-1Gbit", "link-4Gbit")
MANY = ("2000x1MiB", "10000x64KiB")
SAFE = (safe_of("rsync"), safe_of("rclone"))


@frozen
class Goal:
    """For the measurements named: `figure` at most `limit`, or, with `at_least`, not below it."""

    measurements: tuple[str, ...]
    figure: str
    limit: float
    unit: str = ""
    at_least: bool = False

    def is_met(self, seen: float) -> bool:
        return seen >= self.limit if self.at_least else seen <= self.limit

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
    Goal(("growing",), "lag, of that of a copy after its end", 0.25),
    Goal(("waiting-10000",), "idle, of one processor", 0.5, " %"),
    Goal(("waiting-100000",), "idle, of one processor", 3, " %"),
    Goal(("waiting-1000000",), "resident memory, program and workers", 600, " MB"),
    Goal(("pages",), "copied with 200 visitors, of that without", 0.95, at_least=True),
    Goal(("pages",), "news with 200 visitors, p99 of their age", 0.5, " s"),
)


@frozen
class Verdict:
    goal: Goal
    seen: float

    @property
    def words(self) -> str:
        return "met" if self.goal.is_met(self.seen) else "**missed**"


def verdicts(measurement: str, figures: Figures) -> list[Verdict]:
    """For each of its goals. Raises: KeyError: the measurement did not bring the figure of a goal."""
    return [Verdict(goal, figures[goal.figure]) for goal in GOALS if measurement in goal.measurements]


def pronounce(found: Sequence[Verdict]) -> None:
    """Print them, if there are any, each with what was seen."""
    if found:
        rows = ([each.goal.words, f"{each.seen:.3g}{each.goal.unit}", each.words] for each in found)
        table(("goal", "seen", "verdict"), rows)
