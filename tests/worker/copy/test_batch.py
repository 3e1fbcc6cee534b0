"""Many small files in one request: each with the promises of one file alone."""

import errno
import os
from collections.abc import Callable, Iterator
from itertools import chain
from pathlib import Path

import pytest
import xxhash

from agent.actors.stability_tracker.hold import finish_rule
from agent.fs import platform, safe_open
from agent.fs.publisher import Publisher
from agent.model.errors import Fault, FaultKind, OutageReason, Side
from agent.model.source_file import ContainerState, WriterState
from agent.protocol.replies import Copied, NotBatchable, Published, SmallFileResult, SourceRemoved, Unfinished
from agent.protocol.requests import CopySmallFiles, PublishFiles
from agent.worker.copy.batch import copy_small_files
from agent.worker.copy.io_side import IoSideTracker
from agent.worker.copy.publish import publish_files
from agent.worker.destinations.base import Destination
from agent.worker.source.remove import remove_sources
from tests.samples import ROUTE
from tests.worker.copy.faulty import FaultyDestination, Script, failing
from tests.worker.copy.folders import Ground

NAMES = ("a.mxf", "day/b.mxf", "day/card/c.mxf", "d.mxf")
FINISHED = finish_rule(ROUTE, was_closed=False, must_be_closed=False)
CONTENTS = {name: name.encode() * 100 for name in NAMES}


