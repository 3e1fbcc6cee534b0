"""Errors as `application/problem+json` (RFC 9457), whoever raises them."""

from http import HTTPStatus

from quart import Response
from quart_trio import QuartTrio
from werkzeug.exceptions import HTTPException

from agent.control.errors import (
    Conflict,
    InvalidConfig,
    InvalidRequest,
    NotFound,
    StorageTimeout,
    Unavailable,
)
from web import schemas
from web.serializers import encode

RETRY_AFTER_S = 1
UNANSWERED_RETRY_S = 30


def problem(status: int, detail: str, reasons: tuple[str, ...] = ()) -> Response:
    """A problem without a type of its own: `title` is the status's phrase (RFC 9457 section 4.2.1)."""
    body: schemas.ProblemBody = {
        "type": "about:blank",
        "title": HTTPStatus(status).phrase,
        "status": status,
        "detail": detail,
    }
    if reasons:
        body["reasons"] = list(reasons)
    return Response(encode(body), status=status, content_type="application/problem+json")


def install(app: QuartTrio) -> None:
    app.register_error_handler(HTTPException, _http)
    app.register_error_handler(Unavailable, _busy)
    app.register_error_handler(NotFound, _unknown)
    app.register_error_handler(Conflict, _not_possible)
    app.register_error_handler(InvalidConfig, _rejected)
    app.register_error_handler(InvalidRequest, _refused)
    app.register_error_handler(StorageTimeout, _unanswered)


async def _http(error: HTTPException) -> Response:
    answer = problem(error.code or 500, error.description or "")
    for name, value in error.get_headers():
        if name != "Content-Type":
            answer.headers[name] = value
    return answer


async def _busy(_: Unavailable) -> Response:
    answer = problem(HTTPStatus.SERVICE_UNAVAILABLE, "the agent is busy, try again soon")
    answer.headers["Retry-After"] = str(RETRY_AFTER_S)
    return answer


async def _unknown(error: NotFound) -> Response:
    return problem(HTTPStatus.NOT_FOUND, str(error))


async def _not_possible(error: Conflict) -> Response:
    return problem(HTTPStatus.CONFLICT, str(error))


async def _rejected(error: InvalidConfig) -> Response:
    return problem(HTTPStatus.UNPROCESSABLE_ENTITY, str(error), error.reasons)


async def _refused(error: InvalidRequest) -> Response:
    return problem(HTTPStatus.UNPROCESSABLE_ENTITY, str(error))


async def _unanswered(error: StorageTimeout) -> Response:
    answer = problem(HTTPStatus.SERVICE_UNAVAILABLE, f"{error}; try again when it answers")
    answer.headers["Retry-After"] = str(UNANSWERED_RETRY_S)
    return answer
