"""For every profile: the files at the end are what the simulator computed, byte for byte."""

import hashlib
from collections.abc import Iterable
from pathlib import Path

import pytest

from agent.model.source_file import ContainerState
from agent.simulate.containers import CONTAINERS
from agent.simulate.content import literal
from agent.simulate.profiles import COPIES, ODD, PROFILES, RECORDERS
from agent.simulate.recording import Edit, Recording, RecordingSpec, TooLarge, TooSmall
from agent.simulate.steps import WriteStep
from tests.simulate.played import RATE_BYTES_S, SIZE_BYTES, a_run, container_state, play

NEVER_COMPLETE = {"fragmented-live", "matroska-live", "ts", "hls", "append"}
# Index and head come early: the container says "closed" while bytes are missing.
TOO_EARLY = {"smb-eof-first", "fallocate", "tail-first"}
BY_CHANCE = {"nfs-writeback", "rename-over"}  # any order; and the older file was whole
SAYS_OPEN = {
    *("mxf-op1a", "mxf-d10", "mxf-rdd9", "mxf-part", "mxf-as11", "mxf-avid", "mxf-avid-growing"),
    *("mxf-single-pass", "mxf-duration", "mov", "mp4", "mp4-reserved", "wav", "bwf", "rf64", "avi"),
}


@pytest.mark.parametrize("profile", PROFILES)
def test_the_files_at_the_end_are_as_the_simulator_expects(profile: str, tmp_path: Path) -> None:
    played = play(tmp_path, a_run(profile))
    files = played.files()
    assert {path: hashlib.sha256(file.read_bytes()).hexdigest() for path, file in files.items()} == (
        played.expected
    )
    assert {path: file.stat().st_size for path, file in files.items()} == played.sizes


@pytest.mark.parametrize("profile", PROFILES)
def test_the_same_seed_does_the_same_steps_and_another_writes_other_bytes(profile: str) -> None:
    assert described(a_run(profile).steps()) == described(a_run(profile).steps())
    assert described(a_run(profile).steps()) != described(a_run(profile, seed=8).steps())


def described(steps: Iterable[WriteStep]) -> list[object]:
    return [(type(s), s.at_s, s.path, getattr(getattr(s, "content", None), "pieces", None)) for s in steps]


@pytest.mark.parametrize("profile", PROFILES)
def test_steps_come_in_the_order_of_time(profile: str) -> None:
    times = [step.at_s for step in a_run(profile, count=3, every_s=0.5).steps()]
    assert times == sorted(times)


@pytest.mark.parametrize("name", [profile.name for profile in RECORDERS])
def test_a_recorder_ends_with_the_file_its_container_calls_finished(name: str, tmp_path: Path) -> None:
    run = a_run(name)
    (file,) = run.files()
    finished = file.recording.finished()
    assert list(play(tmp_path, run).expected.values()) == [finished.sha256()]


@pytest.mark.parametrize("name", [profile.name for profile in RECORDERS])
def test_a_container_is_closed_at_the_end_and_never_before(name: str, tmp_path: Path) -> None:
    states: list[ContainerState] = []

    def judge_file(step: WriteStep) -> None:
        path = tmp_path / step.path
        if path.exists() and 0 < path.stat().st_size < 0.9 * SIZE_BYTES:
            states.append(container_state(path))

    run = a_run(name)
    (file,) = play(tmp_path, run, judge_file).files().values()
    assert container_state(file) == (
        ContainerState.UNKNOWN if name in NEVER_COMPLETE else ContainerState.CLOSED
    )
    assert ContainerState.CLOSED not in states
    if run.container in SAYS_OPEN:
        assert set(states) == {ContainerState.OPEN}


@pytest.mark.parametrize("name", [profile.name for profile in COPIES])
def test_a_copy_is_closed_when_whole_and_only_an_index_in_front_says_so_before(
    name: str, tmp_path: Path
) -> None:
    states: list[ContainerState] = []

    def judge_file(step: WriteStep) -> None:
        path = tmp_path / step.path
        if path.exists() and path.stat().st_size:
            states.append(container_state(path))

    (file,) = play(tmp_path, a_run(name), judge_file).files().values()
    assert container_state(file) is ContainerState.CLOSED
    early = ContainerState.CLOSED in states[: len(states) // 2]
    assert early is (name in TOO_EARLY) or name in BY_CHANCE


@pytest.mark.parametrize("container", CONTAINERS)
@pytest.mark.parametrize("size_bytes", [4_300_000, 5_000_001, 33_333_333])
def test_a_container_fills_the_size_that_is_asked_for(container: str, size_bytes: int) -> None:
    recording = CONTAINERS[container](RecordingSpec("7/1", size_bytes, RATE_BYTES_S))
    assert 0 <= size_bytes - recording.finished().size_bytes < 188


@pytest.mark.parametrize("container", CONTAINERS)
def test_a_container_says_how_many_bytes_it_needs(container: str, tmp_path: Path) -> None:
    if container == "raw":
        return
    with pytest.raises(TooSmall) as refused:
        CONTAINERS[container](RecordingSpec("7/1", 100, RATE_BYTES_S))
    recording = CONTAINERS[container](RecordingSpec("7/1", refused.value.least_bytes, RATE_BYTES_S))
    path = tmp_path / "least"
    path.write_bytes(recording.finished().read())
    assert container_state(path) in {ContainerState.CLOSED, ContainerState.UNKNOWN}


@pytest.mark.parametrize(
    "container", ["wav", "bwf", "avi", "rf64", "mxf-rdd9", "mov-robust", "mkv-backpatching", "ts"]
)
def test_a_container_of_ten_gigabytes_takes_little_memory(container: str) -> None:
    spec = RecordingSpec("7/1", 10_000_000_000, 50_000_000)
    if container in {"wav", "bwf", "avi"}:
        with pytest.raises(TooLarge):
            CONTAINERS[container](spec)
        return
    content = CONTAINERS[container](spec).finished()
    assert content.size_bytes > 9_999_999_000
    assert len(content.pieces) < 20_000


def test_an_edit_ahead_of_the_tail_is_overwritten_by_what_follows() -> None:
    recording = Recording(
        literal(b"0123456789"), (Edit(4, 2, literal(b"abcd")), Edit(10, 9, literal(b"xyz")))
    )
    assert recording.finished().read() == b"01ab45678xyz"


def test_every_profile_has_its_own_name_and_every_container_a_recorder() -> None:
    assert len(PROFILES) == len(RECORDERS) + len(COPIES) + len(ODD)
    assert {profile.container for profile in RECORDERS} == set(CONTAINERS)
