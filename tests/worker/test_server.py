"""How a worker answers requests, and its frames."""

import errno
import os
import time
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import cast

import pytest

from agent.model.errors import Fault, FaultKind, Side
from agent.model.names import partial_path, probe_path
from agent.model.source_file import FileVersion, ScannedFile, Signature
from agent.model.verification import BLOCK_BYTES
from agent.protocol.frames import frame, read_frame
from agent.protocol.replies import (
    Blocked,
    Copied,
    Copying,
    Discarded,
    Examining,
    Finished,
    Followed,
    OrphansFound,
    PathsChanged,
    Probed,
    PublishedFiles,
    RemovedSources,
    Reply,
    ScanEnd,
    ScanPart,
    SourceExists,
    SourcePrepared,
    SourceRemoved,
    TrustedBlocks,
)
from agent.protocol.requests import (
    Bandwidth,
    DiscardPartial,
    ExamineSource,
    FindOrphans,
    FollowFile,
    ListSource,
    LookUpSource,
    PrepareSource,
    ProbeDestination,
    Request,
    SourceFolder,
    WatchSource,
)
from agent.worker import server
from agent.worker.copy import tail
from agent.worker.copy.io_side import IoSideTracker
from agent.worker.destinations.partial_locks import PartialLocks
from agent.worker.server import BLOCKED_AFTER_S, WorkerServer
from agent.worker.source import events as source_events
from agent.worker.source import source_file
from agent.worker.source.source_file import signature_of
from tests.samples import IDENTITY, STATE
from tests.worker.copy.faulty import failing
from tests.worker.copy.folders import PARTIAL, Ground
from tests.worker.destinations.lock_holders import another_process_holds


@pytest.fixture
def ground(tmp_path: Path) -> Ground:
    return Ground.below(tmp_path)


def ask(request: Request) -> list[Reply | Fault]:
    """Serve one request in this process; its replies, of which only the last one says so."""
    output = BytesIO()
    WorkerServer(output, PartialLocks(os.devnull)).serve(request)
    output.seek(0)
    replies = list(_replies(output))
    assert [is_last for is_last, _ in replies] == [*(False for _ in replies[1:]), True]
    return [reply for _, reply in replies]


def _replies(stream: BytesIO) -> Iterator[tuple[bool, Reply | Fault]]:
    while (answer := read_frame(stream)) is not None:
        yield cast("tuple[bool, Reply | Fault]", answer)


# Requests


def test_a_file_is_led_from_its_source_to_its_destination(ground: Ground) -> None:
    (ground.source / "clip.mxf").write_bytes(b"content")
    *_, copied = ask(ground.copy())
    assert isinstance(copied, Copied)
    *_, published = ask(ground.publish(b"content"))
    assert published == PublishedFiles((ground.published("clip.mxf", already_present=False),))
    assert ask(ground.remove())[-1] == RemovedSources((SourceRemoved(None),))
    assert ask(LookUpSource(str(ground.source), "clip.mxf")) == [SourceExists(exists=False)]
    assert ground.arrived() == {"clip.mxf": b"content"}


def a_follower(ground: Ground, signature: Signature) -> FollowFile:
    return FollowFile(
        source=str(ground.source),
        path="clip.mxf",
        signature=signature,
        destination=ground.place,
        name="clip.mxf",
        conflict="rename",
        partial=PARTIAL,
        digests=(),
        trusted_blocks=0,
        verify="read_back",
        bandwidth=Bandwidth(),
    )


def test_a_recording_is_followed_some_way_behind_its_writer(
    ground: Ground, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tail, "IDLE_S", 0.0)
    content = os.urandom(tail.HEADROOM_BYTES + 2 * BLOCK_BYTES + 1)
    (ground.source / "clip.mxf").write_bytes(content)
    trusted, *_, followed = ask(a_follower(ground, ground.signature()))
    assert (trusted, followed) == (TrustedBlocks(0), Followed(2))
    assert ground.arrived() == {PARTIAL: content[: 2 * BLOCK_BYTES]}


@pytest.mark.parametrize(
    ("replaced", "kind"), [(True, FaultKind.SOURCE_CHANGED), (False, FaultKind.SOURCE_GONE)]
)
def test_another_file_under_the_name_of_a_recording_is_not_followed(
    ground: Ground, replaced: bool, kind: FaultKind
) -> None:
    recording = ground.source / "clip.mxf"
    recording.touch()
    request = a_follower(ground, ground.signature())
    recording.rename(ground.source / "earlier.mxf")
    if replaced:
        recording.touch()
    [fault] = ask(request)
    assert isinstance(fault, Fault)
    assert fault.kind is kind
    assert ground.arrived() == {}


NAMES = [
    b"clip\nsecond line.mxf",
    b"-rf",
    b"n" * 255,
    "é".encode() * 127,
    b"\xff\xfe not utf-8",
    "🎬.mxf".encode(),
    "caf\u00e9".encode(),
    "cafe\u0301".encode(),
    b"clip.tmp.mxf",
]


