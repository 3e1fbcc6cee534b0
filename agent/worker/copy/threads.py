"""Threads in a row, each handing on to the next."""

import queue
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Generic, TypeVar

from attrs import define, field

IN_FLIGHT = 2  # items between two stages; with the copy engine's windows this bounds its memory
T = TypeVar("T")
R = TypeVar("R")


@define
class PipelineThread(Generic[T]):
    """A thread that works off items; after a failure it only drains its queue, so nobody waits for it."""

    _work: Callable[[T], None]
    _items: "queue.Queue[T | None]" = field(factory=lambda: queue.Queue(IN_FLIGHT), init=False)
    _thread: threading.Thread = field(init=False)
    error: BaseException | None = field(default=None, init=False)

    def __attrs_post_init__(self) -> None:
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    @property
    def is_busy(self) -> bool:
        """Whether there is something that was put and is not worked off yet."""
        return self._items.unfinished_tasks > 0

    def put(self, item: T) -> None:
        self._items.put(item)

    def finish(self) -> None:
        """Wait until all is worked off; `error` is what the stage met."""
        self._items.put(None)
        self._thread.join()

    def _run(self) -> None:
        while (item := self._items.get()) is not None:
            if self.error is None:
                try:
                    self._work(item)
                except BaseException as error:  # noqa: BLE001  raised where the stage is awaited
                    self.error = error
            self._items.task_done()


@define
class InlineStage(Generic[T]):
    """In the place of a stage: whoever puts an item does the work, where a thread would cost more than it."""

    _work: Callable[[T], None]
    is_busy: bool = field(default=False, init=False)
    error: BaseException | None = field(default=None, init=False)

    def put(self, item: T) -> None:
        if self.error is None:
            try:
                self._work(item)
            except BaseException as error:  # noqa: BLE001  as in Stage
                self.error = error

    def finish(self) -> None:
        """All is worked off."""


@define
class Job:
    """Something that one of a crew does; whoever needs it done waits for it."""

    _work: Callable[[], None]
    _ended: threading.Event = field(factory=threading.Event, init=False)
    _error: BaseException | None = field(default=None, init=False)

    def run(self) -> None:
        try:
            self._work()
        except BaseException as error:  # noqa: BLE001  raised where the job is awaited
            self._error = error
        self._ended.set()

    def wait(self) -> None:
        """Until it is done. Raises what it met."""
        self._ended.wait()
        if self._error is not None:
            raise self._error


@define
class Crew:
    """Threads that do jobs side by side."""

    _size: int
    _jobs: "queue.Queue[Job | None]" = field(factory=lambda: queue.Queue(1), init=False)
    _threads: list[threading.Thread] = field(factory=list, init=False)

    def put(self, work: Callable[[], None]) -> Job:
        """Waits while all hands are full."""
        if len(self._threads) < self._size:
            self._threads.append(threading.Thread(target=self._run, daemon=True))
            self._threads[-1].start()
        job = Job(work)
        self._jobs.put(job)
        return job

    def finish(self) -> None:
        """When all that was put is done."""
        for _ in self._threads:
            self._jobs.put(None)
        for thread in self._threads:
            thread.join()

    def _run(self) -> None:
        while (job := self._jobs.get()) is not None:
            job.run()


def side_by_side(size: int, work: Callable[[T], R], items: Sequence[T]) -> tuple[R, ...]:
    """What the work makes of each item, in their order; so many threads do it. Raises what it met."""
    results: dict[int, R] = {}

    def one(number: int, item: T) -> None:
        results[number] = work(item)

    crew = Crew(min(size, len(items)))
    jobs = [crew.put(partial(one, *each)) for each in enumerate(items)]
    crew.finish()
    for job in jobs:
        job.wait()
    return tuple(results[number] for number in range(len(items)))


@contextmanager
def heartbeat(beat: Callable[[], None], every_s: float) -> Iterator[None]:
    """While this block waits for something on purpose, `beat` is called again and again."""
    over = threading.Event()

    def beats() -> None:
        while not over.wait(every_s):
            beat()

    thread = threading.Thread(target=beats, daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
