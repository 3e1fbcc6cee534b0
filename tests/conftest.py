"""For all tests: Hypothesis tries the same in every CI run, and searches on elsewhere; tables are told.

With `--every` these two, and the faults, try all they have; without it a part that is the same in every run.
"""

import os

import pytest
from hypothesis import HealthCheck, settings

from tests.crash import table
from tests.flow import chaos_table

settings.register_profile("project", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("project")

EVERY = "--every"


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        EVERY,
        action="store_true",
        help="every kill, power cut, fault and seed of chaos, not a part of them (make test-fire)",
    )


def pytest_xdist_auto_num_workers() -> int:
    """Two for each core: many tests wait, for a file to be still or a mount to count as hung."""
    return 2 * (os.cpu_count() or 1)


def pytest_configure(config: pytest.Config) -> None:
    config.pluginmanager.register(chaos_table, "chaos table")
    config.pluginmanager.register(table, "crash matrix")
