"""Which kills are tried, and how they are carried out one after the other."""

import shutil
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TypeVar

from attrs import frozen

from tests.crash.kills import SIDES, Kill, KillTarget, Step
from tests.crash.runner import ForkServerClient, JournalDamage, Outcome, Trial
from tests.crash.variants import Variant

RecordKill = Callable[[str, Kill, Outcome], None]
T = TypeVar("T")
SPARSE = 5  # odd, so that the alternating kill targets stay mixed


@frozen
class Selection:
    """All kills, or a part of them that is the same in every run."""

    is_every: bool

    @property
    def stride(self) -> int:
        return 1 if self.is_every else SPARSE

    def at(self, steps: Iterable[Step]) -> list[Kill]:
        """Every kill at every step; in part: every kill once for each step name.

        A step may be repeated. Then the first kill is tried at its first occurrence, the second kill at its
        second one, and so on, in rotation.
        """
        by_name: dict[str, list[Step]] = {}
        for step in steps:
            by_name.setdefault(step.name, []).append(step)
        if self.is_every:
            return [kill for same in by_name.values() for step in same for kill in kills_at(step)]
        return [
            kills_at(same[number % len(same)])[number]
            for same in by_name.values()
            for number in range(len(kills_at(same[0])))
        ]

    def of(self, rows: Sequence[T]) -> Sequence[T]:
        """All rows; in part: the first and every fifth after it."""
        return rows[:: self.stride]


def is_probe(step: Step) -> bool:
    return step.name.startswith("probe:")


def is_journal(step: Step) -> bool:
    return step.name.startswith("journal:")


def kills_at(step: Step) -> list[Kill]:
    """Every kill at one step."""
    if is_journal(step):
        return [Kill(step, side, target) for side in SIDES for target in (KillTarget.AGENT, KillTarget.ALL)]
    both = [Kill(step, side, target) for side in SIDES for target in (KillTarget.WORKER, KillTarget.ALL)]
    return [*both, Kill(step, "before", KillTarget.AGENT)]


def alone(kills: Iterable[Kill]) -> list[tuple[Kill, ...]]:
    """A row for each kill."""
    return [(kill,) for kill in kills]


@frozen
class KillMatrix:
    """Carries out kills, each in a folder of its own, and reports the result of each to `record`."""

    fork_server: ForkServerClient
    folder: Path
    record: RecordKill

    def kill_each(
        self, rows: Iterable[tuple[Kill, ...]], variant: Variant, damage: JournalDamage | None = None
    ) -> None:
        """One trial for each row; all violations are collected before the test fails.

        Each kill of each row must have happened; a selection without rows is an error.
        """
        violations: list[str] = []
        made = due = 0
        for number, kills in enumerate(rows):
            folder = self.folder / str(number)
            outcome = Trial(self.fork_server, variant, folder, kills, damage).run()
            made, due = made + outcome.kills, due + len(kills)
            self.record(variant.name, kills[-1], outcome)
            what = ", then ".join(map(str, kills))
            violations += [f"{what}: {violation}" for violation in outcome.violations]
            if not outcome.violations:
                shutil.rmtree(folder)
        assert not violations, "\n".join(violations)
        assert 0 < due <= made, f"{made} kills, where {due} were due"
