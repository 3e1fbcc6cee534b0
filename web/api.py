"""/api: what visitors may read and order, each a question to the desk and an answer from wire.py."""

from collections.abc import Awaitable, Callable, Mapping
from http import HTTPStatus

import trio
from attrs import frozen
from quart import Blueprint, Response, request

from agent.model.health import HealthLevel
from agent.model.views import HistoryQuery
from web import file_list, query, schemas, serializers
from web.agent_api import AgentApi

HISTORY_LIMIT = 100

_STORAGE_CODES = {
    HealthLevel.OK.value: HTTPStatus.OK,
    HealthLevel.WARNING.value: HTTPStatus.INSUFFICIENT_STORAGE,
    HealthLevel.ERROR.value: HTTPStatus.SERVICE_UNAVAILABLE,
}


def answer(body: Mapping[str, object], code: int = HTTPStatus.OK) -> Response:
    return _as_json(serializers.encode(body), code)


async def _long_answer(body: Callable[[], Mapping[str, object]]) -> Response:
    """For bodies made of all the files: in a thread, since 100,000 of them take up to some seconds."""
    return _as_json(await trio.to_thread.run_sync(lambda: serializers.encode(body())), HTTPStatus.OK)


def _as_json(written: bytes, code: int) -> Response:
    return Response(written, status=code, content_type="application/json")


def blueprint(desk: AgentApi) -> Blueprint:
    reads, orders = _Reads(desk), _Orders(desk)
    api = Blueprint("api", __name__, url_prefix="/api")
    api.get("/status")(reads.status)
    api.get("/storage")(reads.storage)
    api.get("/files")(reads.files)
    api.get("/routes")(reads.routes)
    api.get("/history")(reads.history)
    api.get("/explain")(reads.explain)
    api.post("/routes/<name>/pause")(orders.pause)
    api.post("/routes/<name>/resume")(orders.resume)
    api.post("/files/<file_id>/retry")(orders.retry)
    api.post("/files/<file_id>/cancel")(orders.cancel)
    api.post("/retry")(orders.retry_all)
    api.post("/reload")(orders.reload)
    return api


@frozen
class _Reads:
    _desk: AgentApi

    async def status(self) -> Response:
        files = (await self._desk.snapshot()).files
        return await _long_answer(lambda: file_list.status_body(files))

    async def storage(self) -> Response:
        body = serializers.storage_body((await self._desk.snapshot()).routes)
        return answer(body, _STORAGE_CODES[body["status"]])

    async def files(self) -> Response:
        """`?verbose`: each file as the live feed tells of it."""
        choice = file_list.FileQuery(
            status=query.status(request.args),
            route=request.args.get("route"),
            search=request.args.get("search", ""),
            after=query.file_cursor(request.args),
            limit=query.limit(request.args, None),
            verbose="verbose" in request.args,
        )
        files = (await self._desk.snapshot()).files
        return await _long_answer(lambda: choice.body(files))

    async def routes(self) -> Response:
        body: schemas.RoutesBody = {
            "routes": [serializers.route_entry(route) for route in (await self._desk.snapshot()).routes]
        }
        return answer(body)

    async def history(self) -> Response:
        asked = HistoryQuery(
            since_at=query.time_at(request.args, "since"),
            until_at=query.time_at(request.args, "until"),
            route=request.args.get("route"),
            limit=query.limit(request.args, HISTORY_LIMIT),
            before_id=query.row_cursor(request.args),
        )
        return answer(serializers.history_body(await self._desk.history(asked)))

    async def explain(self) -> Response:
        path = query.required(query.shown(request.query_string), "path")
        files = (await self._desk.snapshot()).files
        return await _long_answer(lambda: serializers.live_file(file_list.find(path, files)))


@frozen
class _Orders:
    _desk: AgentApi

    async def pause(self, name: str) -> Response:
        return await _order("pause", self._desk.pause(name), name)

    async def resume(self, name: str) -> Response:
        return await _order("resume", self._desk.resume(name), name)

    async def retry(self, file_id: str) -> Response:
        return await _order("retry", self._desk.retry(file_id), file_id)

    async def cancel(self, file_id: str) -> Response:
        return await _order("cancel", self._desk.cancel(file_id), file_id)

    async def retry_all(self) -> Response:
        return await _order("retry", self._desk.retry_all())

    async def reload(self) -> Response:
        return await _order("reload", self._desk.reload())


async def _order(name: str, order: Awaitable[str], subject: str | None = None) -> Response:
    body: schemas.Accepted = {"accepted": name, "result": await order}
    if subject is not None:
        body["subject"] = subject
    return answer(body, HTTPStatus.ACCEPTED)
