"""Many small files at once: none is lost, and the agent answers all the time."""

import random
from pathlib import Path

from tests.system.agents import Agent
from tests.system.pulse import pulse
from tests.system.test_moving import digests

COUNT = 1000
SMALLEST_BYTES, LARGEST_BYTES = 1 << 10, 16 << 10
MANY_FILES_S = 300.0  # on a busy machine; only a failing test waits this long


def small_files(folder: Path) -> None:
    rng = random.Random(COUNT)
    folder.mkdir()
    for number in range(COUNT):
        size_bytes = rng.randint(SMALLEST_BYTES, LARGEST_BYTES)
        (folder / f"take{number:04}.mxf").write_bytes(rng.randbytes(size_bytes))


def test_1000_small_files_arrive_identical_while_livez_answers(agent: Agent) -> None:
    incoming = agent.home / "incoming"
    small_files(incoming)
    expected = digests(incoming)
    agent.start()
    with pulse(agent) as answers:
        for path in incoming.iterdir():
            path.rename(agent.source / path.name)
        agent.wait_until(lambda: not any(agent.source.iterdir()), MANY_FILES_S)
    assert digests(agent.nas) == expected
    assert agent.partials() == []
    assert {answer.status for answer in answers} == {200}
    assert agent.stop() == 0
