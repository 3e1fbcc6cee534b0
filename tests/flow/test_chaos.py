"""Whatever happens, in whatever order, no file is lost, doubled or listed half done.

Two hundred seeds with `--every`; without it the first forty of them.
"""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from attrs import asdict

from tests.conftest import EVERY
from tests.flow import chaos
from tests.flow.agent_forks import AgentForks
from tests.flow.chaos_table import PROPERTY

SEEDS, EVERY_SEED = 40, 200


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    seeds = range(EVERY_SEED if metafunc.config.getoption(EVERY) else SEEDS)
    metafunc.parametrize("seed", seeds, ids=lambda seed: f"seed{seed:03}")


@pytest.fixture(scope="module")
def forks(tmp_path_factory: pytest.TempPathFactory) -> Iterator[AgentForks]:
    with AgentForks.serving(tmp_path_factory.mktemp("forks")) as forks:
        yield forks


def test_every_file_is_delivered_once_or_still_at_the_source_whatever_happens(
    tmp_path: Path, forks: AgentForks, seed: int, record_property: Callable[[str, object], None]
) -> None:
    outcome = chaos.run(seed, tmp_path, forks)
    record_property(PROPERTY, asdict(outcome))
