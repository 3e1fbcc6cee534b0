"""Threads of a pipeline, each passing items to the next."""

import queue
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Generic, TypeVar

from attrs import define, field

IN_FLIGHT = 2  # items between two stages; with the copy engine's windows this bounds its memory
T = TypeVar("T")


@define
class PipelineThread(Generic[T]):
    """A thread that processes items; after a failure it only drains its queue, so that `put` never blocks."""

    _work: Callable[[T], None]
    _items: "queue.Queue[T | None]" = field(factory=lambda: queue.Queue(IN_FLIGHT), init=False)
    _thread: threading.Thread = field(init=False)
    error: BaseException | None = field(default=None, init=False)

    def __attrs_post_init__(self) -> None:
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    @property
    def is_busy(self) -> bool:
        """Whether an item was put and is not processed yet."""
        return self._items.unfinished_tasks > 0

    def put(self, item: T) -> None:
        self._items.put(item)

    def finish(self) -> None:
        """Wait until all items are processed; `error` is the first failure."""
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
        self._items.task_done()  # the end counts as an item too


@define
class InlineStage(Generic[T]):
    """A stage without a thread, where one would cost more than the work: `put` processes the item."""

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
        """All items are processed already."""


@contextmanager
def heartbeat(beat: Callable[[], None], every_s: float) -> Iterator[None]:
    """Call `beat` every `every_s` seconds while this block runs."""
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
