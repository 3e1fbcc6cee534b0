"""One mother of victims for all tests of a process."""

from collections.abc import Callable, Iterator

import pytest

from tests.crash.kills import Kill, Step
from tests.crash.runner import Outcome, Variant, Victims, steps_of
from tests.crash.table import PROPERTY

Tally = Callable[[str, Kill, Outcome], None]
Steps = Callable[[Variant], list[Step]]


@pytest.fixture(scope="session")
def victims() -> Iterator[Victims]:
    with Victims.open() as victims:
        yield victims


@pytest.fixture(scope="session")
def steps(victims: Victims, tmp_path_factory: pytest.TempPathFactory) -> Steps:
    """The steps of a variant, from an undisturbed run; sorted, so that every process sees the same list."""
    known: dict[str, list[Step]] = {}

    def counted(variant: Variant) -> list[Step]:
        if variant.name not in known:
            folder = tmp_path_factory.mktemp("undisturbed") / variant.name
            found = steps_of(victims, variant, folder)
            known[variant.name] = sorted(found, key=lambda step: (step.name, step.number))
        return known[variant.name]

    return counted


@pytest.fixture
def tally(request: pytest.FixtureRequest) -> Tally:
    """Enter a victim into the table at the end."""

    def enter(group: str, kill: Kill, outcome: Outcome) -> None:
        moment = kill.step.name.partition(":")[0]
        row = [group, moment, kill.manner.value, not outcome.complaints, outcome.twice_bytes]
        request.node.user_properties.append((PROPERTY, row))

    return enter
