"""An HTTP client of the running agent."""

import json
import os
from collections.abc import Collection, Iterator, Mapping
from typing import Any, cast
from urllib.parse import quote, urlencode, urlsplit

from attrs import frozen

from agent.config.sections import Config
from agent.model.text import as_unicode

TIMEOUT_S = 10.0
UNAUTHORIZED = 401
NOT_FOUND = 404
REALM = "transfer-agent"


class NotRunning(Exception):  # noqa: N818
    """No agent answers at the address."""


class CommandRefused(Exception):  # noqa: N818
    """The agent answered with a problem; the text is its reason, `status` the HTTP status."""

    def __init__(self, reason: str, status: int) -> None:
        super().__init__(reason)
        self.status = status


@frozen
class Answer:
    """`challenge`: the header with which a server asks for a token (RFC 9110 section 11.6.1)."""

    status: int
    body: str
    challenge: str = ""

    @property
    def asks_for_token(self) -> bool:
        return self.status == UNAUTHORIZED and is_challenge(self.challenge)


def is_challenge(header: str) -> bool:
    """Whether an agent asks for its token with this header."""
    scheme, _, parameters = header.partition(" ")
    given = (each.strip() for each in parameters.replace('"', "").split(","))
    return scheme.lower() == "bearer" and f"realm={REALM}" in given


def url_segment(name: str) -> str:
    """A name as one segment of a URL's path."""
    return quote(as_unicode(name), safe="")


@frozen
class Client:
    """A client of the agent at `url`; no proxy, no redirection. `token` None: none is set.

    The token goes only to a server that asks for an agent's token. After a crash the address may be stale,
    and another program may listen there.
    """

    url: str
    token: str | None

    @classmethod
    def for_config(cls, config: Config) -> "Client":
        """The agent that runs on this configuration."""
        try:
            with open(config.agent.address_file, encoding="utf-8") as file:
                url = file.read()
        except OSError:
            url = ""
        if not url:
            host = f"[{config.web.host}]" if ":" in config.web.host else config.web.host
            url = f"http://{host}:{config.web.port}"
        return cls(url, config.web.token)

    def get(self, path: str, query: Mapping[str, str] | None = None, *, also: Collection[int] = ()) -> Any:  # noqa: ANN401  JSON
        """The JSON object at this path.

        Raises:
            NotRunning.
            CommandRefused: the status is neither a success nor in `also`.
        """
        return self._json("GET", f"{path}?{urlencode(query)}" if query else path, also)

    def post(self, path: str) -> str:
        """Returns what the command did. Raises: NotRunning, CommandRefused."""
        return str(self._json("POST", path)["result"])

    def files(self) -> Iterator[dict[str, Any]]:
        """Every tracked file and the last completed ones. Raises: NotRunning, CommandRefused."""
        query: dict[str, str] | None = {}
        while query is not None:
            page = self.get("/api/files", query)
            yield from page["files"]
            query = {"cursor": page["next_cursor"]} if "next_cursor" in page else None

    def find_file(self, path: str) -> dict[str, Any]:
        """The tracked file with this path, absolute, from here, or below a source.

        Raises:
            NotRunning.
            CommandRefused: it is not tracked, or the path could mean several files.
        """
        return tracked_file(path, self.explain(path))

    def explain(self, path: str) -> dict[str, dict[str, Any]]:
        """What is known of each absolute path that this one may mean.

        That is a tracked file, why it is excluded, or how its last transfer ended.

        Raises: NotRunning, CommandRefused.
        """
        routes = self.get("/api/routes")["routes"]
        bases = (as_unicode(os.getcwd()), *(route["source"] for route in routes))
        candidates = [os.path.normpath(os.path.join(base, as_unicode(path))) for base in bases]
        found = {each: self._find(each) for each in dict.fromkeys(candidates)}
        return {each: file for each, file in found.items() if file is not None}

    def request(self, method: str, path: str) -> Answer:
        """The answer, whatever its status. Raises: NotRunning."""
        headers = {"Accept": "application/json"}
        answer = self._request(method, path, headers)
        if self.token and answer.asks_for_token:
            answer = self._request(method, path, headers | {"Authorization": f"Bearer {self.token}"})
        return answer

    def _request(self, method: str, path: str, headers: Mapping[str, str]) -> Answer:
        import http.client  # noqa: PLC0415  a fifth of the start of verbs that ask nobody

        address = urlsplit(self.url)
        connection = http.client.HTTPConnection(address.hostname or "", address.port, timeout=TIMEOUT_S)
        try:
            connection.request(method, path, headers=headers)
            response = connection.getresponse()
            body = response.read().decode("utf-8", "replace")
            return Answer(response.status, body, response.headers.get("WWW-Authenticate", ""))
        except (OSError, http.client.HTTPException) as error:
            reason = getattr(error, "strerror", None) or error
            raise NotRunning(f"no agent answers at {self.url} ({reason}): is it running?") from error
        finally:
            connection.close()

    def _find(self, path: str) -> dict[str, Any] | None:
        try:
            return cast("dict[str, Any]", self.get("/api/explain", {"path": path}))
        except CommandRefused as error:
            if error.status == NOT_FOUND:
                return None
            raise

    def _json(self, method: str, path: str, also: Collection[int] = ()) -> Any:  # noqa: ANN401  JSON
        answer = self.request(method, path)
        try:
            body = json.loads(answer.body)
        except ValueError:
            body = None
        if not isinstance(body, dict):
            raise CommandRefused(
                f"what answers at {self.url} is not an agent ({answer.status})", answer.status
            )
        if answer.status < 300 or answer.status in also:  # noqa: PLR2004  success, RFC 9110 section 15.3
            return body
        reasons = body.get("reasons") or [body.get("detail") or body.get("title") or answer.status]
        raise CommandRefused("\n".join(map(str, reasons)), answer.status)


def tracked_file(path: str, found: Mapping[str, dict[str, Any]]) -> dict[str, Any]:
    """The one tracked file among what `Client.explain` found.

    Raises:
        CommandRefused: there is none, or there are several.
    """
    files = {each: file for each, file in found.items() if not {"excluded", "ended"} & file.keys()}
    if not files:
        raise CommandRefused(f"{as_unicode(path)} is not tracked", NOT_FOUND)
    if len(files) > 1:
        raise CommandRefused(f"{as_unicode(path)} could be {' or '.join(files)}: name one of them", NOT_FOUND)
    return files.popitem()[1]
