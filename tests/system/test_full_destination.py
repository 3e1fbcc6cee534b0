"""A destination that fills up: what fits passes, what does not waits, with what is verified of it kept."""

import os
from collections.abc import Iterator

import pytest

from tests.mounts.mounts import FaultMount
from tests.system.agents import Agent
from tests.system.outages import MIB, configure, waits_for_space

SIZE_BYTES = 24 * MIB


@pytest.fixture
def mount(agent: Agent) -> Iterator[FaultMount]:
    with FaultMount.at(agent.home / "mount", agent.home / "backing") as mounted:
        yield mounted


def test_a_file_that_runs_out_of_space_waits_lets_smaller_ones_pass_and_goes_on_when_there_is_space(
    agent: Agent, mount: FaultMount
) -> None:
    configure(agent, mount.path, bandwidth="32MiB", workers=1)
    agent.start()
    content = os.urandom(MIB) * (SIZE_BYTES // MIB)
    (agent.source / "large.mxf").write_bytes(content)
    agent.wait_until(lambda: (agent.file("large.mxf") or {}).get("bytes_verified", 0) > 0)
    mount.full(MIB // 2)  # another writer took the rest; no block of the large file fits
    agent.wait_until(lambda: waits_for_space(agent, "large.mxf"))
    (agent.source / "small.mxf").write_bytes(b"small")
    agent.wait_for("small.mxf", "Completed")
    assert waits_for_space(agent, "large.mxf")
    [partial] = [path for path in mount.backing.iterdir() if path.name.endswith(".partial")]
    assert partial.stat().st_size >= 8 * MIB
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
