"""What machines ask: is it alive, ready, well, and how much has it done."""

from http import HTTPStatus

from attrs import frozen
from quart import Blueprint, Response, request

from agent.control.errors import Unavailable
from agent.model.health import healthy, ready, unusable
from agent.model.text import as_unicode
from agent.model.views import RouteView
from web.agent_api import AgentApi
from web.serializers import rfc3339

EXPOSITION_TYPE = "text/plain; version=0.0.4; charset=utf-8"


def blueprint(desk: AgentApi) -> Blueprint:
    probes = _Probes(desk)
    found = Blueprint("probes", __name__)
    found.get("/livez")(probes.livez)
    found.get("/readyz")(probes.readyz)
    found.get("/metrics")(probes.metrics)
    found.get("/api/health")(probes.health)
    return found


@frozen
class _Probes:
    _desk: AgentApi

    async def livez(self) -> Response:
        return _verdict(well=True, good="ok", bad="")

    async def readyz(self) -> Response:
        """`?verbose`: a line for each destination."""
        try:
            snapshot = await self._desk.snapshot()
        except Unavailable:
            return _verdict(well=False, good="", bad="not ready: the agent is busy")
        routes, trouble = snapshot.routes, snapshot.journal_error
        verbose = "verbose" in request.args
        lines = "".join(f"\n{_line(route)}" for route in routes) if verbose else ""
        reason = "" if trouble is None else f": journal: {trouble}"
        return _verdict(
            well=ready(routes) and trouble is None, good="ok" + lines, bad=f"not ready{reason}{lines}"
        )

    async def health(self) -> Response:
        """One word, for checks that look for it."""
        try:
            snapshot = await self._desk.snapshot()
        except Unavailable:
            return _verdict(well=False, good="", bad="ERROR")
        well = healthy(snapshot.routes) and snapshot.journal_error is None
        return _verdict(well=well, good="OK", bad="ERROR")

    async def metrics(self) -> Response:
        return Response(self._desk.render_metrics(), content_type=EXPOSITION_TYPE)


def _verdict(*, well: bool, good: str, bad: str) -> Response:
    code = HTTPStatus.OK if well else HTTPStatus.SERVICE_UNAVAILABLE
    return Response(as_unicode(good if well else bad), status=code, content_type="text/plain; charset=utf-8")


def _line(route: RouteView) -> str:
    since = "" if route.outage is None else f" (since {rfc3339(route.outage.since_at)})"
    return f"{route.name}: {unusable(route) or 'ok'}{since}"
