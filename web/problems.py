"""Errors as `application/problem+json` (RFC 9457), whoever raises them."""

from http import HTTPStatus

from quart import Response
from quart_trio import QuartTrio
from werkzeug.exceptions import HTTPException

from agent.refusals import Busy, NotPossible, Refused, Rejected, Unanswered, Unknown
from web import shapes
from web.wire import encode

RETRY_AFTER_S = 1
UNANSWERED_RETRY_S = 30


def problem(status: int, detail: str, reasons: tuple[str, ...] = ()) -> Response:
    """A problem without a type of its own: `title` is the status's phrase (RFC 9457 section 4.2.1)."""
    body: shapes.Problem = {
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
    app.register_error_handler(Busy, _busy)
    app.register_error_handler(Unknown, _unknown)
    app.register_error_handler(NotPossible, _not_possible)
    app.register_error_handler(Rejected, _rejected)
    app.register_error_handler(Refused, _refused)
    app.register_error_handler(Unanswered, _unanswered)


async def _http(error: HTTPException) -> Response:
    answer = problem(error.code or 500, error.description or "")
    for name, value in error.get_headers():
        if name != "Content-Type":
            answer.headers[name] = value
    return answer


async def _busy(_: Busy) -> Response:
    answer = problem(HTTPStatus.SERVICE_UNAVAILABLE, "the agent is busy, try again soon")
    answer.headers["Retry-After"] = str(RETRY_AFTER_S)
    return answer


async def _unknown(error: Unknown) -> Response:
    return problem(HTTPStatus.NOT_FOUND, str(error))


async def _not_possible(error: NotPossible) -> Response:
    return problem(HTTPStatus.CONFLICT, str(error))


async def _rejected(error: Rejected) -> Response:
    return problem(HTTPStatus.UNPROCESSABLE_ENTITY, str(error), error.reasons)


async def _refused(error: Refused) -> Response:
    return problem(HTTPStatus.UNPROCESSABLE_ENTITY, str(error))


async def _unanswered(error: Unanswered) -> Response:
    answer = problem(HTTPStatus.SERVICE_UNAVAILABLE, f"{error}; try again when it answers")
    answer.headers["Retry-After"] = str(UNANSWERED_RETRY_S)
    return answer
