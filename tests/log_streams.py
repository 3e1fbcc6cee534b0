"""Streams to log to, and the log configured for the length of a test."""

import contextlib
import io
import json
import logging
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from agent import log
from agent.log import Level, Style, configure

SIZE_BYTES = 1 << 20


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


class Jammed(io.StringIO):
    """A stream that takes nothing until it is let go."""

    def __init__(self) -> None:
        super().__init__()
        self.reached = threading.Event()
        self.go = threading.Event()

    def write(self, text: str) -> int:
        self.reached.set()
        self.go.wait()
        return super().write(text)


@contextlib.contextmanager
def logging_to(
    stream: io.StringIO, *, style: Style = "json", level: Level = "info", file: Path | None = None
) -> Iterator[None]:
    """Configured within the block; after it everything is written and logging as it was before."""
    loggers = [logging.getLogger(name) for name in (None, *log.OWN_LOGGERS)]
    levels = [logger.level for logger in loggers]
    path = str(file) if file else None
    closer = configure(level=level, style=style, file=path, max_size_bytes=SIZE_BYTES, keep=2, stderr=stream)
    try:
        yield
    finally:
        closer.close()
        for logger, before in zip(loggers, levels, strict=True):
            logger.setLevel(before)


def events(stream: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]
