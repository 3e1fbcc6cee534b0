"""The kills of a matrix, and how they are carried out one after the other."""

import shutil
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TypeVar

from attrs import frozen

from tests.crash.kills import SIDES, Kill, Manner, Step
from tests.crash.runner import Damage, Outcome, Trial, Victims
from tests.crash.variants import Variant

Enter = Callable[[str, Kill, Outcome], None]
T = TypeVar("T")
SPARSE = 5  # odd, so that those who die in turns stay mixed


@frozen
class Choice:
    """All that there is to try, or a part of it that is the same in every run."""

    is_every: bool

    @property
    def stride(self) -> int:
        return 1 if self.is_every else SPARSE

    def at(self, steps: Iterable[Step]) -> list[Kill]:
        """All that can be done to each step; in part: all that can be done to a step of each name.

        A step may come several times. Then the first kind of victim is taken at its first time, the second
        kind at its second, and so on, round and round.
        """
        namesakes: dict[str, list[Step]] = {}
        for step in steps:
            namesakes.setdefault(step.name, []).append(step)
        if self.is_every:
            return [kill for same in namesakes.values() for step in same for kill in kills_at(step)]
        return [
            kills_at(same[number % len(same)])[number]
            for same in namesakes.values()
            for number in range(len(kills_at(same[0])))
        ]

    def of(self, rows: Sequence[T]) -> Sequence[T]:
        """All of them; in part: the first and every fifth after it."""
        return rows[:: self.stride]


def is_probe(step: Step) -> bool:
    return step.name.startswith("probe:")


def is_journal(step: Step) -> bool:
    return step.name.startswith("journal:")


def kills_at(step: Step) -> list[Kill]:
    """All that can be done to one step."""
    if is_journal(step):
        return [Kill(step, side, manner) for side in SIDES for manner in (Manner.AGENT, Manner.ALL)]
    both = [Kill(step, side, manner) for side in SIDES for manner in (Manner.WORKER, Manner.ALL)]
    return [*both, Kill(step, "before", Manner.AGENT)]


def alone(kills: Iterable[Kill]) -> list[tuple[Kill, ...]]:
    """A row for each kill."""
    return [(kill,) for kill in kills]


def kill_each(
    rows: Iterable[tuple[Kill, ...]],
    variant: Variant,
    victims: Victims,
    folder: Path,
    enter: Enter,
    damage: Damage | None = None,
) -> None:
    """A victim for each row; all of them are heard before the test fails.

    Each kill of each row must have happened; no rows at all are a mistake in how they were chosen.
    """
    complaints: list[str] = []
    made = due = 0
    for number, kills in enumerate(rows):
        place = folder / str(number)
        outcome = Trial(victims, variant, place, kills, damage).run()
        made, due = made + outcome.kills, due + len(kills)
        enter(variant.name, kills[-1], outcome)
        what = ", then ".join(map(str, kills))
        complaints += [f"{what}: {complaint}" for complaint in outcome.complaints]
        if not outcome.complaints:
            shutil.rmtree(place)
    assert not complaints, "\n".join(complaints)
    assert 0 < due <= made, f"{made} kills, where {due} were due"