def test_every_legal_name_arrives_unchanged_with_its_time_and_its_twin(ground: Ground) -> None:
    here, there = os.fsencode(ground.source), os.fsencode(ground.nas)
    os.mkdir(here + b"/\xfe folder")
    paths = [*NAMES, *(b"\xfe folder/" + name for name in NAMES)]
    for number, path in enumerate(paths):
        with open(here + b"/" + path, "wb") as file:
            file.write(path)
        os.utime(here + b"/" + path, ns=(number, 1_000_000_000 + number))
    (ground.source / "unfinished.tmp").touch()
    *_, listed = ask(ListSource(ground.folder))
    assert isinstance(listed, ScanEnd)
    for entry in listed.entries:
        known = FileVersion("", "", entry.path, entry.signature, 0.0)
        partial = partial_path(IDENTITY, known, entry.path, "take")
        *_, copied = ask(ground.copy(entry.path, partial=partial))
        assert isinstance(copied, Copied)
        request = ground.publish(os.fsencode(entry.path), entry.path, partial=partial)
        *_, published = ask(request)
        assert published == PublishedFiles((ground.published(entry.path, already_present=False),))
        assert ask(ground.remove(entry.path))[-1] == RemovedSources((SourceRemoved(None),))
    assert sorted(os.listdir(here)) == [b"unfinished.tmp", b"\xfe folder"]
    for number, path in enumerate(paths):
        with open(there + b"/" + path, "rb") as file:
            assert file.read() == path
        assert os.stat(there + b"/" + path).st_mtime_ns == 1_000_000_000 + number
    assert len(os.listdir(there)) + len(os.listdir(there + b"/\xfe folder")) == len(paths) + 1


def test_a_long_listing_comes_in_parts(ground: Ground, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "SCAN_PART_FILES", 2)
    for number in range(5):
        (ground.source / f"{number}.mxf").touch()
    *parts, end = ask(ListSource(ground.folder))
    assert isinstance(end, ScanEnd)
    assert [len(part.entries) for part in parts if isinstance(part, ScanPart)] == [2, 2]
    assert len(end.entries) == 1
    assert end.unreadable == ()
    assert end.free_bytes > 0


def test_a_source_is_made_and_examined(ground: Ground) -> None:
    for created in (True, False):
        assert ask(PrepareSource(str(ground.source / "new"))) == [SourcePrepared(created=created)]
    assert (ground.source / "new").is_dir()
    (ground.source / "clip.mxf").touch()
    *_, last, end = ask(ExamineSource(ground.folder, ("clip.mxf", "gone.mxf"), frozenset({"clip.mxf"})))
    assert isinstance(last, Examining)
    assert isinstance(end, ScanEnd)
    ((entry),) = last.entries
    assert entry.evidence is not None


