"""What machines ask: is it alive, ready, well, and how much has it done."""

from collections.abc import Sequence
from http import HTTPStatus

from attrs import frozen
from quart import Blueprint, Response, request

from agent.desk import Busy
from agent.rules.health import healthy, ready, unusable
from agent.views import RouteView
from web.reception import Reception
from web.wire import moment, text

EXPOSITION_TYPE = "text/plain; version=0.0.4; charset=utf-8"


def blueprint(desk: Reception) -> Blueprint:
    probes = _Probes(desk)
    found = Blueprint("probes", __name__)
    found.get("/livez")(probes.livez)
    found.get("/readyz")(probes.readyz)
    found.get("/metrics")(probes.metrics)
    found.get("/api/health")(probes.health)
    return found


@frozen
class _Probes:
    _desk: Reception

    async def livez(self) -> Response:
        return _verdict(well=True, good="ok", bad="")

    async def readyz(self) -> Response:
        """`?verbose`: a line for each destination."""
        try:
            routes = (await self._desk.snapshot()).routes
        except Busy:
            return _verdict(well=False, good="", bad="not ready: the agent is busy")
        verbose = "verbose" in request.args
        lines = "".join(f"\n{_line(route)}" for route in routes) if verbose else ""
        return _verdict(well=ready(routes), good="ok" + lines, bad="not ready" + lines)

    async def health(self) -> Response:
        """One word, for checks that look for it."""
        routes: Sequence[RouteView] | None
        try:
            routes = (await self._desk.snapshot()).routes
        except Busy:
            routes = None
        return _verdict(well=routes is not None and healthy(routes), good="OK", bad="ERROR")

    async def metrics(self) -> Response:
        return Response(self._desk.exposition(), content_type=EXPOSITION_TYPE)


def _verdict(*, well: bool, good: str, bad: str) -> Response:
    code = HTTPStatus.OK if well else HTTPStatus.SERVICE_UNAVAILABLE
    return Response(text(good if well else bad), status=code, content_type="text/plain; charset=utf-8")


def _line(route: RouteView) -> str:
    since = "" if route.outage is None else f" (since {moment(route.outage.since_at)})"
    return f"{route.name}: {unusable(route) or 'ok'}{since}"
