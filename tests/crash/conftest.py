"""One mother of victims for all tests of a process, and what they have in common."""

from collections.abc import Iterator
from typing import Protocol

import pytest

from tests.conftest import EVERY
from tests.crash.kills import Kill, Step
from tests.crash.matrix import Choice, Enter
from tests.crash.power import EnterCut, PowerCut, PowerStation
from tests.crash.runner import Damage, Outcome, Victims, steps_of
from tests.crash.table import CUT, PROPERTY
from tests.crash.variants import Variant
from tests.mounts.mounts import FaultMount


class Steps(Protocol):
    """The steps of a variant's undisturbed run, or of the one that follows these kills and this damage."""

    def __call__(self, variant: Variant, *kills: Kill, damage: Damage | None = None) -> list[Step]: ...


@pytest.fixture(scope="session")
def victims() -> Iterator[Victims]:
    with Victims.open() as victims:
        yield victims


@pytest.fixture(scope="session")
def steps(victims: Victims, tmp_path_factory: pytest.TempPathFactory) -> Steps:
    """Counted once in each process, and sorted, so that all of them deal out the same list."""
    known: dict[tuple[str, tuple[Kill, ...], Damage | None], list[Step]] = {}

    def counted(variant: Variant, *kills: Kill, damage: Damage | None = None) -> list[Step]:
        key = variant.name, kills, damage
        if key not in known:
            folder = tmp_path_factory.mktemp("undisturbed") / "run"
            found = steps_of(victims, variant, folder, kills, damage)
            known[key] = sorted(found, key=lambda step: (step.name, step.number))
        return known[key]

    return counted


@pytest.fixture(scope="session")
def station(victims: Victims, tmp_path_factory: pytest.TempPathFactory) -> Iterator[PowerStation]:
    """One mount for all power cuts of a process."""
    folder = tmp_path_factory.mktemp("power")
    (folder / "notes").mkdir()
    with FaultMount.at(folder / "mount", folder / "backing", volatile=True) as mount:
        yield PowerStation(victims, mount, folder / "notes")


@pytest.fixture(scope="session")
def choice(request: pytest.FixtureRequest) -> Choice:
    return Choice(is_every=request.config.getoption(EVERY))


@pytest.fixture
def enter(request: pytest.FixtureRequest) -> Enter:
    """Enter a victim into the table at the end."""

    def note(group: str, kill: Kill, outcome: Outcome) -> None:
        moment = kill.step.name.partition(":")[0]
        row = [group, moment, kill.manner.value, not outcome.complaints, outcome.twice_bytes]
        request.node.user_properties.append((PROPERTY, row))

    return note


@pytest.fixture
def enter_cut(request: pytest.FixtureRequest) -> EnterCut:
    """Enter a power cut into the table at the end."""

    def note(group: str, cut: PowerCut) -> None:
        row = [group, not cut.complaints, cut.twice_bytes, cut.is_journal_lost]
        request.node.user_properties.append((CUT, row))

    return note
