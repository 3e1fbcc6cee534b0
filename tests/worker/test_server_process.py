"""A worker process: the signals it ignores, its end, the order in which it touches storage."""

import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from typing import BinaryIO, cast

import pytest

from agent.model.errors import Fault
from agent.protocol.frames import frame, read_frame
from agent.protocol.replies import (
    Copied,
    PublishedFiles,
    RemovedSources,
    Reply,
    ScanEnd,
    SourceExists,
    SourceRemoved,
    Started,
)
from agent.protocol.requests import ListSource, LookUpSource, Request
from tests.coverage_environment import coverage_variables
from tests.worker.copy.folders import PARTIAL, Ground


@pytest.fixture
def ground(tmp_path: Path) -> Ground:
    return Ground.below(tmp_path)


@contextmanager
def process(*before: str, errors: BinaryIO | None = None) -> Iterator["subprocess.Popen[bytes]"]:
    command = [*before, sys.executable, "-m", "agent.worker.server", os.devnull]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors) as started:
        try:
            assert hear(started) == (False, Started())
            yield started
        finally:
            started.kill()


def ask_process(started: "subprocess.Popen[bytes]", request: Request) -> Reply | Fault:
    """The last reply."""
    is_last, reply = False, cast("Reply", None)
    write(started, frame((request, {})))
    while not is_last:
        is_last, reply = hear(started)
    return reply


def write(started: "subprocess.Popen[bytes]", data: bytes) -> None:
    assert started.stdin is not None
    started.stdin.write(data)
    started.stdin.flush()


def hear(started: "subprocess.Popen[bytes]") -> tuple[bool, Reply]:
    assert started.stdout is not None
    answer = read_frame(cast("BytesIO", started.stdout))
    assert answer is not None
    return cast("tuple[bool, Reply]", answer)


LOOK_UP = LookUpSource("/", "etc")


def test_signals_meant_for_the_agent_are_left_to_it() -> None:
    with process() as started:
        assert ask_process(started, LOOK_UP) == SourceExists(exists=True)
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1):
            started.send_signal(number)
            assert ask_process(started, LOOK_UP) == SourceExists(exists=True)


def _asks_nothing(_: Ground) -> bytes:
    return b""


def _dies_while_it_asks(_: Ground) -> bytes:
    return frame((LOOK_UP, {}))[:-1]


def _asks_for_a_long_copy(ground: Ground) -> bytes:
    (ground.source / "clip.mxf").touch()
    os.truncate(ground.source / "clip.mxf", 1 << 40)  # all hole: endless for our purposes
    return frame((ground.copy(), {}))


@pytest.mark.parametrize("asks", [_asks_nothing, _dies_while_it_asks, _asks_for_a_long_copy])
def test_a_worker_ends_with_its_agent_whatever_it_is_doing(
    ground: Ground, asks: Callable[[Ground], bytes]
) -> None:
    with process() as started:
        assert ask_process(started, LOOK_UP) == SourceExists(exists=True)
        write(started, asks(ground))
        if asks is _asks_for_a_long_copy:
            hear(started)
        assert started.stdin is not None
        started.stdin.close()
        assert started.wait() == 0
    (ground.nas / PARTIAL).unlink(missing_ok=True)  # it is large


# Each import delays the first answer of every worker
NOT_FOR_FOLDERS = {
    *("trio", "asyncio", "sqlalchemy", "sqlite3", "alembic", "structlog", "logging", "cattrs", "click"),
    *("quart", "hypercorn", "prometheus_client", "boto3", "botocore", "urllib3", "ssl", "http", "email"),
    *("concurrent", "multiprocessing", "subprocess", "json", "tempfile"),
}


def test_a_worker_loads_nothing_that_delivery_into_a_folder_does_not_need(
    ground: Ground, tmp_path: Path
) -> None:
    (ground.source / "clip.mxf").write_bytes(b"content")
    log = tmp_path / "log"
    changes = [*(f"--unset={name}" for name in coverage_variables()), "PYTHONPROFILEIMPORTTIME=1"]
    with log.open("wb") as errors, process("env", *changes, errors=errors) as started:
        assert isinstance(ask_process(started, ListSource(ground.folder)), ScanEnd)
        assert isinstance(ask_process(started, ground.copy()), Copied)
        assert isinstance(ask_process(started, ground.publish(b"content")), PublishedFiles)
        assert ask_process(started, ground.remove()) == RemovedSources((SourceRemoved(None),))
    loaded = set(re.findall(r"^import time: .*\| +(\w+)", log.read_text(), re.MULTILINE))
    assert {"attrs", "agent"} <= loaded
    assert not loaded & NOT_FOR_FOLDERS


# The order in which storage is touched

TRACED = (
    "pwrite64,pread64,ftruncate,fdatasync,fsync,fadvise64,utimensat,renameat2,linkat,unlinkat,unlink,rename"
)


@pytest.mark.skipif(shutil.which("strace") is None and "CI" not in os.environ, reason="needs strace")
def test_the_source_goes_last_after_everything_else_is_safe(ground: Ground, tmp_path: Path) -> None:
    (ground.source / "clip.mxf").write_bytes(b"content")
    log = tmp_path / "log"
    with process(
        "strace", "-f", "-y", "-s", "0", "-e", "signal=none", "-o", str(log), "-e", TRACED
    ) as started:
        assert isinstance(ask_process(started, ground.copy()), Copied)
        assert isinstance(ask_process(started, ground.publish(b"content")), PublishedFiles)
        assert ask_process(started, ground.remove()) == RemovedSources((SourceRemoved(None),))
        assert started.stdin is not None
        started.stdin.close()
        started.wait()
    assert _steps(log.read_text(), ground) == [
        "ftruncate partial",
        "pread64 source",
        "pwrite64 partial",
        "fdatasync partial",
        "fadvise64 partial",
        "pread64 partial",
        "utimensat partial",
        "fsync partial",
        "fsync nas",
        "renameat2 nas",
        "fsync nas",
        "renameat2 source folder",
        "unlinkat source folder",
        "fsync source folder",
    ]
    assert "POSIX_FADV_DONTNEED" in log.read_text()
    assert "RENAME_NOREPLACE" in log.read_text()


def _steps(log: str, ground: Ground) -> list[str]:
    """Each call on one of our files, with whose it is. One block: no two calls overlap."""
    whose = {
        str(ground.nas / PARTIAL): "partial",
        str(ground.source / "clip.mxf"): "source",
        str(ground.nas): "nas",
        str(ground.source): "source folder",
    }
    calls = re.findall(r"^\d+ +(\w+)\(\d+<([^>]*)>", log, re.MULTILINE)
    return [f"{call} {whose[path]}" for call, path in calls if path in whose]
