"""Growing files by every writer profile of the simulator: they arrive byte-identical to their final state."""

import pytest

from agent.simulate.profiles import PROFILES
from tests.system.agents import Agent
from tests.system.writers import GROWING, Writers, copied, has_arrived_in_part, quick, wait_for_all

AT_ONCE = 16
# Profiles whose size does not grow steadily, and those whose name is excluded until the end.
NOT_FOLLOWED = {
    "hls",
    "rsync",
    "rename-at-end",
    "rename-over",
    "ftp-allocate",
    "smb-eof-first",
    "fallocate",
    "interleaved",
    "tail-first",
    "nfs-writeback",
    "mmap",
    "xdcam-groupM01",
}
# Their first version is copied while it grows; the second one may be too short.
BEGIN_AGAIN = {"restart-new", "shrink"}
# Profiles that do not rewrite earlier blocks when they close.
NOT_REWRITTEN = {
    "mxf-single-pass",
    "mxf-headroom",
    "fragmented",
    "fragmented-live",
    "matroska-live",
    "ts",
    "append",
    "cp",
    "cp-preserve",
    "rsync-inplace",
    "rsync-preallocate",
    "ftp",
    "ftp-resume",
    "times-while-writing",
    "crash",
    "hole",
    "restart",
    "patch-live",
}


def batches() -> list[list[str]]:
    """All profiles, those of each kind spread over all batches."""
    names = list(PROFILES)
    count = -(-len(names) // AT_ONCE)
    return [names[first::count] for first in range(count)]


def grows(path: str) -> bool:
    return stem(path) not in NOT_FOLLOWED


def stem(path: str) -> str:
    """The profile of a file; the files of a group share one."""
    name = path.partition(".")[0]
    return name.partition("_")[0] if name not in PROFILES else name


def test_there_are_enough_profiles_to_prove_anything() -> None:
    assert len(PROFILES) >= 60
    assert len(PROFILES) - len(NOT_FOLLOWED) >= 50
    assert NOT_FOLLOWED - {"xdcam-groupM01"} | NOT_REWRITTEN <= set(PROFILES)


@pytest.mark.parametrize("profiles", batches(), ids=lambda profiles: profiles[0])
def test_every_profile_arrives_byte_identical_and_growing_files_are_copied_while_they_grow(
    agent: Agent, profiles: list[str]
) -> None:
    agent.configure(**GROWING | {"workers": AT_ONCE})
    agent.start()
    runs = [quick(PROFILES[name]) for name in profiles]

    def is_followed(path: str) -> bool:
        return not grows(path) or has_arrived_in_part(agent, path)

    with Writers.at_work(agent.source, runs, is_followed) as writers:
        expected = writers.finish()
        assert len(expected) + len(writers.crashed) >= len(profiles)
        wait_for_all(agent, expected)
    for path in writers.crashed:
        agent.wait_for(path, "Held")
        assert not (agent.nas / path).exists()
    assert {path.name for path in agent.source.iterdir()} == writers.crashed
    copies = {path: copied(agent, path) for path in expected if grows(path) and stem(path) not in BEGIN_AGAIN}
    assert [path for path, copy in copies.items() if not copy["resumed_bytes"] + copy["patched_blocks"]] == []
    assert {stem(path) for path, copy in copies.items() if not copy["patched_blocks"]} <= NOT_REWRITTEN
    assert agent.stop() == 0
