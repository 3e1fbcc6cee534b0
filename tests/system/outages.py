"""Causes outages on a real mount, and checks how the agent reports them."""

import errno
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from attrs import frozen

from tests.mounts.mounts import FaultMount, LoopMount
from tests.system.agents import Agent

# For tests of hung mounts. With shorter timeouts a busy machine would look like a dead mount.
SHORT_TIMEOUTS: Mapping[str, object] = {"probe_timeout": "2s", "stall_timeout": "2s"}
MARKER = "here"


def configure(agent: Agent, destination: Path, healthy: str = "healthy-nas", /, **route: object) -> None:
    """The route `mxf` leads to a destination that may fail, the route `healthy` to one that does not."""
    for folder in ("healthy-source", healthy):
        (agent.home / folder).mkdir(exist_ok=True)
    other = {
        "name": "healthy",
        "source": "healthy-source",
        "destination": healthy,
        "stable": "300ms",
        "scan": "200ms",
        "low_space": "1MiB",
    }
    agent.configure(other, **{"destination": str(destination), "stable": "300ms", **route})


def waits_for_space(agent: Agent, name: str) -> bool:
    file = agent.file(name)
    reason = str(agent.get(f"/api/explain?path={name}"))
    return (
        file is not None
        and file["status"] in {"Paused", "InQueue"}
        and ("not fit" in reason or "full" in reason)
    )


@frozen
class InjectedOutage:
    """Makes the destination at `path` unusable, and usable again."""

    reason: str
    path: Path
    mount: FaultMount | LoopMount

    def begin(self) -> None:
        match self.reason, self.mount:
            case "read_only", LoopMount():
                self.mount.remount(read_only=True)
            case "unmounted", _:
                self.mount.unmount()
            case "marker_missing", _:
                (self.path / MARKER).unlink()
            case reason, FaultMount():
                self._begin_fault(reason, self.mount)

    def end(self) -> None:
        match self.reason, self.mount:
            case "read_only", LoopMount():
                self.mount.remount(read_only=False)
            case "unmounted" | "unreachable", FaultMount():
                self.mount.remount()
            case "marker_missing", _:
                (self.path / MARKER).touch()
            case _, FaultMount():
                self.mount.clear()

    @staticmethod
    def _begin_fault(reason: str, mount: FaultMount) -> None:
        match reason:
            case "unreachable":
                mount.vanish()
            case "hung":
                mount.hang()
            case "full":  # a quota: statfs still reports free space
                mount.error("write", "create", "mkdir", errno=errno.EDQUOT)
            case "denied":
                mount.error("access", "create", "mkdir", errno=errno.EACCES)
            case "io_error":
                mount.error("write", "fsync", "create", errno=errno.EIO)
            case other:
                raise ValueError(other)


@contextmanager
def mounted_destination(home: Path, kind: str) -> Iterator[tuple[Path, FaultMount | LoopMount]]:
    path = home / "mount"
    if kind == "ext4":
        with LoopMount.at(path, home / "image", 32) as disk:
            yield path, disk
    else:
        with FaultMount.at(path, home / "backing") as share:
            yield path, share


def outage(agent: Agent, route: str = "mxf") -> dict[str, Any] | None:
    """As /api/routes shows it: reason, since, detail."""
    for each in agent.get("/api/routes")["routes"]:
        if each["name"] == route:
            found: dict[str, Any] | None = each["outage"]
            return found
    return None


def reason(agent: Agent) -> str | None:
    shown = outage(agent)
    return None if shown is None else str(shown["reason"])


def metric(agent: Agent, name: str, **labels: str) -> float | None:
    """The value of the sample that has these labels."""
    for line in agent.text("/metrics").splitlines():
        head, _, value = line.rpartition(" ")
        if head.startswith(f"transfer_agent_{name}{{") and all(
            f'{k}="{v}"' in head for k, v in labels.items()
        ):
            return float(value)
    return None


def check_shown_everywhere(agent: Agent, expected: str, began_at: datetime) -> None:
    """The route `mxf` has an outage for this reason, and the route `healthy` has none."""
    shown = outage(agent)
    assert shown is not None
    assert shown["reason"] == expected
    assert shown["detail"]
    since = datetime.fromisoformat(shown["since"])
    assert began_at <= since <= datetime.now(UTC)
    [failing, healthy] = agent.text("/readyz?verbose").splitlines()[1:]
    assert failing.startswith(f"mxf: {expected}: ")
    assert shown["since"] in failing
    assert healthy == "healthy: ok"
    assert agent.status("/readyz") == agent.status("/api/health") == 503
    assert agent.status("/livez") == 200
    storage = agent.get("/api/storage")
    assert agent.status("/api/storage") == 503
    assert (storage["status"], storage["destinationFreeGB"]) == ("ERROR", -1)
    assert expected in storage["message"]
    assert metric(agent, "destination_up", route="mxf") == 0
    assert metric(agent, "destination_outage", route="mxf", reason=expected) == 1
    assert metric(agent, "destination_up", route="healthy") == 1
    agent.wait_until(lambda: any(line["reason"] == expected for line in agent.events("outage")))
    [line, *_] = [line for line in agent.events("outage") if line["reason"] == expected]
    assert line["level"] == "warning"
    assert line["destination"].endswith("/mount")


def check_over_everywhere(agent: Agent, ended: str) -> None:
    assert outage(agent) is None
    assert agent.status("/readyz") == agent.status("/api/health") == agent.status("/api/storage") == 200
    assert metric(agent, "destination_up", route="mxf") == 1
    assert not metric(agent, "destination_outage", route="mxf", reason=ended)
    agent.wait_until(lambda: bool(agent.events("outage over")))
