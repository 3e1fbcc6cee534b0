"""The command line's way to the running agent: its HTTP interface."""

import json
import os
import urllib.error
import urllib.request
from typing import Any
from urllib.parse import quote, urlencode

from attrs import frozen

from agent.config import Config

TIMEOUT_S = 10.0


class NotRunning(Exception):  # noqa: N818
    """No agent answers at the address."""


class Refused(Exception):  # noqa: N818
    """The agent answered with a problem; the text is its reason."""


def as_shown(path: str) -> str:
    """A path as the agent shows it: bytes that are not UTF-8 as U+FFFD."""
    return os.fsencode(path).decode("utf-8", "replace")


@frozen
class Client:
    """Talks to the agent at `url`; `token` None where none is set."""

    url: str
    token: str | None

    @classmethod
    def of(cls, config: Config) -> "Client":
        """The agent that runs on this configuration."""
        try:
            with open(config.agent.address_file, encoding="utf-8") as file:
                url = file.read()
        except OSError:
            host = f"[{config.web.host}]" if ":" in config.web.host else config.web.host
            url = f"http://{host}:{config.web.port}"
        return cls(url, config.web.token)

    def get(self, path: str, **query: str) -> Any:  # noqa: ANN401  JSON
        """The JSON at this path. Raises: NotRunning, Refused."""
        return self._ask("GET", f"{path}?{urlencode(query)}" if query else path)

    def post(self, path: str) -> Any:  # noqa: ANN401  JSON
        """Raises: NotRunning, Refused."""
        return self._ask("POST", path)

    def text(self, path: str) -> str:
        """The text at this path, whatever the status. Raises: NotRunning."""
        try:
            return self._open("GET", path)
        except urllib.error.HTTPError as error:
            with error:
                return error.read().decode()

    def file(self, path: str) -> dict[str, Any]:
        """The tracked file with this path, absolute or below its source. Raises: NotRunning, Refused."""
        wanted = {as_shown(path), as_shown(os.path.abspath(path))}
        for file in self.get("/api/files")["files"]:
            if file["file_path"] in wanted or any(file["file_path"].endswith(f"/{each}") for each in wanted):
                found: dict[str, Any] = file
                return found
        raise Refused(f"{as_shown(path)} is not tracked")

    def explain(self, path: str) -> Any:  # noqa: ANN401  JSON
        """Raises: NotRunning, Refused: it is not tracked."""
        return self._ask("GET", f"/api/explain?path={quote(os.fsencode(path))}")

    def _ask(self, method: str, path: str) -> Any:  # noqa: ANN401  JSON
        try:
            return json.loads(self._open(method, path))
        except urllib.error.HTTPError as error:
            with error:
                raise Refused(_reason(error)) from error

    def _open(self, method: str, path: str) -> str:
        headers = {"Accept": "application/json"}
        if self.token:
            headers["Authorization"] = f"Bearer {self.token}"
        request = urllib.request.Request(self.url + path, method=method, headers=headers)  # noqa: S310  our own URL
        try:
            with urllib.request.urlopen(request, timeout=TIMEOUT_S) as answer:  # noqa: S310  as above
                return str(answer.read().decode())
        except urllib.error.HTTPError:
            raise
        except OSError as error:
            reason = getattr(error, "reason", error)
            raise NotRunning(f"no agent answers at {self.url} ({reason}): is it running?") from error


def _reason(error: urllib.error.HTTPError) -> str:
    try:
        problem = json.loads(error.read())
    except ValueError:
        return f"{error.code} {error.reason}"
    reasons = problem.get("reasons") or [problem.get("detail") or problem.get("title") or error.reason]
    return "\n".join(map(str, reasons))
