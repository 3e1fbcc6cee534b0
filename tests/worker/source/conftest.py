from pathlib import Path

import pytest

from tests.worker.copy.conftest import _clean

__all__ = ["_clean"]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A source beside a secret."""
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "secret.mxf").write_bytes(b"secret")
    (tmp_path / "source").mkdir()
    return tmp_path / "source"
