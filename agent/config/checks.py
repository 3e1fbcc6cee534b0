"""What single keys cannot know: that they contradict each other.

Destinations are compared as text only. Sources and our own files are compared with their symbolic links
resolved as well, as far as no mount has to be asked that may be dead (`spelling.py`).
"""

from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from attrs import Factory, field, frozen

from agent.config.raw import RawSection
from agent.config.safe_realpath import is_no_folder, spellings
from agent.config.sections import AgentSection, LogSection, Route, WebSection
from agent.config.value_parsers import quoted
from agent.model.text import is_inside


@frozen
class RouteWithOrigin:
    """A sound route, the table it came from, and its source in all spellings."""

    route: Route
    table: RawSection
    sources: frozenset[str] = field(
        init=False, default=Factory(lambda self: spellings(self.route.source), takes_self=True)
    )

    def outlets(self) -> dict[str, str]:
        """The folders that the route fills, by key."""
        filled = {"destination": self.route.destination, "after": self.route.archive}
        return {key: path for key, path in filled.items() if path and path.startswith("/")}


def contradictions(
    file: str,
    tables: Mapping[str, RawSection],
    sections: Mapping[str, Any],
    placed: Sequence[RouteWithOrigin],
) -> Iterator[str]:
    """Everything that does not fit together, among what is sound by itself; an unsound section is None."""
    for one in placed:
        yield from _within(one)
        yield from _not_inside_sources(file, one.table, "source", [one])
    yield from _same_names(placed)
    yield from _markers(placed)
    yield from _cycles(placed)
    match sections["web"]:
        case WebSection(loopback=False, token=None, host=host):
            reason = f"{quoted(host)} is open to other machines: token_file is required"
            yield tables["web"].complaint("bind", reason)
    match sections["log"]:
        case LogSection(file=str(path)):
            yield from _not_inside_sources(path, tables["log"], "file", placed)
    match sections["agent"]:
        case AgentSection(state_dir=path):
            yield from _state_apart(path, tables["agent"], placed)


def _state_apart(path: str, table: RawSection, placed: Sequence[RouteWithOrigin]) -> Iterator[str]:
    for one in placed:
        if _meets(path, one.sources):
            yield table.complaint("state_dir", f"{quoted(path)} lies inside the source of {_name(one)}")
        if _meets(path, frozenset((one.route.destination,))):
            yield table.complaint("state_dir", f"{quoted(path)} lies inside the destination of {_name(one)}")


def _not_inside_sources(
    path: str, table: RawSection, key: str, placed: Sequence[RouteWithOrigin]
) -> Iterator[str]:
    """A file of ours in a source would be carried off as if it were media."""
    for one in placed:
        if _meets(path, one.sources):
            yield table.complaint(
                key, f"{quoted(path)} lies inside the source of {_name(one)}: it would be delivered"
            )


def _within(one: RouteWithOrigin) -> Iterator[str]:
    route, table = one.route, one.table
    if is_no_folder(route.source):
        yield table.complaint("source", f"{quoted(route.source)} exists and is not a folder")
    for key, path in one.outlets().items():
        if relation := _relation(path, one.sources):
            yield table.complaint(key, f"{quoted(path)} {relation}")
    if route.archive and is_inside(route.archive, route.destination):
        yield table.complaint("after", f"{quoted(route.archive)} lies inside the destination")
    if route.stable_closed_s and route.stable_closed_s > route.stable_s:
        yield table.complaint("stable_closed", "must not be longer than stable")


def _same_names(placed: Sequence[RouteWithOrigin]) -> Iterator[str]:
    seen: set[str] = set()
    for one in placed:
        name = one.route.name.lower()
        if name in seen:
            yield one.table.complaint(
                "name", "another route has this name (upper and lower case count as the same)"
            )
        seen.add(name)


def _markers(placed: Sequence[RouteWithOrigin]) -> Iterator[str]:
    first: dict[str, RouteWithOrigin] = {}
    for one in placed:
        if one.route.marker is None:
            continue
        other = first.setdefault(one.route.destination, one)
        if other.route.marker != one.route.marker:
            agreed = quoted(other.route.marker or "")
            yield one.table.complaint("marker", f"{_name(other)} expects {agreed} at the same destination")


def _cycles(placed: Sequence[RouteWithOrigin]) -> Iterator[str]:
    """Circles of routes in which each feeds the next; every circle is named once, by its first route."""
    feeds = [
        [n for n, other in enumerate(placed) if other is not one and _feeds(one, other)] for one in placed
    ]
    for start, one in enumerate(placed):
        if circle := _circle(feeds, start):
            names = " and ".join(quoted(placed[n].route.name) for n in circle)
            yield one.table.complaint(
                "destination", f"routes {names} chase each other: what one delivers, the next one picks up"
            )


def _circle(feeds: list[list[int]], start: int) -> list[int]:
    """The shortest way from `start` back to itself through later routes; breadth first."""
    ways = deque([[start]])
    seen = {start}
    while ways:
        way = ways.popleft()
        for step in feeds[way[-1]]:
            if step == start:
                return way
            if step > start and step not in seen:
                seen.add(step)
                ways.append([*way, step])
    return []


def _feeds(one: RouteWithOrigin, other: RouteWithOrigin) -> bool:
    return any(_relation(path, other.sources) for path in one.outlets().values())


def _relation(path: str, sources: frozenset[str]) -> str:
    if path in sources:
        return "is the source itself"
    if any(is_inside(path, source) for source in sources):
        return "lies inside the source: what arrives there would be picked up again"
    if any(is_inside(source, path) for source in sources):
        return "contains the source: what arrives there could be picked up again"
    return ""


def _meets(path: str, folders: frozenset[str]) -> bool:
    return any(is_inside(spelling, folder) for spelling in spellings(path) for folder in folders)


def _name(one: RouteWithOrigin) -> str:
    return f"route {quoted(one.route.name)}"
