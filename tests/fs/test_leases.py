import errno
import fcntl
import mmap
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from agent.fs import leases, platform
from agent.fs.syscalls import closing_fd
from agent.model.source_file import WriterState

HOLD = """
import os, sys
fd = os.open(sys.argv[1], int(sys.argv[2]))
print("open", flush=True)
sys.stdin.read()
"""

TRY_TO_WRITE = """
import os, sys
try:
    os.open(sys.argv[1], os.O_WRONLY | os.O_NONBLOCK)
except BlockingIOError:
    sys.exit(11)
"""

BREAK_OWN_LEASE = """
import os, sys
from agent.fs import platform
platform.prepare_process()
with platform.read_lease(os.open(sys.argv[1], os.O_RDONLY)) as writer:
    try:
        os.open(sys.argv[1], os.O_WRONLY | os.O_NONBLOCK)
    except BlockingIOError:
        print(writer.name)
"""


@pytest.fixture(autouse=True)
def prepared() -> Iterator[None]:
    before = signal.getsignal(signal.SIGIO)
    platform.prepare_process()
    yield
    signal.signal(signal.SIGIO, before)


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    (tmp_path / "clip.mxf").write_bytes(b"content")
    return tmp_path / "clip.mxf"


@pytest.fixture
def fd(clip: Path) -> Iterator[int]:
    opened = os.open(clip, os.O_RDONLY)
    yield opened
    os.close(opened)


