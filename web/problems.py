"""Every error of a handler becomes `application/problem+json` (RFC 9457)."""

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
STORAGE_RETRY_AFTER_S = 30


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
    app.register_error_handler(Unavailable, _unavailable)
    app.register_error_handler(NotFound, _not_found)
    app.register_error_handler(Conflict, _conflict)
    app.register_error_handler(InvalidConfig, _invalid_config)
    app.register_error_handler(InvalidRequest, _invalid_request)
    app.register_error_handler(StorageTimeout, _storage_timeout)


async def _http(error: HTTPException) -> Response:
    answer = problem(error.code or 500, error.description or "")
    for name, value in error.get_headers():
        if name != "Content-Type":
            answer.headers[name] = value
    return answer


async def _unavailable(_: Unavailable) -> Response:
    answer = problem(HTTPStatus.SERVICE_UNAVAILABLE, "the agent is busy, try again soon")
    answer.headers["Retry-After"] = str(RETRY_AFTER_S)
    return answer


async def _not_found(error: NotFound) -> Response:
    return problem(HTTPStatus.NOT_FOUND, str(error))


async def _conflict(error: Conflict) -> Response:
    return problem(HTTPStatus.CONFLICT, str(error))


async def _invalid_config(error: InvalidConfig) -> Response:
    return problem(HTTPStatus.UNPROCESSABLE_ENTITY, str(error), error.reasons)


async def _invalid_request(error: InvalidRequest) -> Response:
    return problem(HTTPStatus.UNPROCESSABLE_ENTITY, str(error))


async def _storage_timeout(error: StorageTimeout) -> Response:
    answer = problem(HTTPStatus.SERVICE_UNAVAILABLE, f"{error}; try again when it answers")
    answer.headers["Retry-After"] = str(STORAGE_RETRY_AFTER_S)
    return answer
