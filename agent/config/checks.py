"""Contradictions between keys that are valid by themselves.

Destinations are compared as text only. Sources and the agent's own files are also compared by their real
paths, as far as those can be resolved without touching a mount that may be dead (`safe_realpath.py`).
"""

from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from attrs import Factory, field, frozen

from agent.config.raw import RawSection
from agent.config.safe_realpath import exists_but_is_no_folder, path_and_realpath
from agent.config.sections import AgentSection, LogSection, Route, WebSection
from agent.config.value_parsers import quoted
from agent.model.text import is_inside


@frozen
class RouteWithOrigin:
    """A valid route, the section it came from, and its source as written and as real path."""

    route: Route
    section: RawSection
    source_paths: frozenset[str] = field(
        init=False, default=Factory(lambda self: path_and_realpath(self.route.source), takes_self=True)
    )

    def target_folders(self) -> dict[str, str]:
        """The folders that the route writes to, by key."""
        folders = {"destination": self.route.destination, "after": self.route.archive}
        return {key: path for key, path in folders.items() if path and path.startswith("/")}


def contradictions(
    file: str,
    raw_sections: Mapping[str, RawSection],
    sections: Mapping[str, Any],
    routes: Sequence[RouteWithOrigin],
) -> Iterator[str]:
    """One error line for each contradiction.

    `sections` holds None for a section that is invalid by itself.
    """
    for one in routes:
        yield from _within_route(one)
        yield from _own_file_in_source(file, one.section, "source", [one])
    yield from _duplicate_names(routes)
    yield from _differ(routes, "marker", unset=None)
    yield from _differ(routes, "mounted", unset="auto")
    yield from _cycles(routes)
    match sections["web"]:
        case WebSection(loopback=False, token=None, host=host):
            reason = f"{quoted(host)} is open to other machines: token_file is required"
            yield raw_sections["web"].error("bind", reason)
    match sections["log"]:
        case LogSection(file=str(path)):
            yield from _own_file_in_source(path, raw_sections["log"], "file", routes)
    match sections["agent"]:
        case AgentSection(state_dir=path):
            yield from _state_dir_inside_route(path, raw_sections["agent"], routes)


def _state_dir_inside_route(
    path: str, section: RawSection, routes: Sequence[RouteWithOrigin]
) -> Iterator[str]:
    for one in routes:
        if _is_inside_any(path, one.source_paths):
            yield section.error("state_dir", f"{quoted(path)} lies inside the source of {_name(one)}")
        if _is_inside_any(path, frozenset((one.route.destination,))):
            yield section.error("state_dir", f"{quoted(path)} lies inside the destination of {_name(one)}")


def _own_file_in_source(
    path: str, section: RawSection, key: str, routes: Sequence[RouteWithOrigin]
) -> Iterator[str]:
    """An own file inside a source would be delivered as if it were media."""
    for one in routes:
        if _is_inside_any(path, one.source_paths):
            yield section.error(
                key, f"{quoted(path)} lies inside the source of {_name(one)}: it would be delivered"
            )


def _within_route(one: RouteWithOrigin) -> Iterator[str]:
    route, section = one.route, one.section
    if exists_but_is_no_folder(route.source):
        yield section.error("source", f"{quoted(route.source)} exists and is not a folder")
    for key, path in one.target_folders().items():
        if relation := _relation(path, one.source_paths):
            yield section.error(key, f"{quoted(path)} {relation}")
    if route.mounted == "yes" and (route.destination == "/" or not route.destination.startswith("/")):
        reason = f'"yes" is meaningless here: nothing can be mounted at {quoted(route.destination)}'
        yield section.error("mounted", reason)
    if route.archive and is_inside(route.archive, route.destination):
        yield section.error("after", f"{quoted(route.archive)} lies inside the destination")
    if route.stable_closed_s and route.stable_closed_s > route.stable_s:
        yield section.error("stable_closed", "must not be longer than stable")


def _duplicate_names(routes: Sequence[RouteWithOrigin]) -> Iterator[str]:
    seen: set[str] = set()
    for one in routes:
        name = one.route.name.lower()
        if name in seen:
            yield one.section.error(
                "name", "another route has this name (upper and lower case count as the same)"
            )
        seen.add(name)


def _differ(routes: Sequence[RouteWithOrigin], key: str, *, unset: str | None) -> Iterator[str]:
    """Routes to one destination that say different things about it."""
    first: dict[str, RouteWithOrigin] = {}
    for one in routes:
        if getattr(one.route, key) == unset:
            continue
        other = first.setdefault(one.route.destination, one)
        agreed = getattr(other.route, key)
        if agreed != getattr(one.route, key):
            yield one.section.error(key, f"{_name(other)} expects {quoted(agreed)} at the same destination")


def _cycles(routes: Sequence[RouteWithOrigin]) -> Iterator[str]:
    """Cycles of routes in which each feeds the next; every cycle is reported once, at its first route."""
    feeds = [
        [n for n, other in enumerate(routes) if other is not one and _feeds(one, other)] for one in routes
    ]
    for start, one in enumerate(routes):
        if cycle := _shortest_cycle(feeds, start):
            names = " and ".join(quoted(routes[n].route.name) for n in cycle)
            yield one.section.error(
                "destination", f"routes {names} form a cycle: the next one picks up what one delivers"
            )


def _shortest_cycle(feeds: list[list[int]], start: int) -> list[int]:
    """The shortest cycle from `start` through later routes; breadth first. Empty: there is none."""
    paths = deque([[start]])
    seen = {start}
    while paths:
        path = paths.popleft()
        for following in feeds[path[-1]]:
            if following == start:
                return path
            if following > start and following not in seen:
                seen.add(following)
                paths.append([*path, following])
    return []


def _feeds(one: RouteWithOrigin, other: RouteWithOrigin) -> bool:
    return any(_relation(path, other.source_paths) for path in one.target_folders().values())


def _relation(path: str, sources: frozenset[str]) -> str:
    if path in sources:
        return "is the source itself"
    if any(is_inside(path, source) for source in sources):
        return "lies inside the source: what arrives there would be picked up again"
    if any(is_inside(source, path) for source in sources):
        return "contains the source: what arrives there could be picked up again"
    return ""


def _is_inside_any(path: str, folders: frozenset[str]) -> bool:
    return any(is_inside(spelled, folder) for spelled in path_and_realpath(path) for folder in folders)


def _name(one: RouteWithOrigin) -> str:
    return f"route {quoted(one.route.name)}"
