from collections.abc import Iterator
from pathlib import Path

import pytest

from agent.journal.journal import Journal


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[Journal]:
    opened = Journal.open(str(tmp_path))
    yield opened
    opened.close()
