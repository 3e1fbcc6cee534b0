from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.mounts.mounts import FaultMount


@pytest.fixture
def mount(tmp_path: Path) -> Iterator[FaultMount]:
    with FaultMount.at(tmp_path / "mount", tmp_path / "backing") as mounted:
        yield mounted


@pytest.fixture
def volatile(tmp_path: Path) -> Iterator[FaultMount]:
    with FaultMount.at(tmp_path / "mount", tmp_path / "backing", volatile=True) as mounted:
        yield mounted
