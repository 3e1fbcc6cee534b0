"""`verify`: what was delivered is read again and compared with the journal, whether the agent runs or not."""

import json
import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import trio
import xxhash
from attrs import define

from agent.journal import routes, transfers
from agent.journal.journal import Journal
from agent.model.errors import Fault, FaultKind, OutageReason
from agent.model.source_file import FileVersion, Signature
from agent.model.transfer import TransferResult, VerifiedTransfer
from agent.protocol.replies import Probed, Reply, VerifyResult
from agent.protocol.requests import FindDestination, Request, VerifyFile
from agent.worker_pool import OnReply, WorkerPool, ignore
from tests.cli.cli_agents import (
    ROUTE,
    configured,
    invoke,
    listing,
    output_of,
    running,
    wait_until,
    workers_reaped,
)

CONTENT = b"content"
LATER_AT = 1_767_225_600.0  # 2026-01-01T00:00:00Z
S3 = {"name": "cloud", "source": "in3", "destination": "s3://bucket/prefix"}


@pytest.fixture(autouse=True)
def _no_worker_outlives_its_test(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    with workers_reaped(monkeypatch):
        yield


@define
class Home:
    """A configuration and the journal of what was delivered under it."""

    path: Path

    @property
    def config(self) -> str:
        return str(self.path / "agent.toml")

    def deliver(
        self,
        path: str,
        content: bytes = CONTENT,
        *,
        to: str = "out",
        route: str = "mxf",
        at: float = LATER_AT,
        mount_point: str = "",
    ) -> Path:
        """A file that has been delivered, and is in the journal."""
        destination = self.path / to
        arrived = destination / path
        arrived.parent.mkdir(parents=True, exist_ok=True)
        arrived.write_bytes(content)
        (self.path / "state").mkdir(exist_ok=True)
        journal = Journal.open(str(self.path / "state"))
        file = FileVersion(path, route, path, Signature(1, 2, len(content), 4, 5), 1.0)
        begun = journal.write(transfers.begin_or_resume, {"p": file}, "/src", str(destination), 1.0)
        (transfer,) = begun.values()
        digest = f"xxh128:{xxhash.xxh3_128_hexdigest(content)}"
        journal.write(transfers.mark_verified, [VerifiedTransfer(transfer.id, path, digest, "read_back")])
        journal.write(transfers.finish, [TransferResult(transfer.id, "delivered", 1, None, at, str(arrived))])
        if mount_point:
            journal.write(routes.remember_mount, str(destination), mount_point)
        journal.close()
        os.sync()
        return arrived


@pytest.fixture
def home(tmp_path: Path) -> Home:
    configured(tmp_path)
    return Home(tmp_path)


def wrong(home: Home, *options: str) -> list[str]:
    """The output when something is wrong."""
    result = invoke("-c", home.config, "verify", *options)
    assert (result.exit_code, result.stderr) == (1, "")
    return result.stdout.splitlines()


def test_what_is_as_it_was_delivered_needs_one_line(home: Home) -> None:
    home.deliver("a.mxf")
    home.deliver("day/b.mxf", b"x" * 2_000_000)
    before = listing(home.path / "out"), (home.path / "state" / "journal.db").read_bytes()
    said = output_of("-c", home.config, "verify")
    assert said == "2 files, 1.9 MiB: 2 verified, 0 altered, 0 missing, 0 unreadable\n"
    assert before == (listing(home.path / "out"), (home.path / "state" / "journal.db").read_bytes())


def test_each_thing_that_is_wrong_is_named(home: Home) -> None:
    files = [home.deliver(f"{name}\x1b.mxf") for name in "abcd"]
    files[0].write_bytes(b"other!!")
    files[1].write_bytes(b"shorter")
    os.truncate(files[1], 3)
    files[2].unlink()
    files[3].unlink()
    files[3].mkdir()
    digests = (xxhash.xxh3_128_hexdigest(each) for each in (b"other!!", CONTENT))
    out = home.path / "out"
    assert wrong(home) == [
        "altered {}/a\\x1b.mxf: hash: {} instead of {}".format(out, *digests),
        f"altered {out}/b\\x1b.mxf: size: 3 bytes instead of 7",
        f"missing {out}/c\\x1b.mxf",
        f"unreadable {out}/d\\x1b.mxf: no regular file, or no permission to read it",
        "4 files, 28 B: 0 verified, 2 altered, 1 missing, 1 unreadable",
    ]


def test_the_json_report_is_one_object(home: Home) -> None:
    name = os.fsdecode(b"caf\xe9.mxf")
    home.deliver(name).unlink()
    (said,) = wrong(home, "--json")
    body = json.loads(said)
    assert (body["files"], body["missing"], body["verified"]) == (1, 1, 0)
    assert body["problems"] == [
        {
            "verdict": "missing",
            "destination_path": f"{home.path}/out/caf\ufffd.mxf",
            "route": "mxf",
            "detail": "",
        }
    ]


def test_only_what_was_asked_for_is_read(home: Home) -> None:
    configured(home.path, ROUTE, ROUTE | {"name": "wav", "source": "in2", "destination": "out2"})
    home.deliver("old.mxf", at=LATER_AT - 1)
    home.deliver("new.mxf")
    home.deliver("new.wav", to="out2", route="wav")
    config = home.config
    assert output_of("-c", config, "verify").startswith("3 files")
    assert output_of("-c", config, "verify", "--since", "2026-01-01T00:00:00Z").startswith("2 files")
    assert output_of("-c", config, "verify", "--route", "wav").startswith("1 file")
    home.deliver("half an hour old.mxf", at=time.time() - 1800)
    assert output_of("-c", config, "verify", "--since", "1h").startswith("1 file")
    assert output_of("-c", config, "verify", "--since", "10m").startswith("0 files")


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        (("--since", "yesterday"), "must be a time with its zone"),
        (("--route", "nope"), "no route is named 'nope'"),
    ],
)
def test_a_wrong_question_is_a_usage_error(home: Home, options: tuple[str, str], reason: str) -> None:
    result = invoke("-c", home.config, "verify", *options)
    assert result.exit_code == 2
    assert reason in result.stderr


