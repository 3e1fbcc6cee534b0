"""A real agent in a process of its own, on folders of its own, spoken to as a user would."""

import json
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from attrs import define, field

PATIENCE_S = 60.0
ROUTE: dict[str, object] = {
    "name": "mxf",
    "source": "source",
    "destination": "nas",
    "stable": "600ms",
    "scan": "200ms",
    "probe": "200ms",
    "retry_delay": "200ms",
    "low_space": "1MiB",
}


def _toml(value: object) -> str:
    return json.dumps(value)  # strings, numbers, booleans and lists of them read the same in TOML


@define(eq=False)
class Agent:
    """`home` holds agent.toml, source, nas and the state."""

    home: Path
    _process: subprocess.Popen[bytes] | None = field(default=None, init=False)

    def configure(self, *others: Mapping[str, object], **route: object) -> None:
        """Write agent.toml: one route, `route` over the defaults of these tests, and perhaps `others`."""
        lines = [
            "[web]",
            'bind = "127.0.0.1:0"',
            "[log]",
            'format = "json"',
            "[agent]",
            'state_dir = "state"',
        ]
        for each in ({**ROUTE, **route}, *others):
            lines += ["[[route]]", *(f"{key} = {_toml(value)}" for key, value in each.items())]
        (self.home / "agent.toml").write_text("\n".join(lines) + "\n")

    @property
    def source(self) -> Path:
        return self.home / "source"

    @property
    def nas(self) -> Path:
        return self.home / "nas"

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    @property
    def url(self) -> str:
        return (self.home / "state" / "address").read_text()

    def command(self, *words: str) -> list[str]:
        return [sys.executable, "-m", "agent", "-c", str(self.home / "agent.toml"), *words]

    def start(self, *options: str) -> None:
        """Start, and wait until the page answers."""
        address = self.home / "state" / "address"
        address.unlink(missing_ok=True)
        with (self.home / "log").open("ab") as log:
            self._process = subprocess.Popen(
                self.command("run", *options), stderr=log, start_new_session=True
            )
        # It is there a moment before the address is in it.
        self.wait_until(lambda: address.exists() and bool(self.url) and self.status("/livez") == 200)

    def say(self, *words: str) -> subprocess.CompletedProcess[str]:
        """Run another verb to its end."""
        return subprocess.run(
            self.command(*words), capture_output=True, text=True, check=False, timeout=PATIENCE_S
        )

    def signal(self, number: signal.Signals) -> None:
        os.kill(self.pid, number)

    def wait(self, timeout_s: float = PATIENCE_S) -> int:
        """The exit code, once it has ended by itself."""
        assert self._process is not None
        code = self._process.wait(timeout_s)
        self._process = None
        return code

    def stop(self, timeout_s: float = PATIENCE_S) -> int:
        self.signal(signal.SIGTERM)
        return self.wait(timeout_s)

    def end(self) -> None:
        """Whatever state it is in: no process stays behind."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def status(self, path: str) -> int:
        try:
            with urllib.request.urlopen(self.url + path, timeout=PATIENCE_S) as answer:
                return int(answer.status)
        except urllib.error.HTTPError as error:
            with error:
                return error.code
        except OSError:
            return 0

    def get(self, path: str) -> Any:  # noqa: ANN401  JSON
        """The JSON at this path, whatever the status."""
        request = urllib.request.Request(self.url + path, headers={"Accept": "application/json"})
        try:
            with urllib.request.urlopen(request, timeout=PATIENCE_S) as answer:
                return json.load(answer)
        except urllib.error.HTTPError as error:
            with error:
                return json.load(error)

    def file(self, name: str) -> dict[str, Any] | None:
        """The tracked or completed file with this name; None: it is not on the list."""
        for file in self.get("/api/files")["files"]:
            if file["file_path"].endswith(f"/{name}"):
                return dict(file)
        return None

    def is_in(self, name: str, status: str) -> bool:
        file = self.file(name)
        return file is not None and file["status"] == status

    def wait_for(self, name: str, status: str) -> dict[str, Any]:
        self.wait_until(lambda: self.is_in(name, status))
        file = self.file(name)
        assert file is not None
        return file

    def wait_until(self, holds: Callable[[], bool], patience_s: float = PATIENCE_S) -> None:
        """Poll until it holds; fails with the end of the log after `patience_s`."""
        deadline_s = time.monotonic() + patience_s
        while not holds():
            if time.monotonic() > deadline_s:
                raise AssertionError("it never came true; the log ends:\n" + self.log()[-4000:])
            if self._process is not None and self._process.poll() is not None:
                raise AssertionError("the agent has ended; the log ends:\n" + self.log()[-4000:])
            time.sleep(0.02)

    def log(self) -> str:
        return (self.home / "log").read_text()

    def events(self, name: str) -> list[dict[str, Any]]:
        """The log lines with this event."""
        whole, _, _ = self.log().rpartition("\n")  # the last line may be half written
        lines = [json.loads(line) for line in whole.split("\n") if line]
        return [line for line in lines if line["event"] == name]

    def partials(self) -> list[Path]:
        return [path for path in self.nas.rglob("*") if path.name.endswith(".partial")]