@contextmanager
def held_by_another_process(clip: Path, flags: int) -> Iterator[None]:
    command = [sys.executable, "-c", HOLD, str(clip), str(flags)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"open\n"
        yield


def try_to_write(clip: Path) -> int:
    return subprocess.run([sys.executable, "-c", TRY_TO_WRITE, str(clip)], check=False).returncode


@pytest.mark.parametrize("flags", [os.O_WRONLY, os.O_RDWR, os.O_WRONLY | os.O_APPEND])
def test_another_process_that_has_the_file_open_for_writing_is_seen_until_it_closes(
    clip: Path, fd: int, flags: int
) -> None:
    with held_by_another_process(clip, flags):
        assert platform.open_writer(fd) is WriterState.OPEN
    assert platform.open_writer(fd) is WriterState.NONE


def test_another_reader_is_no_writer(clip: Path, fd: int) -> None:
    with held_by_another_process(clip, os.O_RDONLY):
        assert platform.open_writer(fd) is WriterState.NONE


def test_a_writable_mapping_is_a_writer_even_after_its_descriptor_is_closed(clip: Path, fd: int) -> None:
    writing = os.open(clip, os.O_RDWR)
    mapping = mmap.mmap(writing, 0)
    os.close(writing)
    assert platform.open_writer(fd) is WriterState.OPEN
    mapping.close()
    assert platform.open_writer(fd) is WriterState.NONE


def test_a_writer_waits_until_the_block_ends(clip: Path, fd: int) -> None:
    with platform.read_lease(fd) as writer:
        assert writer is WriterState.NONE
        assert try_to_write(clip) == 11
    assert try_to_write(clip) == 0


def test_the_lease_is_released_when_the_block_fails(clip: Path, fd: int) -> None:
    with pytest.raises(RuntimeError), platform.read_lease(fd):
        raise RuntimeError
    assert fcntl.fcntl(fd, fcntl.F_GETLEASE) == fcntl.F_UNLCK
    assert try_to_write(clip) == 0


def test_a_lease_that_the_kernel_broke_is_no_error(fd: int) -> None:
    with platform.read_lease(fd) as writer:
        fcntl.fcntl(fd, fcntl.F_SETLEASE, fcntl.F_UNLCK)
        assert writer is WriterState.NONE


def test_the_file_can_be_unlinked_while_the_lease_is_held(clip: Path, fd: int) -> None:
    with platform.read_lease(fd) as writer:
        assert writer is WriterState.NONE
        clip.unlink()
    assert os.fstat(fd).st_nlink == 0


def test_a_prepared_process_survives_a_lease_break(clip: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", BREAK_OWN_LEASE, str(clip)], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "NONE\n", "")


# Where leases are refused


@pytest.fixture
def no_leases(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fcntl, "F_SETLEASE", 99_999)  # the kernel answers EINVAL


@pytest.mark.usefixtures("no_leases")
def test_without_leases_a_writer_that_can_be_seen_is_still_found(clip: Path, fd: int) -> None:
    with held_by_another_process(clip, os.O_WRONLY):
        assert platform.open_writer(fd) is WriterState.OPEN


@pytest.mark.usefixtures("no_leases")
def test_without_leases_no_visible_writer_proves_nothing(clip: Path, fd: int) -> None:
    with held_by_another_process(clip, os.O_RDONLY):
        assert platform.open_writer(fd) is WriterState.NOT_SUPPORTED


@contextmanager
def as_another_user() -> Iterator[None]:
    """As nobody, where the tests have root's rights; other users are not the owner of /etc/passwd anyway."""
    is_root = os.geteuid() == 0
    if is_root:
        os.seteuid(65534)
    try:
        yield
    finally:
        if is_root:
            os.seteuid(0)


def test_of_a_foreign_file_nothing_is_known_without_the_right_to_lease() -> None:
    with closing_fd(os.open("/etc/passwd", os.O_RDONLY)) as foreign, as_another_user():
        assert platform.open_writer(foreign) is WriterState.NOT_PERMITTED


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can hold a file open that is not its own")
def test_a_writer_of_another_user_is_not_seen_without_the_right_to_lease(clip: Path, fd: int) -> None:
    with held_by_another_process(clip, os.O_WRONLY), as_another_user():
        assert platform.open_writer(fd) is WriterState.NOT_PERMITTED


@pytest.mark.parametrize(
    ("number", "state"),
    [
        (errno.EAGAIN, WriterState.OPEN),
        (errno.EACCES, WriterState.NOT_PERMITTED),
        (errno.EPERM, WriterState.NOT_PERMITTED),
        (errno.EINVAL, WriterState.NOT_SUPPORTED),
        (errno.ENOLCK, WriterState.NOT_SUPPORTED),
    ],
)
def test_what_a_refused_lease_tells(
    fd: int, number: int, state: WriterState, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*_: object) -> int:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(fcntl, "fcntl", refused)
    assert platform.open_writer(fd) is state


def test_on_a_network_file_system_only_a_visible_writer_counts(
    clip: Path, fd: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(leases, "is_network", lambda _fd: True)
    assert platform.open_writer(fd) is WriterState.UNKNOWN
    with held_by_another_process(clip, os.O_WRONLY):
        assert platform.open_writer(fd) is WriterState.OPEN


def test_a_lease_refused_without_a_delegation_is_no_writer(fd: int, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_delegation(*_: object) -> int:
        raise BlockingIOError(errno.EAGAIN, os.strerror(errno.EAGAIN))

    monkeypatch.setattr(leases, "is_network", lambda _fd: True)
    monkeypatch.setattr(fcntl, "fcntl", no_delegation)
    assert platform.open_writer(fd) is WriterState.UNKNOWN


def test_processes_that_exit_during_the_search_are_skipped() -> None:
    gone = "4194305"  # above the largest process number there can be
    assert leases._descriptors(gone) == []
    assert leases._link_target(f"/proc/{gone}/fd/1") is None
    assert not leases._is_for_writing(gone, "1")


def test_a_closed_descriptor_is_an_error(fd: int) -> None:
    closed = os.dup(fd)
    os.close(closed)
    with pytest.raises(OSError, match="Bad file descriptor"):
        platform.open_writer(closed)


# Several files at once


@pytest.mark.parametrize("asks_for_leases", [True, False])
def test_of_several_files_each_is_seen_to_be_written_or_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, asks_for_leases: bool
) -> None:
    paths = [tmp_path / name for name in ("a.mxf", "b.mxf", "c.mxf")]
    for path in paths:
        path.write_bytes(b"content")
    if not asks_for_leases:
        monkeypatch.setattr(leases, "_take_lease", lambda _: WriterState.NOT_PERMITTED)
    unseen = WriterState.NONE if asks_for_leases else WriterState.NOT_PERMITTED
    with ExitStack() as opened:
        fds = [os.open(path, os.O_RDONLY) for path in paths]
        for fd in fds:
            opened.callback(os.close, fd)
        assert platform.open_writers(fds) == (unseen, unseen, unseen)
        with held_by_another_process(paths[1], os.O_WRONLY):
            assert platform.open_writers(fds) == (unseen, WriterState.OPEN, unseen)
        assert try_to_write(paths[0]) == 0  # no lease is left
    assert platform.open_writers([]) == ()


def test_on_a_network_mount_no_lease_is_taken(fd: int, clip: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(leases, "is_network", lambda _: True)
    monkeypatch.delattr(leases, "_take_lease")
    assert platform.open_writers([fd]) == (WriterState.UNKNOWN,)
    with held_by_another_process(clip, os.O_RDWR):
        assert platform.open_writers([fd]) == (WriterState.OPEN,)
