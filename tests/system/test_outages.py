"""Every outage of the contract on real mounts: it is detected, shown, waited for, and ends by itself (S7)."""

import errno
from collections.abc import Mapping
from datetime import UTC, datetime

import pytest

from tests.mounts.mounts import FaultMount
from tests.system.agents import Agent
from tests.system.outages import (
    MARKER,
    SHORT_TIMEOUTS,
    InjectedOutage,
    check_over_everywhere,
    check_shown_everywhere,
    configure,
    mounted_destination,
    reason,
)

SPECIAL: dict[str, Mapping[str, object]] = {"hung": SHORT_TIMEOUTS, "marker_missing": {"marker": MARKER}}


@pytest.mark.parametrize(
    ("expected", "kind"),
    [
        ("unmounted", "fuse"),
        ("marker_missing", "fuse"),
        ("unreachable", "fuse"),
        ("hung", "fuse"),
        ("full", "fuse"),
        ("read_only", "ext4"),
        ("denied", "fuse"),
        ("io_error", "fuse"),
    ],
)
def test_an_outage_pauses_its_destination_alone_and_ends_by_itself(
    agent: Agent, expected: str, kind: str
) -> None:
    with mounted_destination(agent.home, kind) as (path, mount):
        (path / MARKER).touch()
        configure(agent, path, **SPECIAL.get(expected, {}))
        agent.start()
        (agent.source / "before.mxf").write_bytes(b"before")
        agent.wait_for("before.mxf", "Completed")
        injected = InjectedOutage(expected, path, mount)
        began_at = datetime.now(UTC)
        injected.begin()
        (agent.source / "during.mxf").write_bytes(b"during")
        (agent.home / "healthy-source" / "other.mxf").write_bytes(b"other")
        agent.wait_until(lambda: reason(agent) == expected)
        agent.wait_for("during.mxf", "Paused")
        check_shown_everywhere(agent, expected, began_at)
        agent.wait_for("other.mxf", "Completed")
        assert (agent.source / "during.mxf").exists()
        if expected == "unmounted":
            assert list(path.iterdir()) == []
        injected.end()
        done = agent.wait_for("during.mxf", "Completed")
        assert done["retry_count"] == 0
        agent.wait_until(lambda: reason(agent) is None)
        check_over_everywhere(agent, expected)
        assert (path / "during.mxf").read_bytes() == b"during"
        assert {item.name for item in path.iterdir()} - {"lost+found"} == {MARKER, "before.mxf", "during.mxf"}
        assert agent.events("attempt failed") == []
        assert agent.stop(5) == 0


def test_a_destination_that_is_not_mounted_at_the_very_first_start_is_not_filled(
    agent: Agent, mount: FaultMount
) -> None:
    mount.unmount()
    configure(agent, mount.path, mounted="yes")
    agent.start()
    (agent.source / "clip.mxf").write_bytes(b"clip")
    agent.wait_for("clip.mxf", "Paused")
    assert reason(agent) == "unmounted"
    assert list(mount.path.iterdir()) == []
    mount.remount()
    agent.wait_for("clip.mxf", "Completed")
    assert (mount.backing / "clip.mxf").read_bytes() == b"clip"
    assert agent.stop(5) == 0


@pytest.mark.parametrize(("operation", "number"), [("mkdir", errno.EACCES), ("create", errno.ENOENT)])
def test_what_only_one_folder_of_the_destination_refuses_is_no_outage_and_costs_its_file_attempts(
    agent: Agent, mount: FaultMount, operation: str, number: int
) -> None:
    configure(agent, mount.path, workers=2, max_attempts=2, bandwidth="16MiB", retry_delay="100ms")
    mount.error(operation, errno=number, glob="/refused*")
    agent.start()
    content = agent.copy_large_file()
    (agent.source / "refused").mkdir()
    (agent.source / "refused" / "clip.mxf").write_bytes(b"clip")
    failed = agent.wait_for("refused/clip.mxf", "Failed")
    assert failed["retry_count"] == 2
    agent.wait_for("large.mxf", "Completed")
    assert (mount.backing / "large.mxf").read_bytes() == content
    assert agent.events("outage") == []
    assert [line["event"] for line in agent.events("interrupted") if line["file"] == "large.mxf"] == []
    mount.clear()
    assert agent.run_command("retry", "--all").returncode == 0
    agent.wait_for("refused/clip.mxf", "Completed")
    assert agent.stop(5) == 0
