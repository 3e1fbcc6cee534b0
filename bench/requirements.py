"""The requirements of a measurement: root, programs, space."""

import os
import shutil
import sys
from pathlib import Path


class CannotMeasure(Exception):  # noqa: N818  a property of the machine, not a bug
    """A requirement is missing; the text names it."""


def require(*programs: str) -> None:
    """Raises: CannotMeasure: not root, or one of these programs is missing."""
    missing = [program for program in programs if shutil.which(program) is None]
    if os.geteuid() != 0:
        missing.insert(0, "root (for mounting)")
    if missing:
        raise CannotMeasure(f"missing: {', '.join(missing)}")


def program(name: str) -> str:
    """Its path: beside the interpreter (extra `bench`) or in `PATH`. Raises: CannotMeasure: it is missing."""
    beside = Path(sys.executable).parent / name
    found = str(beside) if beside.exists() else shutil.which(name)
    if found is None:
        raise CannotMeasure(f"missing: {name}")
    return found
