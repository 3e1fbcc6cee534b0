"""The kills of a matrix, and how they are carried out one after the other."""

import shutil
from collections.abc import Callable, Iterable
from pathlib import Path

from tests.crash.kills import SIDES, Kill, Manner, Step
from tests.crash.runner import Damage, Outcome, Trial, Victims
from tests.crash.variants import Variant

Enter = Callable[[str, Kill, Outcome], None]


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
    """A victim for each row; all of them are heard before the test fails."""
    complaints: list[str] = []
    for number, kills in enumerate(rows):
        place = folder / str(number)
        outcome = Trial(victims, variant, place, kills, damage).run()
        enter(variant.name, kills[-1], outcome)
        what = ", then ".join(map(str, kills))
        complaints += [f"{what}: {complaint}" for complaint in outcome.complaints]
        if not outcome.complaints:
            shutil.rmtree(place)
    assert not complaints, "\n".join(complaints)
