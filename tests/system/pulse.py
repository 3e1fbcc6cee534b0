"""Whether an agent answers all the time, asked from beside its work."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from attrs import frozen

from tests.system.agents import Agent

EVERY_S = 0.1


@frozen
class Answer:
    """`status`: 0 stands for no answer."""

    status: int
    took_s: float


@contextmanager
def pulse(agent: Agent) -> Iterator[list[Answer]]:
    """What `/livez` answers during this block, ten times a second."""
    answers: list[Answer] = []
    ended = threading.Event()

    def ask() -> None:
        while not ended.wait(EVERY_S):
            began_s = time.monotonic()
            status = agent.status("/livez")
            answers.append(Answer(status, time.monotonic() - began_s))

    thread = threading.Thread(target=ask)
    thread.start()
    try:
        yield answers
    finally:
        ended.set()
        thread.join()
