"""One fork server for all tests of a process; fixtures of the kill matrix and of the power cuts."""

from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

import pytest

from tests.conftest import EVERY
from tests.crash.kills import Kill, Step
from tests.crash.matrix import KillMatrix, Selection
from tests.crash.power import PowerCut, PowerCutRig, RecordCut
from tests.crash.runner import ForkServerClient, JournalDamage, Outcome, steps_of
from tests.crash.table import CUT, PROPERTY
from tests.crash.variants import Variant
from tests.mounts.mounts import FaultMount


class Steps(Protocol):
    """The steps of a variant's undisturbed run, or of the run after these kills and this damage."""

    def __call__(self, variant: Variant, *kills: Kill, damage: JournalDamage | None = None) -> list[Step]: ...


@pytest.fixture(scope="session")
def fork_server() -> Iterator[ForkServerClient]:
    with ForkServerClient.open() as fork_server:
        yield fork_server


@pytest.fixture(scope="session")
def steps(fork_server: ForkServerClient, tmp_path_factory: pytest.TempPathFactory) -> Steps:
    """Recorded once in each process, and sorted, so that all processes divide the same list."""
    known: dict[tuple[str, tuple[Kill, ...], JournalDamage | None], list[Step]] = {}

    def counted(variant: Variant, *kills: Kill, damage: JournalDamage | None = None) -> list[Step]:
        key = variant.name, kills, damage
        if key not in known:
            folder = tmp_path_factory.mktemp("undisturbed") / "run"
            found = steps_of(fork_server, variant, folder, kills, damage)
            known[key] = sorted(found, key=lambda step: (step.name, step.number))
        return known[key]

    return counted


@pytest.fixture(scope="session")
def rig(fork_server: ForkServerClient, tmp_path_factory: pytest.TempPathFactory) -> Iterator[PowerCutRig]:
    """One mount for all power cuts of a test process."""
    folder = tmp_path_factory.mktemp("power")
    (folder / "output").mkdir()
    with FaultMount.at(folder / "mount", folder / "backing", volatile=True) as mount:
        yield PowerCutRig(fork_server, mount, folder / "output")


@pytest.fixture(scope="session")
def selection(request: pytest.FixtureRequest) -> Selection:
    return Selection(is_every=request.config.getoption(EVERY))


@pytest.fixture
def matrix(fork_server: ForkServerClient, tmp_path: Path, request: pytest.FixtureRequest) -> KillMatrix:
    """Its kills are added to the table at the end of the session."""

    def record(group: str, kill: Kill, outcome: Outcome) -> None:
        moment = kill.step.name.partition(":")[0]
        row = [group, moment, kill.target.value, not outcome.violations, outcome.recopied_bytes]
        request.node.user_properties.append((PROPERTY, row))

    return KillMatrix(fork_server, tmp_path, record)


@pytest.fixture
def record_cut(request: pytest.FixtureRequest) -> RecordCut:
    """Add a power cut to the table at the end of the session."""

    def record(group: str, cut: PowerCut) -> None:
        row = [group, not cut.violations, cut.recopied_bytes, cut.is_journal_lost]
        request.node.user_properties.append((CUT, row))

    return record
