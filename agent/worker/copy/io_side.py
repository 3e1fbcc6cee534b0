"""The side that a copy waits for; another thread asks when nothing moves any more."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

from attrs import define, field

from agent.model.errors import Side


class HasBusy(Protocol):
    @property
    def is_busy(self) -> bool: ...


@define
class IoSideTracker:
    """Every call that is not marked as one to the source counts as one to the destination."""

    _at_source: bool = field(default=False, init=False)
    _stages: tuple[HasBusy, ...] = field(default=(), init=False)

    @contextmanager
    def at_source(self) -> Iterator[None]:
        self._at_source = True
        try:
            yield
        finally:
            self._at_source = False

    def set_stages(self, *stages: HasBusy) -> None:
        """These work for the destination while the source is read."""
        self._stages = stages

    def side(self) -> Side:
        """The side whose answer is waited for; while both are, the destination."""
        if self._at_source and not any(stage.is_busy for stage in self._stages):
            return Side.SOURCE
        return Side.DESTINATION
