"""For all tests: what Hypothesis tries must not depend on the machine; the crash matrix tells its table."""

from hypothesis import HealthCheck, settings

from tests.crash.table import pytest_terminal_summary

__all__ = ["pytest_terminal_summary"]

settings.register_profile("house", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("house")
