"""The state folder: held by one agent at a time; its installation id is made once, whole or not at all."""

import errno
import fcntl
import os
import re
import signal
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from agent.fs.platform import sync_folder
from agent.journal.errors import JournalError
from agent.journal.state_folder import StateLock, StateLocked, read_or_make_identity
from tests.worker.copy.faulty import failing
from tests.worker.copy.folders import nothing_left_over

OTHER_USER = 12345
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files to another user")
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


def modes(folder: Path) -> dict[str, int]:
    return {path.name: stat.S_IMODE(path.stat().st_mode) for path in (folder, *folder.iterdir())}


@needs_root
def test_a_state_folder_of_another_user_is_refused_and_left_alone(tmp_path: Path) -> None:
    os.chown(tmp_path, OTHER_USER, -1)
    with pytest.raises(JournalError, match=f"belongs to the user with the number {OTHER_USER}, and"):
        StateLock(str(tmp_path))
    assert list(tmp_path.iterdir()) == []


@needs_root
def test_a_file_of_another_user_is_refused(tmp_path: Path) -> None:
    (tmp_path / "identity").write_text("mine to choose")
    os.chown(tmp_path / "identity", OTHER_USER, -1)
    with pytest.raises(JournalError, match=r"identity' belongs to the user with the number"):
        StateLock(str(tmp_path))


@pytest.mark.parametrize(
    "name", ["lock", "identity", "identity.new", "journal.db", "journal.db-wal", "partial-locks"]
)
def test_a_link_in_the_state_folder_is_refused_and_not_followed(name: str, tmp_path: Path) -> None:
    (tmp_path / "state").mkdir()
    target = tmp_path / "precious"
    target.write_text("precious")
    (tmp_path / "state" / name).symlink_to(target)
    with pytest.raises(JournalError, match=f"{name}' is a symbolic link: remove it"):
        StateLock(str(tmp_path / "state"))
    assert target.read_text() == "precious"


def test_a_folder_in_a_files_place_is_refused(tmp_path: Path) -> None:
    (tmp_path / "partial-locks").mkdir()
    with pytest.raises(JournalError, match=r"partial-locks' is no regular file"):
        StateLock(str(tmp_path))


def test_what_is_not_ours_in_the_state_folder_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "notes").symlink_to("/nowhere")
    StateLock(str(tmp_path)).release()
    assert (tmp_path / "notes").is_symlink()


def test_nobody_else_gets_into_the_state_folder_or_reads_its_files(tmp_path: Path) -> None:
    state = tmp_path / "state"
    state.mkdir()
    state.chmod(0o777)
    for name in ("journal.db", "address"):
        (state / name).touch()
        (state / name).chmod(0o644)
    lock = StateLock(str(state))
    read_or_make_identity(str(state))
    lock.release()
    files = dict.fromkeys(("lock", "journal.db", "address", "identity"), 0o600)
    assert modes(state) == {"state": 0o700, **files}


def test_an_id_is_made_once_and_then_stays(tmp_path: Path) -> None:
    with nothing_left_over():
        made, is_new = read_or_make_identity(str(tmp_path))
        assert re.fullmatch(r"[0-9a-f]{32}", made)
        assert is_new
        assert read_or_make_identity(str(tmp_path)) == (made, False)
    assert [path.name for path in tmp_path.iterdir()] == ["identity"]


def test_two_installations_have_two_ids(tmp_path: Path) -> None:
    (tmp_path / "one").mkdir()
    (tmp_path / "two").mkdir()
    assert read_or_make_identity(str(tmp_path / "one")) != read_or_make_identity(str(tmp_path / "two"))


@pytest.mark.parametrize("content", [b"", b"0123456789abcdef", b"\xff" * 32, b"F" * 32])
def test_a_file_without_an_id_is_replaced_with_a_warning(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "identity").write_bytes(content)
    with capture_logs() as logs:
        made, is_new = read_or_make_identity(str(tmp_path))
    assert is_new
    assert (tmp_path / "identity").read_text() == f"{made}\n"
    assert [line["log_level"] for line in logs] == ["warning"]


def test_a_half_written_file_from_a_crash_is_no_id(tmp_path: Path) -> None:
    (tmp_path / "identity.new").write_text("half")
    made, is_new = read_or_make_identity(str(tmp_path))
    assert is_new
    assert read_or_make_identity(str(tmp_path)) == (made, False)
    assert [path.name for path in tmp_path.iterdir()] == ["identity"]


def test_it_is_durable_before_it_is_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    steps: list[str] = []
    fsync, rename = os.fsync, Path.rename

    def note_fsync(fd: int) -> None:
        steps.append("fsync")
        fsync(fd)

    def note_rename(path: Path, target: Path) -> Path:
        steps.append("rename")
        return rename(path, target)

    def note_folder(fd: int) -> None:
        steps.append("folder")
        sync_folder(fd)

    monkeypatch.setattr(os, "fsync", note_fsync)
    monkeypatch.setattr(Path, "rename", note_rename)
    monkeypatch.setattr("agent.fs.atomic_write.sync_folder", note_folder)
    read_or_make_identity(str(tmp_path))
    assert steps[:3] == ["fsync", "rename", "folder"]


def test_a_full_disk_is_one_clear_line_and_leaves_no_half_id(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as full:
        full.setattr(os, "fsync", failing(errno.ENOSPC))
        with pytest.raises(JournalError, match=r"identity' cannot be used: No space left on device$"):
            read_or_make_identity(str(tmp_path))
    assert not (tmp_path / "identity").exists()
    assert read_or_make_identity(str(tmp_path))[1]
