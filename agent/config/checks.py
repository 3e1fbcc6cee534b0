"""Contradictions between keys that are valid by themselves.

Destinations are compared as text only. Sources, archives and the agent's own files are also compared by their
real paths, as far as those can be resolved without touching a mount that may be dead (`safe_realpath.py`).
"""

import os.path
import re
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from itertools import combinations, product
from typing import Any

from attrs import Factory, field, frozen

from agent.config.raw import RawSection
from agent.config.safe_realpath import exists_but_is_no_folder, path_and_realpath
from agent.config.sections import AgentSection, LogSection, Route, WebSection
from agent.config.value_parsers import quoted
from agent.model.names import expand_braces
from agent.model.text import is_inside, lies_above

_WILDCARD = re.compile(r"[*?\[\]]")


@frozen
class RouteWithOrigin:
    """A valid route, the section it came from, and its source and archive as written and as real path."""

    route: Route
    section: RawSection
    source_paths: frozenset[str] = field(
        init=False, default=Factory(lambda self: path_and_realpath(self.route.source), takes_self=True)
    )
    archive_paths: frozenset[str] = field(
        init=False, default=Factory(lambda self: _archive_paths(self.route), takes_self=True)
    )


def _archive_paths(route: Route) -> frozenset[str]:
    return frozenset() if route.archive is None else path_and_realpath(route.archive)


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
    yield from _unusable_archives(routes)
    yield from _shared_sources(routes)
    yield from _differ(routes, "marker", unset=None)
    yield from _differ(routes, "mounted", unset="auto")
    yield from _cycles(routes)
    yield from _roots_in_emptied_sources(routes)
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
    if relation := _relation(frozenset((route.destination,)), one.source_paths):
        yield section.error("destination", f"{quoted(route.destination)} {relation}")
    if route.mounted == "yes" and (route.destination == "/" or not route.destination.startswith("/")):
        reason = f'"yes" is meaningless here: nothing can be mounted at {quoted(route.destination)}'
        yield section.error("mounted", reason)
    if route.stable_closed_s and route.stable_closed_s > route.stable_s:
        yield section.error("stable_closed", "must not be longer than stable")


def _unusable_archives(routes: Sequence[RouteWithOrigin]) -> Iterator[str]:
    """An archive keeps what was delivered: where it cannot be made, or is emptied by a route, it is none."""
    for one in routes:
        archive = one.route.archive
        if archive is None:
            continue
        if relation := _relation(one.archive_paths, one.source_paths):
            yield one.section.error("after", f"{quoted(archive)} {relation}")
        if any(is_inside(path, one.route.destination) for path in one.archive_paths):
            yield one.section.error("after", f"{quoted(archive)} lies inside the destination")
        if blocking := next(filter(exists_but_is_no_folder, _with_parents(archive)), None):
            yield one.section.error("after", f"{quoted(blocking)} exists and is not a folder")
        for other in routes:
            if (
                other is not one
                and other.route.after != "keep"
                and _is_inside_any(archive, other.source_paths)
            ):
                reason = f"lies inside the source of {_name(other)}, which empties it"
                yield one.section.error("after", f"{quoted(archive)} {reason}")


def _with_parents(path: str) -> Iterator[str]:
    yield path
    while path != (path := os.path.dirname(path)):
        yield path


def _roots_in_emptied_sources(routes: Sequence[RouteWithOrigin]) -> Iterator[str]:
    """A source or destination of another route that is removed when it is empty would be missing there."""
    for one, other in product(routes, routes):
        if other is one or not one.route.remove_empty_folders:
            continue
        folders = {"source": other.source_paths, "destination": frozenset((other.route.destination,))}
        for key, paths in folders.items():
            if any(lies_above(source, path) for source in one.source_paths for path in paths):
                reason = f"the {key} of {_name(other)} lies in the source, and would be removed when empty"
                yield one.section.error("remove_empty_folders", reason)


def _shared_sources(routes: Sequence[RouteWithOrigin]) -> Iterator[str]:
    """Routes that take files away from each other: each would get some of them."""
    for one, other in combinations(routes, 2):
        if one.route.after == other.route.after == "keep" or not _overlap(one, other):
            continue
        if not _take_different_files(one, other):
            reason = (
                f"overlaps the source of {_name(one)}, and each would get some of the files: let include "
                'differ ("*.mxf" and "*.mov"), exclude in one what the other includes, or set after = "keep" '
                "in both"
            )
            yield other.section.error("source", f"{quoted(other.route.source)} {reason}")


def _overlap(one: RouteWithOrigin, other: RouteWithOrigin) -> bool:
    return any(
        is_inside(first, second) or is_inside(second, first)
        for first in one.source_paths
        for second in other.source_paths
    )


def _take_different_files(one: RouteWithOrigin, other: RouteWithOrigin) -> bool:
    """Whether that is plain to see from their globs."""
    first, second = one.route, other.route
    if first.include and second.include:
        is_same_source = first.source == second.source
        pairs = product(_expanded(first.include), _expanded(second.include))
        if not any(_may_both_match(*pair, is_same_source=is_same_source) for pair in pairs):
            return True
    return _excludes(one, other) or _excludes(other, one)


def _expanded(globs: Sequence[str]) -> list[str]:
    return [glob.lower() for pattern in globs for glob in expand_braces(pattern)]


def _may_both_match(one: str, other: str, *, is_same_source: bool) -> bool:
    """Whether no fixed beginning or end of the globs forbids it; beginnings only compare in one source."""
    if is_same_source and not _fit(_fixed_beginning(one), _fixed_beginning(other)):
        return False
    return _fit(_fixed_end(one)[::-1], _fixed_end(other)[::-1])


def _fit(one: str, other: str) -> bool:
    return one.startswith(other) or other.startswith(one)


def _fixed_beginning(glob: str) -> str:
    """What every path that matches begins with; a glob without a slash matches in any folder."""
    return _WILDCARD.split(glob)[0] if "/" in glob.rstrip("/") else ""


def _fixed_end(glob: str) -> str:
    """What every name that matches ends with."""
    return _WILDCARD.split(glob)[-1].rpartition("/")[2]


def _excludes(one: RouteWithOrigin, other: RouteWithOrigin) -> bool:
    """Whether one excludes all that the other includes: the same globs, or the folder that is its source."""
    if other.route.include and set(other.route.include) <= set(one.route.exclude):
        return True
    below = other.route.source.removeprefix(f"{one.route.source.rstrip('/')}/")
    whole = {f"{below}/", f"{below}/**"}
    return below != other.route.source and bool(whole & set(one.route.exclude))


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
    targets = one.archive_paths | {one.route.destination}
    return any(_relation(frozenset((path,)), other.source_paths) for path in targets)


def _relation(paths: frozenset[str], sources: frozenset[str]) -> str:
    if paths & sources:
        return "is the source itself"
    pairs = [*product(paths, sources)]
    if any(is_inside(path, source) for path, source in pairs):
        return "lies inside the source: what arrives there would be picked up again"
    if any(is_inside(source, path) for path, source in pairs):
        return "contains the source: what arrives there could be picked up again"
    return ""


def _is_inside_any(path: str, folders: frozenset[str]) -> bool:
    return any(is_inside(spelled, folder) for spelled in path_and_realpath(path) for folder in folders)


def _name(one: RouteWithOrigin) -> str:
    return f"route {quoted(one.route.name)}"
