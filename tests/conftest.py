"""For all tests: what Hypothesis tries is the same everywhere; chaos and crash matrix tell their tables."""

import pytest
from hypothesis import HealthCheck, settings

from tests.crash import table
from tests.flow import chaos_table

settings.register_profile("house", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("house")


def pytest_configure(config: pytest.Config) -> None:
    config.pluginmanager.register(chaos_table, "chaos table")
    config.pluginmanager.register(table, "crash matrix")
