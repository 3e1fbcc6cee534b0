from tests.worker.copy.conftest import _clean

__all__ = ["_clean"]
