"""Nothing of a copy leaves a descriptor or a thread behind, whatever it meets."""

from collections.abc import Iterator

import pytest

from tests.worker.copy.folders import nothing_left_over


@pytest.fixture(autouse=True)
def _clean() -> Iterator[None]:
    with nothing_left_over():
        yield
