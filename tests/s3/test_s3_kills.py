"""kill -9 around every request of a delivery into a bucket: nothing is lost, nothing of ours stays behind."""

import json
import os
import signal
import subprocess

import pytest

from tests.s3.proxy import Effect, Proxy
from tests.s3.servers import PART_BYTES, TestBucket
from tests.system.agents import TIMEOUT_S, Agent

CONTENT = os.urandom(2 * PART_BYTES + 1)
IN_FLIGHT = 4
MOMENTS: tuple[Effect, ...] = ("call", "call after")
# What a delivery asks for, and how often before it is struck.
STEPS = [
    ("list_multipart_uploads", 0),
    ("list_multipart_uploads", 1),
    ("create_multipart_upload", 0),
    ("upload_part", 0),
    ("upload_part", 2),
    ("list_parts", 1),
    ("complete_multipart_upload", 0),
    ("get_object", 0),
]
# Requests that are not struck: those of the probe and of the search for orphans, and look-ups of names.
NOT_STRUCK = {"put_object", "delete_object", "list_objects_v2", "head_object"}


def configure_agent(agent: Agent, bucket: TestBucket, **route: object) -> None:
    access = bucket.server.access()
    agent.configure(**{"destination": bucket.root, **route})
    keys = {
        "endpoint_url": access.endpoint_url,
        "region": access.region,
        "path_style": access.path_style,
        "part_size": access.part_size_bytes,
    }
    with (agent.home / "agent.toml").open("a") as file:
        file.write("[s3]\n" + "".join(f"{key} = {json.dumps(value)}\n" for key, value in keys.items()))


def kill_at(
    agent: Agent,
    proxy: Proxy,
    operation: str,
    skip: int,
    moment: Effect = "call",
    timeout_s: float = TIMEOUT_S,
) -> None:
    """Wait until the agent was killed once, at this request.

    Raises:
        TimeoutExpired: the request did not come.
    """
    trouble = proxy.add(operation, moment, skip=skip, action=lambda: agent.signal(signal.SIGKILL))
    assert agent.wait(timeout_s) == -signal.SIGKILL
    assert trouble.struck == 1


def test_a_kill_at_a_request_that_never_comes_fails(agent: Agent, way: tuple[Proxy, TestBucket]) -> None:
    proxy, bucket = way
    configure_agent(agent, bucket)
    agent.start()
    with pytest.raises(subprocess.TimeoutExpired):
        kill_at(agent, proxy, "upload_part", 0, timeout_s=1.0)


def test_the_requests_of_a_delivery_are_the_ones_that_are_killed_at(
    agent: Agent, way: tuple[Proxy, TestBucket]
) -> None:
    proxy, bucket = way
    configure_agent(agent, bucket)
    (agent.source / "clip.mxf").write_bytes(CONTENT)
    bucket.begin("clip.mxf")
    proxy.asked.clear()
    agent.start()
    agent.wait_for("clip.mxf", "Completed")
    asked = {each.operation for each in proxy.asked}
    assert asked - NOT_STRUCK == {operation for operation, _ in STEPS}
    assert [step for step in STEPS if proxy.count(step[0]) <= step[1]] == []


@pytest.mark.by_turns(("operation", "skip"), STEPS, "moment", MOMENTS)
def test_a_kill_at_any_request_loses_nothing_and_leaves_nothing(
    agent: Agent, way: tuple[Proxy, TestBucket], operation: str, skip: int, moment: Effect
) -> None:
    proxy, bucket = way
    configure_agent(agent, bucket)
    clip = agent.source / "clip.mxf"
    clip.write_bytes(CONTENT)
    foreign = bucket.begin("clip.mxf")
    agent.start()
    kill_at(agent, proxy, operation, skip, moment)
    assert clip.read_bytes() == CONTENT
    agent.start()
    agent.wait_for("clip.mxf", "Completed")
    assert bucket.objects() == {"clip.mxf": CONTENT}
    assert not clip.exists()
    agent.wait_until(lambda: [upload_id for _, upload_id in bucket.uploads()] == [foreign])
    assert proxy.sent_bytes() <= len(CONTENT) + IN_FLIGHT * PART_BYTES


def test_after_a_kill_only_the_parts_in_flight_are_sent_again(
    agent: Agent, way: tuple[Proxy, TestBucket]
) -> None:
    proxy, bucket = way
    parts = int(os.environ.get("S3_PARTS", "16"))
    content = os.urandom(PART_BYTES) * parts
    configure_agent(agent, bucket)
    (agent.source / "clip.mxf").write_bytes(content)
    agent.start()
    kill_at(agent, proxy, "upload_part", parts // 2)
    agent.start()
    agent.wait_for("clip.mxf", "Completed")
    assert agent.run_command("verify").returncode == 0
    assert agent.stop() == 0
    assert bucket.objects() == {"clip.mxf": content}
    assert bucket.uploads() == []
    sent_again = proxy.sent_bytes() - len(content)
    assert 0 <= sent_again <= IN_FLIGHT * PART_BYTES
