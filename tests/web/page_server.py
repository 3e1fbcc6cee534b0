"""A scripted agent: serves the page, sends on /ws what a test wants, and notes every command.

Prints its address and serves until killed. A test directs it with `POST /test/{act}`, see `Stage`.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import trio
from attrs import define, field
from hypercorn.config import Config
from hypercorn.trio import serve
from quart import Response, request, websocket
from quart_trio import QuartTrio

from web.auth import SECURITY_HEADERS, SUBPROTOCOL

STATIC = Path(__file__).parents[2] / "web" / "static"


@define
class Stage:
    """`script`: a snapshot, and if wanted token, status and detail of commands, status of feed and livez.

    `files` of it are those that pages of `/api/files` are made of; questions for them are noted as well.
    """

    script: dict[str, Any] = field(factory=dict)
    commands: list[str] = field(factory=list)
    clients: set[trio.MemorySendChannel[str]] = field(factory=set)

    async def act(self, act: str) -> Response:
        """Acts: `script` (a new one), `send` (to all clients), `drop` (them), `tell` (what happened)."""
        body = await request.get_json()
        match act:
            case "script":
                self.script = body
                self.commands.clear()
            case "send":
                for client in self.clients:
                    client.send_nowait(json.dumps(body))
            case "drop":
                for client in self.clients:
                    client.close()
        return _json(200, {"commands": self.commands})

    async def command(self, path: str) -> Response:
        token = self.script.get("token")
        if token is not None and request.headers.get("Authorization") != f"Bearer {token}":
            return _json(401, {"title": "Unauthorized", "detail": "this needs the agent's token"})
        if request.method == "GET" and path == "files":
            self.commands.append(f"files?{request.query_string.decode()}")
            return _json(200, _page(self.script["files"], request.args))
        if request.method == "GET":
            return _json(200, {})
        self.commands.append(path)
        status = self.script.get("status", 202)
        return _json(status, {"title": "Problem", "detail": self.script.get("detail", "")})

    async def feed(self) -> tuple[str, int] | None:
        token = self.script.get("token")
        offered = websocket.requested_subprotocols
        if token is not None and f"bearer.{token}" not in offered:
            return "", 401
        if self.script.get("feed"):
            return "", self.script["feed"]
        await websocket.accept(subprotocol=SUBPROTOCOL if SUBPROTOCOL in offered else None)
        messages_in, messages_out = trio.open_memory_channel[str](100)
        self.clients.add(messages_in)
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(_listen)
                await websocket.send(json.dumps(self.script["snapshot"]))
                async for message in messages_out:
                    await websocket.send(message)
                nursery.cancel_scope.cancel()
            await websocket.close(1013)
        finally:
            self.clients.discard(messages_in)
        return None


def _page(files: list[dict[str, Any]], asked: Mapping[str, str]) -> dict[str, Any]:
    """The cursor is the number of files before it."""
    found = [
        file
        for file in files
        if asked.get("status") in (None, file["status"]) and asked.get("search", "").lower() in file["path"]
    ]
    start = int(asked.get("cursor", 0))
    end = start + int(asked["limit"])
    return {"files": found[start:end]} | ({"next_cursor": str(end)} if end < len(found) else {})


async def _listen() -> None:
    while True:
        await websocket.receive()


def _json(status: int, body: dict[str, object]) -> Response:
    return Response(json.dumps(body), status, content_type="application/json")


def _app() -> QuartTrio:
    app = QuartTrio(__name__, static_folder=str(STATIC), static_url_path="/static")
    stage = Stage()
    app.post("/test/<act>")(stage.act)
    app.route("/api/<path:path>", methods=["GET", "POST"])(stage.command)
    app.websocket("/ws")(stage.feed)

    @app.get("/")
    async def index() -> Response:
        return await app.send_static_file("index.html")

    @app.get("/livez")
    async def livez() -> tuple[str, int]:
        return "", stage.script.get("livez", 200)

    @app.after_request
    def bind_browser(response: Response) -> Response:
        response.headers.update(SECURITY_HEADERS)
        return response

    return app


async def _main() -> None:
    config = Config.from_mapping(bind=["127.0.0.1:0"])
    config.errorlog = None
    async with trio.open_nursery() as nursery:
        addresses = await nursery.start(serve, _app(), config)
        print(addresses[0], flush=True)  # noqa: T201  how the test learns it


if __name__ == "__main__":
    trio.run(_main)
