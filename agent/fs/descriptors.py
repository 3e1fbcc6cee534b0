"""Descriptors that close themselves."""

import os
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def closing_fd(descriptor: int) -> Iterator[int]:
    """Hold an open descriptor for the length of a block."""
    try:
        yield descriptor
    finally:
        os.close(descriptor)
