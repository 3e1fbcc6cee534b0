"""The web application: which rooms it has, and what holds in all of them."""

from typing import Self

import trio
from quart import Response, request
from quart_trio import QuartTrio
from quart_trio.wrappers import TrioResponse
from quart_trio.wrappers.response import TrioFileBody

from web import api, auth, live, openapi, probes, problems, schemas, uploads
from web.agent_api import AgentApi
from web.auth import Access

MAX_BODY_BYTES = 64 * 1024
BODY_TIMEOUT_S = 10


class _OpenedWhole(TrioFileBody):
    """A file to send; Quart-Trio 0.12 forgets to close one whose visitor leaves while it is being opened."""

    async def __aenter__(self) -> Self:
        with trio.CancelScope(shield=True):
            await super().__aenter__()
        return self


class _Response(TrioResponse):
    file_body_class = _OpenedWhole


def create_app(desk: AgentApi, access: Access) -> QuartTrio:
    """The web application; `desk` is an `agent.control.service.Control`."""
    app = QuartTrio("web", static_folder="static", static_url_path="/static")
    app.response_class = _Response
    app.config.update(
        MAX_CONTENT_LENGTH=MAX_BODY_BYTES,
        BODY_TIMEOUT=BODY_TIMEOUT_S,
        SEND_FILE_MAX_AGE_DEFAULT=0,  # after an upgrade no browser may go on with the old page
    )
    problems.install(app)
    auth.install(app, access)
    for room in (api, probes, live):
        app.register_blueprint(room.blueprint(desk))
    app.register_blueprint(uploads.blueprint(desk.uploads))
    _install_entrance(app)
    return app


def _install_entrance(app: QuartTrio) -> None:
    description = openapi.document()

    @app.before_request
    async def read_body() -> None:
        """One that is too large or never ends is refused before anything is obeyed."""
        await request.get_data()

    @app.get("/")
    async def index() -> Response:
        offers = ["text/html", "application/json"]
        if request.accept_mimetypes.best_match(offers, default=offers[0]) == "application/json":
            alive: schemas.Alive = {"status": "ok"}
            return api.answer(alive)
        return await app.send_static_file("index.html")

    @app.get("/openapi.json")
    async def describe() -> Response:
        return api.answer(description)
