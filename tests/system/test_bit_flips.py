"""Bits that the storage alters behind the cache are found: verification reads the storage (S3, S5)."""

import os

from tests.mounts.mounts import FaultMount
from tests.system.agents import MIB, Agent
from tests.system.outages import configure, metric

BLOCK = 3
OFFSET = BLOCK * MIB + 12345


def test_a_bit_that_flips_on_the_way_is_found_behind_the_cache_and_repaired(
    agent: Agent, mount: FaultMount
) -> None:
    configure(agent, mount.path)
    agent.start()
    mount.flip("*", OFFSET)
    content = os.urandom(5 * MIB + 17)
    (agent.source / "a.mxf").write_bytes(content)
    done = agent.wait_for("a.mxf", "Completed")
    assert (mount.backing / "a.mxf").read_bytes() == content
    assert done["verified_level"] == "read_back"
    assert metric(agent, "verify_failures_total", route="mxf") == 1
    assert not (agent.source / "a.mxf").exists()
    assert agent.stop(5) == 0


def test_a_bit_that_flips_every_time_costs_the_file_its_attempts_and_never_its_source(
    agent: Agent, mount: FaultMount
) -> None:
    configure(agent, mount.path, max_attempts=2)
    agent.start()
    mount.flip("*.partial", OFFSET, times=None)
    content = os.urandom(5 * MIB)
    (agent.source / "a.mxf").write_bytes(content)
    (agent.source / "small.mxf").write_bytes(b"small")
    failed = agent.wait_for("a.mxf", "Failed")
    assert f"block {BLOCK} " in failed["error_message"]
    assert failed["retry_count"] == 2
    agent.wait_for("small.mxf", "Completed")
    agent.wait_until(lambda: [path.name for path in mount.backing.iterdir()] == ["small.mxf"])
    assert (agent.source / "a.mxf").read_bytes() == content
    assert metric(agent, "verify_failures_total", route="mxf") == 2
    assert agent.stop(5) == 0
