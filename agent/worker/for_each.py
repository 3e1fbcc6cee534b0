"""One step for several files, side by side; a fault of one file is a result of that file alone."""

from collections.abc import Callable, Sequence
from typing import TypeVar

from agent.model.errors import Fault

T = TypeVar("T")
R = TypeVar("R")


def for_each(
    files: Sequence[T], step: Callable[[T], R], at_once: int, heartbeat: Callable[[], None]
) -> tuple[R | Fault, ...]:
    """The result of the step for each file, in their order.

    `at_once`: for how many files the step runs at a time. `heartbeat` is called after each file, from any
    thread.
    """

    def attempt(file: T) -> R | Fault:
        try:
            return step(file)
        except Fault as fault:
            return fault
        finally:
            heartbeat()

    if at_once == 1 or len(files) <= 1:
        return tuple(map(attempt, files))
    from concurrent.futures import ThreadPoolExecutor  # noqa: PLC0415  it loads the logging that no worker uses

    with ThreadPoolExecutor(at_once) as pool:
        return tuple(pool.map(attempt, files))
