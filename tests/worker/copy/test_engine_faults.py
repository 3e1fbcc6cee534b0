"""The copy engine when either side fails, and what it reports at which pace."""

import errno
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryDirectory
from types import SimpleNamespace

import pytest

from agent.model.errors import Fault, FaultKind, OutageReason
from agent.model.storage import BandwidthStep
from agent.protocol.replies import BlockPatched, Checkpoint, Copying, TrustedBlocks
from agent.protocol.requests import Bandwidth
from agent.worker.copy import engine, pipeline, reader
from agent.worker.copy.pipeline import CopyProgress, Report
from agent.worker.copy.reader import read_exactly
from agent.worker.copy.room import SPARE_BLOCKS
from agent.worker.copy.threads import IN_FLIGHT, PipelineThread
from tests.worker.copy.bench import (
    BLOCK,
    SHARED_MEMORY,
    WINDOW,
    bench_with,
    content_of_size,
    limited_to,
    small_blocks,
)
from tests.worker.copy.faulty import Script
from tests.worker.copy.folders import digests_of


@pytest.fixture(autouse=True)
def clean() -> Iterator[None]:
    with small_blocks():
        yield


# Faults


def cuts_nothing_off(descriptor: int, size_bytes: int) -> None:
    if os.fstat(descriptor).st_size > size_bytes:
        raise OSError(errno.EDQUOT, os.strerror(errno.EDQUOT))


@pytest.mark.parametrize("operation", ["size", "truncate", "write", "flush", "read_back"])
def test_a_full_destination_stops_the_copy_with_its_own_fault(operation: str) -> None:
    content = content_of_size(20 * WINDOW)
    with bench_with(content) as bench:
        with pytest.raises(Fault) as fault:
            bench.run(script=Script(stop_on=operation))
        assert (fault.value.kind, fault.value.reason) == (FaultKind.DESTINATION, OutageReason.FULL)
        assert bench.progress.read_bytes < len(content)


