"""The variables by which processes that tests start measure their coverage."""

import os


def without_coverage() -> dict[str, str]:
    """The environment for a process that measures none: it is killed, or what it loads is looked at."""
    return {name: value for name, value in os.environ.items() if not _is_of_coverage(name)}


def coverage_variables() -> tuple[str, ...]:
    return tuple(filter(_is_of_coverage, os.environ))


def _is_of_coverage(name: str) -> bool:
    return name.startswith("COVERAGE_")