def test_without_a_journal_nothing_is_known_and_nothing_made(home: Home) -> None:
    result = invoke("-c", home.config, "verify")
    assert result.exit_code == 1
    state = home.path / "state"
    assert result.stderr == f"there is no journal in {state}: nothing is known to have been delivered\n"
    assert not state.exists()


def test_a_missing_destination_is_reported_once_and_the_next_one_is_read(home: Home) -> None:
    for name in "ab":
        home.deliver(f"{name}.mxf", to="gone")
    home.deliver("c.mxf")
    (home.path / "gone").rename(home.path / "elsewhere")
    gone = home.path / "gone"
    why = f"{gone} does not exist: mount the share, or make the folder"
    assert wrong(home) == [
        f"{gone}: unmounted: {why}; 2 files not read",
        "3 files, 21 B: 1 verified, 0 altered, 0 missing, 2 unreadable",
    ]


def test_an_empty_folder_under_a_mount_that_is_gone_is_not_full_of_missing_files(home: Home) -> None:
    home.deliver("a.mxf", mount_point=f"{home.path}/out").unlink()
    first, last = wrong(home)
    assert first.startswith(
        f"{home.path}/out: unmounted: {home.path}/out is not mounted, the folder now lies"
    )
    assert last == "1 file, 7 B: 0 verified, 0 altered, 0 missing, 1 unreadable"


def test_a_missing_marker_is_an_unmounted_destination_too(home: Home) -> None:
    configured(home.path, ROUTE | {"marker": "here"})
    home.deliver("a.mxf")
    assert wrong(home)[0].startswith(f"{home.path}/out: marker_missing: ")


def test_it_works_beside_a_running_agent(home: Home) -> None:
    for name in ("in", "out"):
        (home.path / name).mkdir()
    with running(home.config):
        (home.path / "in" / "clip.bin").write_bytes(CONTENT)
        wait_until(lambda: "delivered" in output_of("-c", home.config, "history"))
        assert output_of("-c", home.config, "verify").startswith("1 file, 7 B: 1 verified")
        (home.path / "out" / "clip.bin").write_bytes(b"other")
        assert wrong(home)[0].endswith("size: 5 bytes instead of 7")


def answered(
    answers: dict[str, Reply | Exception], monkeypatch: pytest.MonkeyPatch
) -> list[tuple[str, float]]:
    """Workers answer so, by the name of the file or destination; what was asked, and with what patience."""
    asked: list[tuple[str, float]] = []

    async def ask(
        _: WorkerPool, request: Request, expected: type, *, stall_timeout_s: float, on_reply: OnReply = ignore
    ) -> Reply:
        del expected, on_reply
        await trio.lowlevel.checkpoint()
        assert isinstance(request, VerifyFile | FindDestination)
        key = request.name if isinstance(request, VerifyFile) else request.root.rpartition("/")[2]
        asked.append((key, stall_timeout_s))
        usual = VerifyResult("verified") if isinstance(request, VerifyFile) else Probed(1, "/", 5, 5)
        answer = answers.get(key, usual)
        if isinstance(answer, Exception):
            raise answer
        return answer

    monkeypatch.setattr(WorkerPool, "ask", ask)
    return asked


@pytest.mark.parametrize("stuck", ["out", "b.mxf"])
def test_a_destination_that_hangs_is_left_after_its_stall_timeout(
    home: Home, monkeypatch: pytest.MonkeyPatch, stuck: str
) -> None:
    configured(home.path, ROUTE | {"stall_timeout": "7s"})
    for name in "abc":
        home.deliver(f"{name}.mxf")
    home.deliver("d.mxf", to="unrouted")
    asked = answered({stuck: trio.TooSlowError()}, monkeypatch)
    left = 3 if stuck == "out" else 2
    assert wrong(home) == [
        f"{home.path}/out: hung: no answer in 7 s; {left} files not read",
        f"4 files, 28 B: {4 - left} verified, 0 altered, 0 missing, {left} unreadable",
    ]
    assert ("c.mxf", 7.0) not in asked
    assert asked[-1] == ("d.mxf", 30.0)


def test_a_destination_that_goes_away_meanwhile_is_left(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in "ab":
        home.deliver(f"{name}.mxf")
    answered({"a.mxf": Fault.outage(OutageReason.UNMOUNTED, "gone")}, monkeypatch)
    assert wrong(home)[0] == f"{home.path}/out: unmounted: gone; 2 files not read"


def test_a_worker_that_dies_costs_one_file(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in "ab":
        home.deliver(f"{name}.mxf")
    answered({"a.mxf": Fault(FaultKind.WORKER, "worker process 7 died")}, monkeypatch)
    assert wrong(home) == [
        f"unreadable {home.path}/out/a.mxf: worker process 7 died",
        "2 files, 14 B: 1 verified, 0 altered, 0 missing, 1 unreadable",
    ]


def test_without_any_worker_nothing_can_be_read(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    home.deliver("a.mxf")
    answered({"out": Fault(FaultKind.WORKER, "no worker process can be started")}, monkeypatch)
    assert wrong(home)[0] == f"{home.path}/out: no worker process can be started; 1 file not read"
