"""What a measurement cannot do without."""

import os
import shutil
import sys
from pathlib import Path


class CannotMeasure(Exception):  # noqa: N818  a state of affairs, not a mistake
    """One line that says what is missing."""


def needed(*programs: str) -> None:
    """Raises: CannotMeasure: not root, or one of these programs is missing."""
    missing = [program for program in programs if shutil.which(program) is None]
    if os.geteuid() != 0:
        missing.insert(0, "root (for mounting)")
    if missing:
        raise CannotMeasure(f"missing: {', '.join(missing)}")


def program(name: str) -> str:
    """Where it is: beside our interpreter (extra `bench`), or on the path. Raises: CannotMeasure."""
    beside = Path(sys.executable).parent / name
    found = str(beside) if beside.exists() else shutil.which(name)
    if found is None:
        raise CannotMeasure(f"missing: {name}")
    return found
