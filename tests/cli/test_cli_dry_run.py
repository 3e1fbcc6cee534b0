"""`run --dry-run`: says what would happen, and leaves everything as it is."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import trio

from agent.config.load import load
from agent.model.names import removing_path
from agent.model.source_file import ContainerState, FinishEvidence, ScannedFile, Signature, WriterState
from agent.offline import dry_run
from agent.protocol.replies import NamesTaken, Probed, Reply, ScanBatch, ScanEnd
from agent.protocol.requests import ExamineSource, ListSource, Request
from agent.runtime import main
from agent.worker_pool import OnReply, WorkerPool, ignore
from tests.cli.cli_agents import ROUTE, configured, listing, output_of, workers_reaped

NOTHING_THERE = Probed(device=7, mount_point="/", free_bytes=1, total_bytes=1)
COPY = b"not a container\n" * 1000
CLOSED = FinishEvidence(WriterState.NONE, ContainerState.CLOSED)
OPEN_MOV = b"\0\0\0\x10ftypisom\0\0\2\0" + b"\0\0\1\x08mdat" + bytes(256)  # no moov behind it


@pytest.fixture(autouse=True)
def _destination(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()


@pytest.fixture(autouse=True)
def _no_worker_outlives_its_test(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    with workers_reaped(monkeypatch):
        yield


def test_a_dry_run_touches_nothing(tmp_path: Path) -> None:
    below = tmp_path / "in" / "day 1"
    below.mkdir(parents=True)
    (tmp_path / "out" / "clip.bin").write_bytes(b"older")
    (tmp_path / "in" / "clip.bin").write_bytes(COPY)
    (below / "b\x1b[31m.bin").write_bytes(COPY)
    (below / "empty.bin").touch()
    config = configured(tmp_path, head='[log]\nfile = "logs/agent.log"')
    before = listing(tmp_path)
    said = output_of("-c", config, "run", "--dry-run")
    assert listing(tmp_path) == before
    soon = " once unchanged for 0.3 s"
    taken = "; that name is taken: with other content it gets the next free one"
    assert said.splitlines() == [
        f"mxf: would move '{tmp_path}/in/clip.bin' to '{tmp_path}/out/clip.bin'{soon}{taken}",
        f"mxf: would move '{below}/b\\x1b[31m.bin' to '{tmp_path}/out/day 1/b\\x1b[31m.bin'{soon}",
        f"mxf: would leave '{below}/empty.bin': it is empty",
    ]


def test_a_source_that_is_being_removed_is_no_file_of_its_own(tmp_path: Path) -> None:
    config = configured(tmp_path)
    identity = "0123456789abcdef" * 2
    (tmp_path / "state").mkdir()
    (tmp_path / "state" / "identity").write_text(f"{identity}\n")
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / removing_path(identity, "clip.bin", ".clip.bin.0.partial")).write_bytes(COPY)
    assert output_of("-c", config, "run", "--dry-run") == ""


@pytest.mark.parametrize(
    ("after", "words"),
    [("keep", "would copy"), ("delete", "would move"), ("archive:done", "would deliver and archive")],
)
def test_a_dry_run_says_what_would_become_of_the_source(after: str, words: str, tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "clip.bin").write_bytes(COPY)
    assert words in output_of("-c", configured(tmp_path, ROUTE | {"after": after}), "run", "--dry-run")


@pytest.mark.parametrize(("unfinished", "words"), [("hold", "would leave"), ("deliver", "would move")])
def test_a_dry_run_holds_an_unfinished_recording(unfinished: str, words: str, tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "clip.mov").write_bytes(OPEN_MOV)
    said = output_of("-c", configured(tmp_path, ROUTE | {"unfinished": unfinished}), "run", "--dry-run")
    assert said.startswith(f"mxf: {words} '{tmp_path}/in/clip.mov'")
    assert ("unfinished recording, no writer left: " in said) == (unfinished == "hold")


def test_a_dry_run_leaves_what_somebody_writes(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    with (tmp_path / "in" / "clip.bin").open("wb") as writer:
        writer.write(COPY)
        writer.flush()
        said = output_of("-c", configured(tmp_path), "run", "--dry-run")
    assert said == f"mxf: would leave '{tmp_path}/in/clip.bin': a process holds it open for writing\n"


def test_a_dry_run_reports_a_missing_source_and_goes_on(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "clip.bin").write_bytes(COPY)
    config = configured(tmp_path, {"name": "none", "source": "gone", "destination": "out2"}, ROUTE)
    first, second = output_of("-c", config, "run", "--dry-run").splitlines()
    assert first == f"none: {tmp_path}/gone does not exist: mount it, or make the folder"
    assert second.startswith("mxf: would move")
    assert not (tmp_path / "gone").exists()


def test_a_dry_run_examines_many_files_in_small_batches(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dry_run, "EXAMINED_AT_ONCE", 2)
    (tmp_path / "in").mkdir()
    for name in "edcba":
        (tmp_path / "in" / name).write_bytes(COPY)
    lines = output_of("-c", configured(tmp_path), "run", "--dry-run").splitlines()
    assert [line.split("'")[1] for line in lines] == [f"{tmp_path}/in/{name}" for name in "abcde"]


def entry(path: str, evidence: FinishEvidence | None = None) -> ScannedFile:
    return ScannedFile(path, Signature(1, 2, 3, 4, 5), evidence)


def told_when(
    answers: dict[type, ScanEnd | Exception], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> list[str]:
    """The output of a dry run when workers answer so; a listing begins with the file `early`."""

    async def ask(
        _: WorkerPool, request: Request, expected: type, *, stall_timeout_s: float, on_reply: OnReply = ignore
    ) -> Reply:
        if expected is Probed:
            return NOTHING_THERE
        if expected is NamesTaken:
            return NamesTaken(())
        assert (expected, stall_timeout_s) == (ScanEnd, 30.0)
        if isinstance(request, ListSource):
            await on_reply(ScanBatch((entry("early"),)))
        answer = answers.get(type(request), ScanEnd((), (), 0))
        if isinstance(answer, Exception):
            raise answer
        return answer

    monkeypatch.setattr(WorkerPool, "ask", ask)
    return main.dry_run_lines(load(configured(tmp_path), {}))


def test_a_folder_that_cannot_be_listed_is_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    listed = ScanEnd((entry("late"),), (("private", "Permission denied"),), 0)
    examined = ScanEnd((entry("early", CLOSED), entry("late")), (), 0)
    first, second, third = told_when({ListSource: listed, ExamineSource: examined}, tmp_path, monkeypatch)
    assert first == f"mxf: would not see into {tmp_path}/in/private: Permission denied"
    assert second.startswith(f"mxf: would move '{tmp_path}/in/early'")
    assert third.startswith(f"mxf: would move '{tmp_path}/in/late'")


def test_a_source_that_does_not_answer_is_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    said = told_when({ListSource: trio.TooSlowError()}, tmp_path, monkeypatch)
    assert said == ["mxf: source: no answer in 30 s"]


def test_a_dry_run_says_that_nothing_is_delivered_while_the_destination_is_missing(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "clip.bin").write_bytes(COPY)
    (tmp_path / "out").rmdir()
    first, second = output_of("-c", configured(tmp_path), "run", "--dry-run").splitlines()
    assert first.startswith(f"mxf: nothing would be delivered: {tmp_path}/out does not exist")
    assert second.startswith("mxf: would move")
    assert not (tmp_path / "out").exists()


def test_a_dry_run_says_that_a_taken_name_fails_where_the_route_says_so(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    for folder in ("in", "out"):
        (tmp_path / folder / "clip.bin").write_bytes(COPY)
    said = output_of("-c", configured(tmp_path, ROUTE | {"conflict": "fail"}), "run", "--dry-run")
    assert said.endswith("; that name is taken: with other content it fails\n")


def test_a_dry_run_leaves_what_cannot_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    unknown = FinishEvidence(
        WriterState.UNKNOWN, ContainerState.UNKNOWN, "Permission denied", unreadable="Permission denied"
    )
    answers: dict[type, ScanEnd | Exception] = {ExamineSource: ScanEnd((entry("a.bin", unknown),), (), 0)}
    said = told_when(answers, tmp_path, monkeypatch)
    assert f"mxf: would leave '{tmp_path}/in/a.bin': it cannot be read: Permission denied" in said