def test_what_was_verified_before_an_outage_is_checkpointed_and_not_read_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(pipeline, "REPORT_S", 3600.0)  # no checkpoint is due before the end
    content = content_of_size(4 * WINDOW)
    with bench_with(content) as bench:
        with pytest.raises(Fault):
            bench.run(script=Script(stop_at=3 * WINDOW // BLOCK * 2))
        known = bench.checkpointed
        assert len(known) >= WINDOW // BLOCK
        bench.run(known)
        assert bench.progress.read_bytes == len(content) - len(known) * BLOCK
        assert bench.partial.read_bytes() == content


def test_where_space_runs_out_what_is_not_verified_is_given_back_and_some_blocks_more() -> None:
    content = content_of_size(4 * WINDOW)
    with bench_with(content) as bench:
        with limited_to(2 * WINDOW + BLOCK), pytest.raises(Fault):
            bench.run()
        known, kept_bytes = bench.checkpointed, 2 * WINDOW - SPARE_BLOCKS * BLOCK
        assert len(known) == 2 * WINDOW // BLOCK
        assert bench.partial.stat().st_size == kept_bytes
        bench.run(known)
        assert bench.progress.read_bytes == len(content) - kept_bytes
        assert bench.partial.read_bytes() == content


def test_a_file_system_that_cannot_cut_the_partial_under_a_quota_loses_it_and_it_is_copied_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    content = content_of_size(4 * WINDOW)
    with bench_with(content) as bench:
        monkeypatch.setattr(os, "ftruncate", cuts_nothing_off)
        with limited_to(2 * WINDOW + BLOCK), pytest.raises(Fault):
            bench.run()
        assert not bench.partial.exists()
        bench.run(bench.checkpointed)
        assert bench.partial.read_bytes() == content


def test_what_has_taken_the_partials_name_meanwhile_is_not_removed_in_its_place(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with bench_with(content_of_size(2 * WINDOW)) as bench:

        def swapped(descriptor: int, size_bytes: int) -> None:
            if os.fstat(descriptor).st_size > size_bytes:
                bench.partial.unlink()
                bench.partial.write_bytes(b"another's")
            cuts_nothing_off(descriptor, size_bytes)

        monkeypatch.setattr(os, "ftruncate", swapped)
        with limited_to(WINDOW + BLOCK), pytest.raises(Fault):
            bench.run()
        assert bench.partial.read_bytes() == b"another's"


def test_an_outage_while_an_earlier_attempt_is_read_back_is_its_own_fault() -> None:
    content = content_of_size(4 * BLOCK)
    with bench_with(content) as bench:
        bench.partial.write_bytes(content)
        with pytest.raises(Fault) as fault:
            bench.run(digests_of(content, BLOCK), Script(stop_on="read_back"))
        assert fault.value.reason is OutageReason.FULL


def test_a_stage_that_failed_touches_nothing_more_and_keeps_nobody_waiting() -> None:
    seen: list[int] = []

    def work(item: int) -> None:
        seen.append(item)
        raise ZeroDivisionError

    stage = PipelineThread(work)
    for item in range(1, 2 * IN_FLIGHT + 2):
        stage.put(item)
    stage.finish()
    assert seen == [1]
    assert isinstance(stage.error, ZeroDivisionError)


def test_a_bug_in_a_stage_is_not_swallowed() -> None:
    with bench_with(content_of_size(WINDOW)) as bench, pytest.raises(ZeroDivisionError):
        bench.run(script=Script(stop_on="flush", error=ZeroDivisionError()))


@contextmanager
def _source(content: bytes) -> Iterator[int]:
    with TemporaryDirectory(dir=SHARED_MEMORY) as folder:
        Path(folder, "source").write_bytes(content)
        descriptor = os.open(Path(folder, "source"), os.O_RDONLY)
        try:
            yield descriptor
        finally:
            os.close(descriptor)


def test_a_source_that_became_shorter_has_changed() -> None:
    with _source(b"short") as source, pytest.raises(Fault) as fault:
        read_exactly(source, 0, 6)
    assert fault.value.kind is FaultKind.SOURCE_CHANGED


def test_a_source_that_is_read_in_pieces_is_read_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    read = os.pread
    monkeypatch.setattr(os, "pread", lambda fd, length, offset: read(fd, min(length, 2), offset))
    with _source(b"content") as source:
        assert read_exactly(source, 1, 5) == b"onten"


def test_a_source_that_cannot_be_read_is_its_own_fault_and_ends_both_stages(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def unreadable(_source: int, offset: int, length: int) -> bytes:
        if offset >= 2 * WINDOW:
            raise Fault(FaultKind.SOURCE, "source: Input/output error")
        return bytes(length)

    monkeypatch.setattr(reader, "read_exactly", unreadable)
    with bench_with(content_of_size(4 * WINDOW)) as bench, pytest.raises(Fault, match="source: Input"):
        bench.run()


def test_an_error_of_the_source_names_its_side(monkeypatch: pytest.MonkeyPatch) -> None:
    def failing(*_: object) -> bytes:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(os, "pread", failing)
    with pytest.raises(Fault) as fault:
        read_exactly(0, 0, 1)
    assert (fault.value.kind, fault.value.detail) == (FaultKind.SOURCE, "source: Input/output error")


# Reports and pace


class Clock:
    """Time that passes only by sleeping."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now_s = 1000.0
        passing = SimpleNamespace(monotonic=lambda: self.now_s, sleep=self._pass, localtime=time.localtime)
        for module in (engine, pipeline, reader):
            monkeypatch.setattr(module, "time", passing)

    def _pass(self, duration_s: float) -> None:
        self.now_s += duration_s


def _recorded() -> tuple[list[Copying | Checkpoint | BlockPatched | TrustedBlocks], Report]:
    reports: list[Copying | Checkpoint | BlockPatched | TrustedBlocks] = []
    return reports, reports.append


def test_progress_is_reported_when_there_is_some_and_not_too_often(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock(monkeypatch)
    reports, report = _recorded()
    progress = CopyProgress(report)
    progress.report_if_due()
    progress.copied_bytes = 1
    progress.report_if_due()
    progress.copied_bytes = 2
    progress.report_if_due()
    clock.now_s += pipeline.REPORT_S
    progress.report_if_due()
    clock.now_s += pipeline.REPORT_S
    progress.report_if_due()
    assert reports == [Copying(1, 0), Copying(2, 0)]


def test_a_limited_copy_takes_its_time_and_is_never_silent_for_long(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock(monkeypatch)
    heard_s: list[float] = []
    with bench_with(content_of_size(4 * WINDOW)) as bench:
        bench.listen = lambda _: heard_s.append(clock.now_s)
        bench.run(pace=Bandwidth((BandwidthStep(0, 2 * WINDOW),), shares=2))
    assert clock.now_s == pytest.approx(1004)
    assert max(later - sooner for sooner, later in pairwise(heard_s)) <= pipeline.REPORT_S


@pytest.mark.parametrize("pace", [Bandwidth(), Bandwidth((BandwidthStep(0, None),))])
def test_an_unlimited_copy_never_waits(monkeypatch: pytest.MonkeyPatch, pace: Bandwidth) -> None:
    clock = Clock(monkeypatch)
    with bench_with(content_of_size(4 * WINDOW)) as bench:
        bench.run(pace=pace)
    assert clock.now_s == 1000.0
