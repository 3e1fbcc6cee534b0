"""The routes that exist, and which of them may start copies."""

import math
from collections.abc import Iterable

from attrs import define, field

from agent.config.sections import Route
from agent.messages.broadcaster import RouteState
from agent.messages.dispatcher import SourceState


@define
class SourceAvailability:
    """Available until a copy or a scan finds otherwise, and again after a whole scan that began later.

    An outage of the source is no fault of any file. `error`: empty while the source is available.
    """

    error: str = field(default="", init=False)
    _distrusted_until_s: float = field(default=-math.inf, init=False)

    @property
    def is_available(self) -> bool:
        return not self.error

    def failed(self, error: str, now_s: float) -> None:
        self.error = error
        self._distrusted_until_s = now_s

    def scanned(self, message: SourceState, now_s: float) -> bool:
        """Take in the result of a scan; returns whether anything has changed."""
        before = self.error
        if message.error:
            self.failed(message.error, now_s)
        elif message.began_s > self._distrusted_until_s:
            self.error = ""
        return self.error != before


@define
class RouteTable:
    """Routes of the configuration and of upload jobs, by name.

    `paused`: by the operator, perhaps before the route was added. `removing`: their last jobs are ending.
    """

    paused: set[str]
    removing: set[str] = field(factory=set, init=False)
    sources: dict[str, SourceAvailability] = field(factory=dict, init=False)
    _routes: dict[str, Route] = field(factory=dict, init=False)

    def __contains__(self, name: object) -> bool:
        return name in self._routes

    def __getitem__(self, name: str) -> Route:
        return self._routes[name]

    def add(self, route: Route) -> RouteState:
        self._routes[route.name] = route
        self.sources[route.name] = SourceAvailability()
        return self.state(route.name)

    def state(self, name: str) -> RouteState:
        return RouteState(name, name in self.paused)

    def closed(self) -> set[str]:
        """The routes of which no copy may start."""
        unavailable = {name for name, source in self.sources.items() if not source.is_available}
        return self.paused | self.removing | unavailable

    def why_paused(self, name: str) -> str:
        """Empty: neither the operator nor the source holds its files up."""
        return "paused by the operator" if name in self.paused else self.sources[name].error

    def forget_removed(self, in_use: Iterable[str]) -> list[str]:
        """Forget the routes being removed that are no longer in use; returns their names."""
        if not self.removing:
            return []
        forgotten = sorted(self.removing.difference(in_use))
        for name in forgotten:
            self.removing.discard(name)
            self.paused.discard(name)
            del self._routes[name], self.sources[name]
        return forgotten
