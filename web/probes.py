"""Health endpoints (/livez, /readyz, /api/health) and /metrics, for monitoring systems."""

from http import HTTPStatus

from attrs import frozen
from quart import Blueprint, Response, request

from agent.control.errors import Unavailable
from agent.control.service import Control
from agent.model.health import healthy, ready, unusable
from agent.model.text import as_unicode
from agent.model.views import RouteView
from web.serializers import rfc3339

PROMETHEUS_TEXT = "text/plain; version=0.0.4; charset=utf-8"


def blueprint(control: Control) -> Blueprint:
    probes = _Probes(control)
    found = Blueprint("probes", __name__)
    found.get("/livez")(probes.livez)
    found.get("/readyz")(probes.readyz)
    found.get("/metrics")(probes.metrics)
    found.get("/api/health")(probes.health)
    return found


@frozen
class _Probes:
    _control: Control

    async def livez(self) -> Response:
        return _verdict(well=True, good="ok", bad="")

    async def readyz(self) -> Response:
        """`?verbose`: a line for each destination."""
        try:
            snapshot = await self._control.snapshot()
        except Unavailable:
            return _verdict(well=False, good="", bad="not ready: the agent is busy")
        routes, journal_error = snapshot.routes, snapshot.journal_error
        verbose = "verbose" in request.args
        lines = "".join(f"\n{_line(route)}" for route in routes) if verbose else ""
        reason = "" if journal_error is None else f": journal: {journal_error}"
        return _verdict(
            well=ready(routes) and journal_error is None, good="ok" + lines, bad=f"not ready{reason}{lines}"
        )

    async def health(self) -> Response:
        """One word, OK or ERROR."""
        try:
            snapshot = await self._control.snapshot()
        except Unavailable:
            return _verdict(well=False, good="", bad="ERROR")
        well = healthy(snapshot.routes) and snapshot.journal_error is None
        return _verdict(well=well, good="OK", bad="ERROR")

    async def metrics(self) -> Response:
        return Response(self._control.render_metrics(), content_type=PROMETHEUS_TEXT)


def _verdict(*, well: bool, good: str, bad: str) -> Response:
    code = HTTPStatus.OK if well else HTTPStatus.SERVICE_UNAVAILABLE
    return Response(as_unicode(good if well else bad), status=code, content_type="text/plain; charset=utf-8")


def _line(route: RouteView) -> str:
    since = "" if route.outage is None else f" (since {rfc3339(route.outage.since_at)})"
    return f"{route.name}: {unusable(route) or 'ok'}{since}"
