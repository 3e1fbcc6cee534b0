import errno
import fcntl
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from agent.journal.database import JournalError
from agent.journal.state_folder import StateLock, StateLocked
from tests.worker.copy.faulty import failing

HOLDER = """
import sys
from agent.journal.state_folder import StateLock
lock = StateLock(sys.argv[1])
print("holding", flush=True)
sys.stdin.read()
"""


def test_a_killed_agent_holds_nothing(tmp_path: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", HOLDER, tmp_path], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as other:
        assert other.stdout is not None
        other.stdout.readline()
        with pytest.raises(StateLocked, match=f"pid {other.pid}"):
            StateLock(str(tmp_path))
        other.send_signal(signal.SIGKILL)
        other.wait()
        StateLock(str(tmp_path)).release()
    assert (tmp_path / "lock").read_text() == f"{os.getpid()}\n"


def test_the_lock_names_its_holder_only_and_a_refusal_keeps_nothing_open(tmp_path: Path) -> None:
    (tmp_path / "lock").write_text("12345678901234567890\n")
    lock = StateLock(str(tmp_path))
    assert (tmp_path / "lock").read_text() == f"{os.getpid()}\n"
    before = len(list(Path("/dev/fd").iterdir()))
    with pytest.raises(StateLocked):
        StateLock(str(tmp_path))
    assert len(list(Path("/dev/fd").iterdir())) == before
    lock.release()


def test_a_holder_that_has_not_signed_yet_keeps_others_out_too(tmp_path: Path) -> None:
    with (tmp_path / "lock").open("w") as unsigned:
        fcntl.flock(unsigned, fcntl.LOCK_EX)
        with pytest.raises(StateLocked, match="pid unknown"):
            StateLock(str(tmp_path))


def test_a_disk_without_room_for_its_name_is_one_clear_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = len(list(Path("/dev/fd").iterdir()))
    monkeypatch.setattr(os, "pwrite", failing(errno.ENOSPC))
    with pytest.raises(JournalError, match=r"cannot be used: No space left on device$"):
        StateLock(str(tmp_path))
    assert len(list(Path("/dev/fd").iterdir())) == before


def test_a_state_folder_that_cannot_be_made_is_one_clear_line(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    folder = str(tmp_path / "file" / "state")
    with pytest.raises(JournalError) as refused:
        StateLock(folder)
    assert str(refused.value) == f"the state folder {folder!r} cannot be used: Not a directory"