@pytest.fixture(autouse=True, params=[1, 4], ids=["one by one", "side by side"])
def at_once(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """As on a disk of our own, and as on a share."""
    monkeypatch.setattr(platform, "calls_at_once", lambda _: request.param)


@pytest.fixture
def ground(tmp_path: Path) -> Ground:
    ground = Ground.below(tmp_path)
    for name, content in CONTENTS.items():
        (ground.source / name).parent.mkdir(parents=True, exist_ok=True)
        (ground.source / name).write_bytes(content)
    return ground


@pytest.fixture
def destination(ground: Ground) -> Iterator[Destination]:
    with ground.destination() as destination:
        yield destination


def hidden(name: str) -> str:
    folder, slash, last = name.rpartition("/")
    return f"{folder}{slash}.{last}.0123456789abcdef.partial"


def copies(ground: Ground, **options: object) -> CopySmallFiles:
    return CopySmallFiles(
        tuple(ground.copy(name, partial=hidden(name), **options) for name in NAMES)  # type: ignore[arg-type]
    )


def publications(ground: Ground) -> PublishFiles:
    files = [ground.publish(CONTENTS[name], name, partial=hidden(name)).files for name in NAMES]
    return PublishFiles(ground.place, "rename", tuple(chain.from_iterable(files)))


def copied(
    ground: Ground, destination: Destination, heartbeat: Callable[[], None] = lambda: None, **options: object
) -> dict[str, SmallFileResult]:
    outcomes = copy_small_files(copies(ground, **options), destination, heartbeat, IoSideTracker())
    return dict(zip(NAMES, outcomes, strict=True))


def fault_of(outcome: object) -> FaultKind:
    assert isinstance(outcome, Fault)
    return outcome.kind


def all_but(outcomes: dict[str, SmallFileResult], name: str) -> bool:
    return all(isinstance(outcome, Copied) for other, outcome in outcomes.items() if other != name)


# Copying


def test_each_file_is_verified_in_its_partial_and_nowhere_else(
    ground: Ground, destination: Destination
) -> None:
    outcomes = copied(ground, destination)
    for name, outcome in outcomes.items():
        assert isinstance(outcome, Copied)
        assert outcome.digest == xxhash.xxh3_128_digest(CONTENTS[name])
        assert (outcome.read_bytes, outcome.resumed_bytes, outcome.repaired_blocks) == (
            len(CONTENTS[name]),
            0,
            0,
        )
        assert outcome.level in ("read_back", "read_back_cached")
        partial, source = ground.nas / hidden(name), ground.source / name
        assert partial.stat().st_mtime_ns == source.stat().st_mtime_ns
    assert ground.arrived() == {hidden(name): content for name, content in CONTENTS.items()}


def test_the_level_is_the_one_that_was_asked_for(ground: Ground, destination: Destination) -> None:
    outcomes = copied(ground, destination, verify="hash")
    assert all(isinstance(outcome, Copied) and outcome.level == "hash" for outcome in outcomes.values())


@pytest.mark.parametrize("content", [CONTENTS["d.mxf"], b"other"])
def test_a_file_whose_name_is_taken_is_not_batchable_and_nothing_is_done_for_it(
    ground: Ground, destination: Destination, content: bytes
) -> None:
    (ground.nas / "d.mxf").write_bytes(content)
    outcomes = copied(ground, destination)
    assert outcomes["d.mxf"] == NotBatchable()
    assert all_but(outcomes, "d.mxf")
    assert not (ground.nas / hidden("d.mxf")).exists()
    assert (ground.nas / "d.mxf").read_bytes() == content


def test_a_file_whose_partials_name_something_else_has_is_not_batchable(
    ground: Ground, destination: Destination
) -> None:
    (ground.nas / hidden("d.mxf")).mkdir()
    outcomes = copied(ground, destination)
    assert outcomes["d.mxf"] == NotBatchable()
    assert all_but(outcomes, "d.mxf")
    assert (ground.nas / hidden("d.mxf")).is_dir()


def test_files_that_nobody_examined_are_copied_if_they_are_finished(
    ground: Ground, destination: Destination
) -> None:
    assert all(
        isinstance(each, Copied) for each in copied(ground, destination, finish_rule=FINISHED).values()
    )


def test_of_an_unfinished_one_nothing_is_written_and_the_evidence_says_why(
    ground: Ground, destination: Destination
) -> None:
    (ground.source / "d.mxf").write_bytes(b"RIFF" + bytes(4) + b"WAVE" + bytes(100))
    with (ground.source / "a.mxf").open("ab"):
        outcomes = copied(ground, destination, finish_rule=FINISHED)
    written, unclosed = outcomes.pop("a.mxf"), outcomes.pop("d.mxf")
    assert isinstance(written, Unfinished)
    assert written.evidence is not None
    assert written.evidence.writer is WriterState.OPEN
    assert isinstance(unclosed, Unfinished)
    assert unclosed.evidence is not None
    assert unclosed.evidence.container is ContainerState.OPEN
    assert all(isinstance(each, Copied) for each in outcomes.values())
    assert ground.arrived().keys() == {hidden("day/b.mxf"), hidden("day/card/c.mxf")}


def test_one_that_nobody_examined_and_that_has_changed_or_gone_is_not_at_fault(
    ground: Ground, destination: Destination
) -> None:
    request = copies(ground, finish_rule=FINISHED)
    (ground.source / "a.mxf").write_bytes(b"another take")
    (ground.source / "d.mxf").unlink()
    outcomes = copy_small_files(request, destination, lambda: None, IoSideTracker())
    assert outcomes[0] == outcomes[3] == Unfinished(None)
    assert all(isinstance(each, Copied) for each in outcomes[1:3])


def test_if_the_writers_cannot_be_looked_for_the_source_is_at_fault(
    ground: Ground, destination: Destination, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(platform, "open_writers", failing(errno.EIO))
    with pytest.raises(Fault) as fault:
        copied(ground, destination, finish_rule=FINISHED)
    assert fault.value.kind is FaultKind.SOURCE_OUTAGE


def test_one_that_has_changed_or_gone_has_a_fault_of_its_own(
    ground: Ground, destination: Destination
) -> None:
    request = copies(ground)
    (ground.source / "a.mxf").write_bytes(b"another take")
    (ground.source / "d.mxf").unlink()
    outcomes = dict(
        zip(NAMES, copy_small_files(request, destination, lambda: None, IoSideTracker()), strict=True)
    )
    assert fault_of(outcomes["a.mxf"]) is FaultKind.SOURCE_CHANGED
    assert fault_of(outcomes["d.mxf"]) is FaultKind.SOURCE_GONE
    assert isinstance(outcomes["day/b.mxf"], Copied)


def test_one_that_is_written_to_meanwhile_is_not_taken_for_copied(
    ground: Ground, destination: Destination
) -> None:
    def write_more() -> None:
        with (ground.source / "a.mxf").open("ab") as file:
            file.write(b"more")

    outcomes = copied(ground, destination, heartbeat=write_more)
    assert fault_of(outcomes["a.mxf"]) is FaultKind.SOURCE_CHANGED
    assert all_but(outcomes, "a.mxf")


def test_what_arrives_altered_once_is_written_again(ground: Ground, destination: Destination) -> None:
    outcomes = copied(ground, FaultyDestination(destination, Script(spoils={0: 1})))
    repaired = [
        outcome for outcome in outcomes.values() if isinstance(outcome, Copied) and outcome.repaired_blocks
    ]
    assert len(repaired) == 1
    assert ground.arrived() == {hidden(name): content for name, content in CONTENTS.items()}


def test_what_arrives_altered_again_and_again_is_corrupt(ground: Ground, destination: Destination) -> None:
    outcomes = copied(ground, FaultyDestination(destination, Script(spoils={0: 100})))
    assert {fault_of(outcome) for outcome in outcomes.values()} == {FaultKind.CORRUPT}


def test_what_is_too_short_is_corrupt(ground: Ground, destination: Destination) -> None:
    outcomes = copied(ground, FaultyDestination(destination, Script(lost_bytes=1)), verify="size")
    assert {fault_of(outcome) for outcome in outcomes.values()} == {FaultKind.CORRUPT}


@pytest.mark.parametrize("operation", ["open_partial", "write", "seal", "read_back", "anchor", "together"])
def test_a_destination_that_goes_is_an_outage_for_all(
    ground: Ground, destination: Destination, operation: str
) -> None:
    with pytest.raises(Fault) as fault:
        copied(ground, FaultyDestination(destination, Script(stop_on=operation)))
    assert (fault.value.kind, fault.value.reason) == (FaultKind.DESTINATION, OutageReason.FULL)


def test_one_for_which_there_is_no_space_leaves_room_for_others(
    ground: Ground, destination: Destination, monkeypatch: pytest.MonkeyPatch
) -> None:
    pwrite, content = os.pwrite, CONTENTS["d.mxf"]

    def limited(descriptor: int, data: bytes, offset: int) -> int:
        if data == content:
            pwrite(descriptor, data[:10], offset)
            raise OSError(errno.EDQUOT, os.strerror(errno.EDQUOT))
        return pwrite(descriptor, data, offset)

    monkeypatch.setattr(os, "pwrite", limited)
    outcomes = copied(ground, destination)
    assert fault_of(outcomes["d.mxf"]) is FaultKind.DESTINATION
    assert all_but(outcomes, "d.mxf")
    assert ground.arrived()[hidden("d.mxf")] == b""


def test_a_folder_that_cannot_be_made_is_the_fault_of_those_that_need_it(
    ground: Ground, destination: Destination
) -> None:
    (ground.nas / "day").write_bytes(b"in the way")
    outcomes = copied(ground, destination)
    assert [name for name, outcome in outcomes.items() if isinstance(outcome, Copied)] == ["a.mxf", "d.mxf"]
    assert all(isinstance(outcomes[name], Fault) for name in ("day/b.mxf", "day/card/c.mxf"))


def test_each_folder_is_synced_once_before_the_reply(
    ground: Ground, destination: Destination, monkeypatch: pytest.MonkeyPatch
) -> None:
    copied(ground, destination)  # whoever makes a folder makes it durable
    synced: list[str] = []
    monkeypatch.setattr(
        safe_open, "sync_folder", lambda descriptor: synced.append(os.readlink(f"/proc/self/fd/{descriptor}"))
    )
    copied(ground, destination)
    folders = [ground.nas, ground.nas / "day", ground.nas / "day" / "card"]
    assert sorted(synced) == [str(folder) for folder in folders]
    publish_files(publications(ground), destination, lambda: None)
    assert synced[3:] == [str(folder) for folder in folders]


def test_a_source_that_cannot_be_opened_is_an_outage_of_the_source(
    ground: Ground, destination: Destination
) -> None:
    request = copies(ground)
    ground.source.rename(ground.source.with_name("elsewhere"))
    with pytest.raises(Fault) as fault:
        copy_small_files(request, destination, lambda: None, IoSideTracker())
    assert fault.value.kind is FaultKind.SOURCE_OUTAGE


def test_it_is_known_whose_answer_is_waited_for(ground: Ground, destination: Destination) -> None:
    io_side = IoSideTracker()
    sides: list[Side] = []
    copy_small_files(copies(ground), destination, lambda: sides.append(io_side.side()), io_side)
    steps = [set(sides[at : at + len(NAMES)]) for at in range(0, len(sides), len(NAMES))]
    there, here = {Side.DESTINATION}, {Side.SOURCE}
    assert steps == [here, here, there, there, there]


# Publishing


def test_each_is_given_its_name(ground: Ground, destination: Destination) -> None:
    copied(ground, destination)
    outcomes = publish_files(publications(ground), destination, lambda: None)
    assert outcomes == tuple(ground.published(name, already_present=False) for name in NAMES)
    assert ground.arrived() == CONTENTS


def test_one_whose_name_was_taken_meanwhile_makes_way(ground: Ground, destination: Destination) -> None:
    copied(ground, destination)
    (ground.nas / "d.mxf").write_bytes(b"other")
    outcomes = publish_files(publications(ground), destination, lambda: None)
    assert outcomes[-1] == ground.published("d_1.mxf", already_present=False)
    assert ground.arrived() == {**CONTENTS, "d.mxf": b"other", "d_1.mxf": CONTENTS["d.mxf"]}


def test_one_that_is_gone_is_said_to_be_so_and_the_others_are_published(
    ground: Ground, destination: Destination
) -> None:
    copied(ground, destination)
    (ground.nas / hidden("a.mxf")).unlink()
    gone, *others = publish_files(publications(ground), destination, lambda: None)
    assert fault_of(gone) is FaultKind.PARTIAL_GONE
    assert all(isinstance(outcome, Published) for outcome in others)


# Letting go of sources


def test_each_source_is_removed_and_its_folder_synced_once(
    ground: Ground, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[str] = []
    monkeypatch.setattr(
        platform, "sync_folder", lambda descriptor: synced.append(os.readlink(f"/proc/self/fd/{descriptor}"))
    )
    request = ground.remove(*NAMES)
    assert remove_sources(request, Publisher(), lambda: None) == (SourceRemoved(None),) * len(NAMES)
    assert [path for path in ground.source.rglob("*") if path.is_file()] == []
    folders = [ground.source, ground.source / "day", ground.source / "day" / "card"]
    assert sorted(synced) == [str(folder) for folder in folders]


def test_one_that_was_written_to_is_kept(ground: Ground) -> None:
    request = ground.remove(*NAMES)
    (ground.source / "a.mxf").write_bytes(b"another take")
    kept, *others = remove_sources(request, Publisher(), lambda: None)
    assert kept == SourceRemoved("it was written to after it had been copied")
    assert others == [SourceRemoved(None)] * (len(NAMES) - 1)
    assert (ground.source / "a.mxf").read_bytes() == b"another take"


def test_one_that_is_held_open_has_a_fault_of_its_own(ground: Ground) -> None:
    request = ground.remove(*NAMES)
    with (ground.source / "a.mxf").open("ab"):
        held, *others = remove_sources(request, Publisher(), lambda: None)
    assert fault_of(held) is FaultKind.SOURCE
    assert others == [SourceRemoved(None)] * (len(NAMES) - 1)


def test_removals_that_cannot_be_made_durable_are_a_fault_of_the_request(
    ground: Ground, monkeypatch: pytest.MonkeyPatch
) -> None:
    def failing(_: int) -> None:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(platform, "sync_folder", failing)
    with pytest.raises(Fault):
        remove_sources(ground.remove(*NAMES), Publisher(), lambda: None)
