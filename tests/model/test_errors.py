import errno
import os
import pickle
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.model.errors import Fault, FaultKind, OutageReason, Side, classify, shortage

SHORTAGES = (errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ENOBUFS)
CODES = st.sampled_from(sorted(errno.errorcode))


@contextmanager
def raising(fault: Fault) -> Iterator[None]:
    yield
    raise fault


def fault_of(code: int, side: Side) -> Fault:
    return classify(OSError(code, os.strerror(code)), side)


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        (errno.ENOSPC, OutageReason.FULL),
        (errno.EDQUOT, OutageReason.FULL),
        (errno.EROFS, OutageReason.READ_ONLY),
        (errno.EACCES, OutageReason.DENIED),
        (errno.EPERM, OutageReason.DENIED),
        (errno.EIO, OutageReason.IO_ERROR),
        (errno.ESTALE, OutageReason.UNREACHABLE),
        (errno.ENOTCONN, OutageReason.UNREACHABLE),
        (errno.EHOSTDOWN, OutageReason.UNREACHABLE),
        (errno.ETIMEDOUT, OutageReason.HUNG),
        (errno.ENOENT, OutageReason.UNMOUNTED),
        (errno.ENODEV, OutageReason.UNMOUNTED),
        (errno.EBADF, OutageReason.IO_ERROR),
    ],
)
def test_a_destination_that_fails_is_an_outage_with_its_reason(code: int, reason: OutageReason) -> None:
    fault = fault_of(code, Side.DESTINATION)
    assert (fault.kind, fault.reason) == (FaultKind.DESTINATION, reason)


@pytest.mark.parametrize("code", [errno.ENAMETOOLONG, errno.EFBIG, errno.EINVAL, errno.EILSEQ])
def test_a_destination_that_cannot_hold_this_one_file_refuses_it(code: int) -> None:
    assert fault_of(code, Side.DESTINATION).kind is FaultKind.REFUSED


@given(CODES)
def test_an_error_of_a_source_is_a_missing_file_a_fault_or_an_outage(code: int) -> None:
    kind = fault_of(code, Side.SOURCE).kind
    if code in SHORTAGES:
        assert kind is FaultKind.SHORTAGE
    elif code in (errno.ENOENT, errno.ENOTDIR):
        assert kind is FaultKind.SOURCE_GONE
    elif code in (errno.EIO, errno.EACCES, errno.EPERM, errno.EBUSY, errno.ETXTBSY):
        assert kind is FaultKind.SOURCE
    else:
        absent = (OutageReason.UNREACHABLE, OutageReason.HUNG, OutageReason.UNMOUNTED)
        unreachable = fault_of(code, Side.DESTINATION).reason in absent
        assert kind is (FaultKind.SOURCE_OUTAGE if unreachable else FaultKind.SOURCE)


@given(CODES, st.sampled_from(Side))
def test_a_reason_is_given_exactly_for_outages(code: int, side: Side) -> None:
    fault = fault_of(code, side)
    assert (fault.reason is not None) is (fault.kind is FaultKind.DESTINATION)


@pytest.mark.parametrize("side", Side)
@pytest.mark.parametrize("code", SHORTAGES)
def test_what_the_machine_lacks_is_neither_a_files_fault_nor_an_outage(code: int, side: Side) -> None:
    fault = fault_of(code, side)
    assert fault.kind is FaultKind.SHORTAGE
    assert fault.detail.startswith("this machine is short of ")


@pytest.mark.parametrize(
    ("error", "forking", "lacking"),
    [
        (MemoryError(), False, "memory"),
        (RuntimeError("can't start new thread"), False, "processes and threads"),
        (OSError(errno.EAGAIN, "Resource temporarily unavailable"), True, "processes and threads"),
        (OSError(errno.EAGAIN, "Resource temporarily unavailable"), False, None),
        (RuntimeError("a bug"), True, None),
        (FileNotFoundError(errno.ENOENT, "No such file"), True, None),
    ],
)
def test_a_shortage_has_its_own_words(error: Exception, *, forking: bool, lacking: str | None) -> None:
    fault = shortage(error, forking=forking)
    assert (fault and fault.detail) == (lacking and f"this machine is short of {lacking}")


def test_an_error_without_a_number_pauses() -> None:
    assert classify(OSError("odd"), Side.DESTINATION).reason is OutageReason.IO_ERROR
    assert str(classify(OSError("odd"), Side.SOURCE)) == "source: odd"


def test_the_detail_names_the_side_the_error_and_the_file() -> None:
    error = OSError(errno.EACCES, "Permission denied", "/src/a.mxf")
    assert str(classify(error, Side.SOURCE)) == "source: Permission denied (/src/a.mxf)"
    assert str(classify(OSError(errno.EIO, "I/O error", 7), Side.SOURCE)) == "source: I/O error"


@given(st.one_of(st.binary(max_size=20), st.text(max_size=20)))
def test_the_detail_is_one_printable_line_whatever_the_name(name: bytes | str) -> None:
    detail = classify(OSError(errno.EIO, "I/O error", name), Side.SOURCE).detail
    assert detail.isprintable()
    assert detail.startswith("source: I/O error (")


def test_a_name_of_odd_bytes_stays_readable() -> None:
    detail = classify(
        OSError(errno.EIO, "I/O error", "é\n\x1b\udcff漢".encode("utf-8", "surrogateescape")), Side.SOURCE
    ).detail
    assert detail == "source: I/O error (é\\n\\x1b\\udcff漢)"


def test_a_fault_may_be_raised_chained_and_sent_to_another_process() -> None:
    fault = Fault.outage(OutageReason.FULL, "no space")
    with pytest.raises(Fault) as caught, raising(fault):
        pass
    assert caught.value is fault
    there = pickle.loads(pickle.dumps(fault))  # noqa: S301  our own bytes
    assert (there.kind, there.reason, str(there)) == (FaultKind.DESTINATION, OutageReason.FULL, "no space")
