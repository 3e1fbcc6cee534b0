"""Health of the storage and readiness of the agent, decided from the views of its routes."""

import enum
from collections.abc import Sequence

from attrs import frozen

from agent.model.views import RouteView

GIB_BYTES = 1 << 30


class HealthLevel(enum.Enum):
    """Health of a route's storage; the values are the contract's words."""

    OK = "OK"
    WARNING = "WARNING"
    ERROR = "ERROR"


_SEVERITY = {HealthLevel.OK: 0, HealthLevel.WARNING: 1, HealthLevel.ERROR: 2}


@frozen
class RouteHealth:
    """Health of one route's storage: `message` is one line, empty when OK; None bytes are unknown."""

    name: str
    level: HealthLevel
    message: str
    source_free_bytes: int | None
    destination_free_bytes: int | None


def unusable(route: RouteView) -> str | None:
    """Why the route's destination cannot be used now, in one line; None if it can."""
    if route.outage is not None:
        return f"{route.outage.reason.value}: {route.outage.detail}"
    return None if route.checked else "not yet checked"


def route_health(route: RouteView) -> RouteHealth:
    """A destination that cannot be used is an error; low space or an unreadable source is a warning."""
    problem = unusable(route)
    if problem is not None:
        return RouteHealth(route.name, HealthLevel.ERROR, problem, route.source_free_bytes, None)
    warnings = [
        f"{side} has {_gib(free_bytes)} free, less than {_gib(route.low_space_bytes)}"
        for side, free_bytes in (
            ("destination", route.destination_free_bytes),
            ("source", route.source_free_bytes),
        )
        if free_bytes is not None and free_bytes < route.low_space_bytes
    ]
    if route.source_error is not None:
        warnings.append(f"source: {route.source_error}")
    level = HealthLevel.WARNING if warnings else HealthLevel.OK
    free = (route.source_free_bytes, route.destination_free_bytes)
    return RouteHealth(route.name, level, "; ".join(warnings), *free)


def worst(healths: Sequence[RouteHealth]) -> RouteHealth:
    """The health of all routes: the worst, among equals the one with the least free space.

    Without any route nothing can be delivered, so that is an error too.
    """
    no_route = RouteHealth("", HealthLevel.ERROR, "no route is running", None, None)
    return min(healths, key=_worst_first, default=no_route)


def overall_health(routes: Sequence[RouteView]) -> tuple[RouteView, ...]:
    """The configured routes. Upload jobs do not count: a bucket that fails is reported in its jobs."""
    return tuple(route for route in routes if route.upload_id is None)


def healthy(routes: Sequence[RouteView]) -> bool:
    """True unless a destination is in an outage; one that was not probed yet does not count."""
    return all(route.outage is None for route in overall_health(routes))


def ready(routes: Sequence[RouteView]) -> bool:
    """True when there are routes and every destination is known to be usable."""
    configured = overall_health(routes)
    return bool(configured) and all(unusable(route) is None for route in configured)


def _worst_first(health: RouteHealth) -> tuple[int, float]:
    free_bytes = health.destination_free_bytes
    return -_SEVERITY[health.level], float("inf") if free_bytes is None else free_bytes


def _gib(size_bytes: int) -> str:
    return f"{size_bytes / GIB_BYTES:.1f} GiB"
