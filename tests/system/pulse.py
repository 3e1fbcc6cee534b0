"""Polls the web server of an agent from a thread, to show that it answers all the time."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from attrs import frozen

from tests.system.agents import Agent

EVERY_S = 0.1


@frozen
class Answer:
    """`status`: 0 if there was no answer."""

    status: int
    took_s: float


@contextmanager
def repeated(action: Callable[[], None], every_s: float) -> Iterator[None]:
    """Call the action in a thread during the block, with this pause after each call."""
    ended = threading.Event()

    def repeat() -> None:
        while not ended.wait(every_s):
            action()

    thread = threading.Thread(target=repeat)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


@contextmanager
def pulse(agent: Agent) -> Iterator[list[Answer]]:
    """The answers of `/livez` during the block, ten times a second."""
    answers: list[Answer] = []

    def ask() -> None:
        began_s = time.monotonic()
        status = agent.status("/livez")
        answers.append(Answer(status, time.monotonic() - began_s))

    with repeated(ask, EVERY_S):
        yield answers
