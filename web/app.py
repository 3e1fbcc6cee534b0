"""The web application: its blueprints, and what holds for every request."""

from typing import Self

import trio
from quart import Response, request
from quart_trio import QuartTrio
from quart_trio.wrappers import TrioResponse
from quart_trio.wrappers.response import TrioFileBody

from agent.control.service import Control
from web import api, auth, live, openapi, probes, problems, schemas, uploads
from web.auth import Access

MAX_BODY_BYTES = 64 * 1024
BODY_TIMEOUT_S = 10


class _ShieldedFileBody(TrioFileBody):
    """A static file; Quart-Trio 0.12 leaves it open if the client disconnects while it is being opened."""

    async def __aenter__(self) -> Self:
        with trio.CancelScope(shield=True):
            await super().__aenter__()
        return self


class _Response(TrioResponse):
    file_body_class = _ShieldedFileBody


def create_app(control: Control, access: Access) -> QuartTrio:
    app = QuartTrio("web", static_folder="static", static_url_path="/static")
    app.response_class = _Response
    app.config.update(
        MAX_CONTENT_LENGTH=MAX_BODY_BYTES,
        BODY_TIMEOUT=BODY_TIMEOUT_S,
        SEND_FILE_MAX_AGE_DEFAULT=0,  # after an upgrade no browser may keep the old page
    )
    problems.install(app)
    auth.install(app, access)
    for part in (api, probes, live, uploads):
        app.register_blueprint(part.blueprint(control))
    _install_root(app)
    return app


def _install_root(app: QuartTrio) -> None:
    description = openapi.document()

    @app.before_request
    async def read_body() -> None:
        """A body that is too large or never ends is refused before any handler runs."""
        await request.get_data()

    @app.get("/")
    async def index() -> Response:
        media_types = ["text/html", "application/json"]
        if request.accept_mimetypes.best_match(media_types, default=media_types[0]) == "application/json":
            alive: schemas.Alive = {"status": "ok"}
            return api.answer(alive)
        return await app.send_static_file("index.html")

    @app.get("/openapi.json")
    async def describe() -> Response:
        return api.answer(description)