def test_each_file_is_named_before_it_is_examined_and_what_takes_too_long_is_left(
    ground: Ground, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in "ab":
        (ground.source / name).write_bytes(b"content")
    request = ExamineSource(ground.folder, ("a", "gone", "b"), frozenset("ab"))
    *named, end = ask(request)
    assert [part.path for part in named if isinstance(part, Examining)] == ["a", "gone", "b"]
    found = [entry.path for part in named if isinstance(part, Examining) for entry in part.entries]
    assert isinstance(end, ScanEnd)
    assert (found, [entry.path for entry in end.entries], end.left) == (["a"], ["b"], ())
    monkeypatch.setattr(server, "EXAMINE_S", 0.0)
    first, end = ask(request)
    assert isinstance(first, Examining)
    assert isinstance(end, ScanEnd)
    assert ([entry.path for entry in end.entries], end.left) == (["a"], ("gone", "b"))


def test_a_destination_is_probed_and_its_partials_discarded(ground: Ground) -> None:
    (probed,) = ask(ProbeDestination(str(ground.nas), None, ".probe"))
    assert isinstance(probed, Probed)
    assert probed.device == ground.place.device
    (ground.nas / PARTIAL).touch()
    assert ask(DiscardPartial(ground.place, PARTIAL)) == [Discarded(is_gone=True)]
    assert ask(DiscardPartial(ground.place, PARTIAL)) == [Discarded(is_gone=False)]
    assert list(ground.nas.iterdir()) == []


def test_what_is_ours_at_a_destination_is_found(ground: Ground) -> None:
    above = probe_path(IDENTITY, "take")
    (ground.nas / "day").mkdir()
    for name in (above, PARTIAL, f"day/{PARTIAL}"):
        (ground.nas / name).touch()
    below = partial_path(IDENTITY, FileVersion("", "", "day/a", STATE, 0.0), "day/a", "take")
    (ground.nas / below).touch()
    for deep, expected in ((False, {above}), (True, {above, below})):
        *batches, end = ask(FindOrphans(ground.place, IDENTITY, deep))
        assert end == Finished()
        assert {
            path for batch in batches if isinstance(batch, OrphansFound) for path in batch.paths
        } == expected


def test_touched_paths_are_streamed_until_the_platform_gives_up(monkeypatch: pytest.MonkeyPatch) -> None:
    class Events:
        def __init__(self, root: str) -> None:
            assert root == "/"
            self.overflowed, self.complete = 3, False
            self._found: list[tuple[str, ...] | None] = [None, (), ("clip.mxf",)]

        def __enter__(self) -> "Events":  # noqa: PYI034  a stand-in is not subclassed
            return self

        def __exit__(self, *_: object) -> None:
            pass

        @property
        def active(self) -> bool:
            return bool(self._found)

        def wait(self, timeout_s: float | None) -> tuple[str, ...] | None:
            assert timeout_s is None
            return self._found.pop()

        def take_closed(self) -> dict[str, os.stat_result]:
            return {"clip.mxf": status} if len(self._found) == 2 else {}

    status = os.stat(__file__)
    closed = (ScannedFile("clip.mxf", signature_of(status)),)
    monkeypatch.setattr(source_events, "watch_source", Events)
    assert ask(WatchSource("/")) == [
        PathsChanged(("clip.mxf",), 3, complete=False, closed=closed),
        PathsChanged((), 3, complete=False),
        Finished(),
    ]


def test_a_fault_is_an_answer(ground: Ground) -> None:
    (answer,) = ask(ListSource(SourceFolder(str(ground.source / "gone"), (), ())))
    assert isinstance(answer, Fault)
    assert answer.kind is FaultKind.SOURCE_OUTAGE


@pytest.mark.parametrize("request_", [LookUpSource("/source", "clip.mxf"), cast("Request", "nonsense")])
def test_a_bug_is_an_answer_too_and_not_a_dead_worker(
    monkeypatch: pytest.MonkeyPatch, request_: Request
) -> None:
    monkeypatch.setattr(source_file, "look_up", failing(errno.EIO))
    (answer,) = ask(request_)
    assert isinstance(answer, Fault)
    assert answer.kind is FaultKind.WORKER
    assert str(answer).startswith(("OSError: [Errno 5]", "AssertionError: "))


# Frames


def test_a_frame_is_read_as_it_was_written_and_only_whole() -> None:
    request = LookUpSource("/source", "clip\udcff.mxf")
    written = frame(request)
    stream = BytesIO(written + written)
    assert [read_frame(stream), read_frame(stream), read_frame(stream)] == [request, request, None]
    for length in range(len(written)):
        assert read_frame(BytesIO(written[:length])) is None


# Whom a copy waits for


def replies_of(output: BytesIO) -> list[Reply | Fault]:
    output.seek(0)
    return [reply for _, reply in _replies(output)]


def test_a_copy_in_which_nothing_moves_reports_the_side_that_it_waits_for() -> None:
    output = BytesIO()
    worker = WorkerServer(output, PartialLocks(os.devnull))
    worker._io_side = io_side = IoSideTracker()
    worker.report_if_blocked(now_s=BLOCKED_AFTER_S)
    with io_side.at_source():
        worker.report_if_blocked(now_s=BLOCKED_AFTER_S)
    assert replies_of(output) == [Blocked(Side.DESTINATION), Blocked(Side.SOURCE)]


def test_a_copy_that_has_just_replied_reports_no_blocked_side() -> None:
    output = BytesIO()
    worker = WorkerServer(output, PartialLocks(os.devnull))
    worker._io_side = IoSideTracker()
    worker.stream(Copying(1, 1))
    worker.report_if_blocked(time.monotonic())
    assert replies_of(output) == [Copying(1, 1)]


def test_nothing_follows_the_last_word_of_a_copy(ground: Ground) -> None:
    (ground.source / "clip.mxf").write_bytes(b"content")
    output = BytesIO()
    worker = WorkerServer(output, PartialLocks(os.devnull))
    worker.serve(ground.copy())
    worker.report_if_blocked(time.monotonic() + 60.0)
    assert isinstance(replies_of(output)[-1], Copied)


def test_a_partial_that_another_worker_is_at_is_neither_written_nor_published(
    ground: Ground, tmp_path: Path
) -> None:
    (ground.source / "clip.mxf").write_bytes(b"content")
    lock_path = str(tmp_path / "partial-locks")
    with another_process_holds(lock_path, str(ground.nas), PARTIAL):
        for request in (ground.copy(), ground.publish(b"content")):
            output = BytesIO()
            WorkerServer(output, PartialLocks(lock_path)).serve(request)
            [answer] = replies_of(output)
            assert isinstance(answer, Fault)
            assert answer.kind is FaultKind.BUSY
    assert ground.arrived() == {}
