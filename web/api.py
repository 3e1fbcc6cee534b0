"""/api: reads and commands; each is one call of `Control`, and serializers.py writes the answer."""

from collections.abc import Awaitable, Callable, Hashable, Mapping
from http import HTTPStatus

import trio
from attrs import field, frozen
from quart import Blueprint, Response, request

from agent.control.errors import NotFound
from agent.control.service import Control
from agent.model.health import HealthLevel
from agent.model.views import HistoryQuery, Snapshot
from web import file_list, query, schemas, serializers
from web.shared_answers import SharedAnswers

FILES_LIMIT = query.MAX_LIMIT
HISTORY_LIMIT = 100

_STORAGE_CODES = {
    HealthLevel.OK.value: HTTPStatus.OK,
    HealthLevel.WARNING.value: HTTPStatus.INSUFFICIENT_STORAGE,
    HealthLevel.ERROR.value: HTTPStatus.SERVICE_UNAVAILABLE,
}


def answer(body: Mapping[str, object], code: int = HTTPStatus.OK) -> Response:
    return _as_json(serializers.encode(body), code)


def _as_json(body: bytes, code: int) -> Response:
    return Response(body, status=code, content_type="application/json")


def blueprint(control: Control) -> Blueprint:
    reads, commands = _Reads(control), _Commands(control)
    api = Blueprint("api", __name__, url_prefix="/api")
    api.get("/status")(reads.status)
    api.get("/storage")(reads.storage)
    api.get("/files")(reads.files)
    api.get("/routes")(reads.routes)
    api.get("/history")(reads.history)
    api.get("/explain")(reads.explain)
    api.post("/routes/<name>/pause")(commands.pause)
    api.post("/routes/<name>/resume")(commands.resume)
    api.post("/files/<file_id>/retry")(commands.retry)
    api.post("/files/<file_id>/cancel")(commands.cancel)
    api.post("/retry")(commands.retry_all)
    api.post("/reload")(commands.reload)
    return api


@frozen
class _Reads:
    _control: Control
    _answers: SharedAnswers = field(factory=SharedAnswers, init=False)

    async def status(self) -> Response:
        return await self._of_all_files("status", lambda snapshot: file_list.status_body(snapshot.files))

    async def storage(self) -> Response:
        body = serializers.storage_body((await self._control.snapshot()).routes)
        return answer(body, _STORAGE_CODES[body["status"]])

    async def files(self) -> Response:
        """`?verbose`: each file as a LiveFile, as in the live feed."""
        file_query = file_list.FileQuery(
            status=query.status(request.args),
            route=request.args.get("route"),
            search=request.args.get("search", ""),
            after=query.file_cursor(request.args),
            limit=query.limit(request.args, FILES_LIMIT),
            verbose="verbose" in request.args,
        )
        return await self._of_all_files(file_query, lambda snapshot: file_query.body(snapshot.files))

    async def routes(self) -> Response:
        body: schemas.RoutesBody = {
            "routes": [serializers.route_entry(route) for route in (await self._control.snapshot()).routes]
        }
        return answer(body)

    async def history(self) -> Response:
        history_query = HistoryQuery(
            since_at=query.time_at(request.args, "since"),
            until_at=query.time_at(request.args, "until"),
            route=request.args.get("route"),
            limit=query.limit(request.args, HISTORY_LIMIT),
            before_id=query.row_cursor(request.args),
        )
        return answer(serializers.history_body(await self._control.history(history_query)))

    async def explain(self) -> Response:
        path = query.required(query.with_replacements(request.query_string), "path")
        try:
            return await self._of_all_files(
                ("explain", path), lambda snapshot: file_list.explanation(path, snapshot)
            )
        except NotFound:
            ended = (await self._control.history(HistoryQuery(path=path, limit=1))).rows
            if not ended:
                raise
        body: schemas.EndedBody = {"ended": serializers.history_entry(ended[0])}
        return answer(body)

    async def _of_all_files(
        self, question: Hashable, body: Callable[[Snapshot], Mapping[str, object]]
    ) -> Response:
        """The body is written in a thread, and shared among those who ask this question meanwhile."""

        async def make() -> bytes:
            snapshot = await self._control.snapshot()
            return await trio.to_thread.run_sync(lambda: serializers.encode(body(snapshot)))

        return _as_json(await self._answers.get(question, make), HTTPStatus.OK)


@frozen
class _Commands:
    _control: Control

    async def pause(self, name: str) -> Response:
        return await _accepted("pause", self._control.pause(name), name)

    async def resume(self, name: str) -> Response:
        return await _accepted("resume", self._control.resume(name), name)

    async def retry(self, file_id: str) -> Response:
        return await _accepted("retry", self._control.retry(file_id), file_id)

    async def cancel(self, file_id: str) -> Response:
        return await _accepted("cancel", self._control.cancel(file_id), file_id)

    async def retry_all(self) -> Response:
        return await _accepted("retry", self._control.retry_all())

    async def reload(self) -> Response:
        return await _accepted("reload", self._control.reload())


async def _accepted(name: str, command: Awaitable[str], subject: str | None = None) -> Response:
    body: schemas.Accepted = {"accepted": name, "result": await command}
    if subject is not None:
        body["subject"] = subject
    return answer(body, HTTPStatus.ACCEPTED)
