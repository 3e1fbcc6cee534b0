"""A destination that fills up: small files are delivered, the large one waits with its verified part."""

import pytest

from tests.mounts.mounts import FaultMount
from tests.system.agents import MIB, Agent
from tests.system.outages import configure, reason, waits_for_space


def test_a_file_that_runs_out_of_space_waits_lets_smaller_ones_pass_and_goes_on_when_there_is_space(
    agent: Agent, mount: FaultMount
) -> None:
    configure(agent, mount.path, bandwidth="32MiB", workers=1)
    agent.start()
    content = agent.copy_large_file()
    agent.wait_until(lambda: (agent.file("large.mxf") or {})["bytes_verified"] >= 16 * MIB)
    mount.full(MIB // 2)  # another writer took the rest; no block of the large file fits
    agent.wait_until(lambda: waits_for_space(agent, "large.mxf"))
    (agent.source / "small.mxf").write_bytes(b"small")
    agent.wait_for("small.mxf", "Completed")
    assert waits_for_space(agent, "large.mxf")
    [partial] = [path for path in mount.backing.iterdir() if path.name.endswith(".partial")]
    assert partial.stat().st_size >= 8 * MIB  # some blocks more than those of the others' room
    mount.full(None)
    done = agent.wait_for("large.mxf", "Completed")
    assert done["retry_count"] == 0
    assert [line["resumed_bytes"] > 0 for line in agent.events("copied") if line["file"] == "large.mxf"] == [
        True
    ]
    assert (mount.backing / "large.mxf").read_bytes() == content
    assert sorted(path.name for path in mount.backing.iterdir()) == ["large.mxf", "small.mxf"]
    assert agent.stop(5) == 0


def test_a_file_larger_than_the_free_space_waits_from_the_start(agent: Agent, mount: FaultMount) -> None:
    mount.full(8 * MIB)
    configure(agent, mount.path)
    agent.start()
    (agent.source / "large.mxf").write_bytes(bytes(9 * MIB))
    agent.wait_until(lambda: waits_for_space(agent, "large.mxf"))
    (agent.source / "small.mxf").write_bytes(b"small")
    agent.wait_for("small.mxf", "Completed")
    assert [path.name for path in mount.backing.iterdir()] == ["small.mxf"]
    mount.full(None)
    agent.wait_for("large.mxf", "Completed")
    assert agent.stop(5) == 0


@pytest.mark.parametrize("left_bytes", [MIB // 2, 0])
def test_a_quota_that_the_file_system_does_not_show_is_full_and_what_fits_passes(
    agent: Agent, mount: FaultMount, left_bytes: int
) -> None:
    """Not even a probe can be written where our own partial has used up the quota."""
    configure(agent, mount.path, bandwidth="32MiB", workers=1, retry_delay="100ms", max_attempts=1)
    agent.start()
    content = agent.copy_large_file()
    mount.full(left_bytes, is_quota=True)
    agent.wait_until(lambda: reason(agent) == "full")
    agent.wait_until(lambda: waits_for_space(agent, "large.mxf"))
    (agent.source / "small.mxf").write_bytes(b"small")
    agent.wait_for("small.mxf", "Completed")
    assert agent.get("/api/routes")["routes"][0]["outage"]["reason"] == "full"
    mount.full(None)
    assert agent.stop(5) == 0
    agent.start()  # which tries again at once, not after a minute
    done = agent.wait_for("large.mxf", "Completed")
    assert done["retry_count"] == 0
    assert (mount.backing / "large.mxf").read_bytes() == content
    assert agent.stop(5) == 0
