"""How the files grow: what is rewritten where and when, under which names, with which sizes and times."""

import os
import time
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from attrs import evolve

from agent.simulate.containers import CONTAINERS
from agent.simulate.options import IncompatibleOptions, WriterOptions
from agent.simulate.recording import RecordingSpec
from agent.simulate.runs import Run
from agent.simulate.settings import with_settings
from agent.simulate.steps import (
    Allocate,
    Close,
    Create,
    Open,
    Remove,
    Rename,
    Stamp,
    Sync,
    Truncate,
    Write,
    WriteStep,
)
from tests.simulate.played import RATE_BYTES_S, SIZE_BYTES, a_run, play, rewrites

DAY_S = 86_400


def steps_of(profile: str, *settings: str, **details: Any) -> list[WriteStep]:  # noqa: ANN401  as a_run
    run = a_run(profile, **details)
    return list(evolve(run, options=with_settings(run.options, settings)).steps())


def only(steps: list[WriteStep], *kinds: type[WriteStep]) -> list[WriteStep]:
    return [step for step in steps if isinstance(step, kinds)]


def appended(steps: list[WriteStep]) -> list[Write]:
    return [step for step in steps if isinstance(step, Write)]


# Edits behind the tail


@pytest.mark.parametrize(
    "profile", ["mxf-single-pass", "fragmented", "fragmented-live", "matroska-live", "ts", "append", "cp"]
)
def test_some_writers_never_go_back(profile: str) -> None:
    assert list(rewrites(steps_of(profile))) == []


@pytest.mark.parametrize(
    ("profile", "parts"),
    [
        ("mov", [4]),
        ("mp4", [4]),
        ("wav", [4, 4]),
        ("avi", [4, 4, 4]),
        ("hybrid", [8]),
        ("matroska", [8, 128, 8]),
    ],
)
def test_others_fill_in_a_few_bytes_at_close(profile: str, parts: list[int]) -> None:
    assert [length for _, _, length in rewrites(steps_of(profile))] == parts


def test_a_mov_gets_its_size_before_its_moov() -> None:
    *_, sized, moov = appended(steps_of("mov", "write=16MiB", size_bytes=300_000))
    assert (sized.offset, sized.content.read()) == (32, (moov.offset - 32).to_bytes(4))
    assert moov.content.read()[4:8] == b"moov"


def test_a_mov_beyond_four_gigabytes_gets_sixteen_bytes() -> None:
    recording = CONTAINERS["mov"](RecordingSpec("7/1", 5_000_000_000, RATE_BYTES_S))
    assert [(edit.offset, edit.content.size_bytes) for edit in recording.edits] == [(24, 16)]


def test_an_mxf_gets_its_header_and_the_footers_place_in_every_partition_at_close() -> None:
    first, *others = rewrites(steps_of("mxf-op1a"))
    assert first == (SIZE_BYTES, 0, 6_144 + 124)
    assert [length for _, _, length in others] == [8] * len(others)
    assert {size for size, _, _ in others} == {SIZE_BYTES}
    assert len(others) >= 3


@pytest.mark.parametrize(
    ("profile", "reach"), [("mxf-as11", 4_200_000), ("mxf-avid", 262_144), ("mxf-part", 22_528)]
)
def test_some_mxf_writers_rewrite_much(profile: str, reach: int) -> None:
    changed = [(offset, length) for _, offset, length in rewrites(steps_of(profile, "write=8MiB"))]
    assert changed[0][0] == 0
    assert reach <= sum(changed[0]) <= reach + 200


def test_an_mxf_header_can_be_rewritten_while_recording() -> None:
    heads = [size for size, offset, _ in rewrites(steps_of("mxf-duration")) if offset == 0]
    assert len(heads) > 3
    assert heads == sorted(heads)


def test_a_provisional_footer_is_at_the_tail_until_essence_overwrites_it() -> None:
    steps = steps_of("mxf-headroom")
    overwritten = [offset for size, offset, _ in rewrites(steps) if size < SIZE_BYTES and offset > 1_000_000]
    footers = [s for s in appended(steps) if b"\x0d\x01\x02\x01\x01\x04\x02\x00" in s.content.read()[:20]]
    assert [footer.offset for footer in footers] == overwritten
    assert len(footers) >= 3


@pytest.mark.parametrize("profile", ["faststart", "matroska-cues-front"])
def test_the_whole_file_is_moved_back_at_close_in_the_same_inode(profile: str, tmp_path: Path) -> None:
    inodes = set()
    played = play(tmp_path, a_run(profile), lambda step: inodes.add((tmp_path / step.path).stat().st_ino))
    assert sum(length for _, _, length in rewrites(played.steps)) > 0.99 * SIZE_BYTES
    assert len(inodes) == 1


def test_a_robust_recorder_rewrites_its_slots_in_time_and_syncs() -> None:
    steps = steps_of("gstreamer-robust", "period=500ms")
    times = [each.at_s for each in only(steps, Sync)]
    assert times[:4] == pytest.approx([0.5, 1.0, 1.5, 2.0], abs=0.01)
    assert {offset for size, offset, _ in rewrites(steps) if size < SIZE_BYTES} == {24}


def test_matroskamux_fills_in_each_cluster_when_it_ends() -> None:
    steps = steps_of("gstreamer-matroska", "period=250ms")
    live = [size - offset for size, offset, _ in rewrites(steps) if offset > 300 and size < SIZE_BYTES]
    assert len(live) >= 8
    assert set(live[:-1]) == {500_000 - 4}


def test_patches_of_files_without_structure_can_be_placed_at_will() -> None:
    listed = rewrites(steps_of("append", "patch-list=0+6144,1MB+4KiB"))
    assert [(offset, length) for _, offset, length in listed] == [(0, 6144), (1_000_000, 4096)]
    every = rewrites(steps_of("append", "patch-every=1MB", "patch-length=512"))
    assert [(offset, length) for _, offset, length in every] == [(n * 1_000_000, 512) for n in range(6)]
    behind = rewrites(steps_of("append", "live-patch=500ms", "live-place=behind", "live-behind=500kB"))
    assert {size - offset for size, offset, _ in behind} == {500_000}
    slots = rewrites(steps_of("append", "live-patch=500ms", "live-place=slots"))
    assert {offset for _, offset, _ in slots} == {0, 4096}


@pytest.mark.parametrize(
    ("profile", "kind"), [("mov", b"moov"), ("matroska", b"\x1c\x53\xbb\x6b"), ("avi", b"idx1")]
)
def test_what_is_appended_at_close_can_be_made_longer(profile: str, kind: bytes) -> None:
    (file,) = evolve(a_run(profile), options=WriterOptions(tail_bytes=500_000)).files()
    assert file.recording.finished().size_bytes == SIZE_BYTES
    stream = file.recording.stream.read()
    assert 499_990 <= SIZE_BYTES - stream.rindex(kind) <= 500_020


def test_the_footer_of_an_mxf_can_be_made_longer() -> None:
    (file,) = evolve(a_run("mxf-d10"), options=WriterOptions(tail_bytes=500_000)).files()
    footer_at = int.from_bytes(file.recording.edits[-1].content.read())
    assert 500_000 <= SIZE_BYTES - footer_at <= 500_400


# Pace


def test_the_recording_takes_as_long_as_its_rate_says() -> None:
    assert steps_of("append")[-1].at_s == pytest.approx(SIZE_BYTES / RATE_BYTES_S)


def test_jitter_moves_the_writes_and_not_the_bytes() -> None:
    plain, shaken = steps_of("append"), steps_of("append", "jitter=50%")
    assert [s.offset for s in appended(plain)] == [s.offset for s in appended(shaken)]
    assert [s.at_s for s in plain] != [s.at_s for s in shaken]


def test_a_stalled_recorder_writes_nothing_for_eight_seconds_and_keeps_its_file_open() -> None:
    steps = steps_of("stall")
    gaps = [b.at_s - a.at_s for a, b in pairwise(steps) if b.at_s - a.at_s > 5]
    assert gaps == pytest.approx([8, 8], abs=0.5)
    assert len(only(steps, Open, Close)) == 1


def test_a_resumed_upload_is_closed_for_four_seconds() -> None:
    first, opened, _last = only(steps_of("ftp-resume"), Open, Close)
    assert (type(first), type(opened)) == (Close, Open)
    assert opened.at_s - first.at_s == pytest.approx(4)


@pytest.mark.parametrize(("profile", "bytes_before"), [("slow-start", 0), ("head-first", 44)])
def test_a_recording_can_begin_late(profile: str, bytes_before: int) -> None:
    steps = steps_of(profile)
    before = sum(step.content.size_bytes for step in appended(steps) if step.at_s < 10)
    assert before == bytes_before
    assert isinstance(steps[0], Create)
    assert steps[0].at_s == 0


def test_a_segment_is_written_at_once_when_its_time_is_over() -> None:
    steps = steps_of("hls")
    assert steps[0].at_s == pytest.approx(3.0, abs=0.01)
    assert steps[-1].at_s - steps[0].at_s < 0.1


def test_the_file_is_held_open_after_the_last_byte() -> None:
    *_, last_write, closed = steps_of("hold-open")
    assert isinstance(last_write, Write)
    assert closed.at_s - last_write.at_s == pytest.approx(20)


# Space, order, holes


@pytest.mark.parametrize(
    ("profile", "size_at_once", "storage_at_once"),
    [("smb-eof-first", True, False), ("fallocate", True, True), ("rsync-preallocate", False, True)],
)
def test_room_is_made_first(profile: str, size_at_once: bool, storage_at_once: bool, tmp_path: Path) -> None:
    seen: list[os.stat_result] = []

    def note(step: WriteStep) -> None:
        if isinstance(step, Allocate):
            seen.append((tmp_path / step.path).stat())

    play(tmp_path, a_run(profile), note)
    (at_first,) = seen
    assert (at_first.st_size == SIZE_BYTES) is size_at_once
    assert (at_first.st_blocks * 512 >= SIZE_BYTES) is storage_at_once


@pytest.mark.parametrize(
    ("profile", "order"),
    [("interleaved", [0, 6, 12, 18, 1, 7]), ("tail-first", [22, 0, 1, 2, 3, 4])],
)
def test_a_copy_is_filled_in_another_order(profile: str, order: list[int]) -> None:
    assert [step.offset // 262_144 for step in appended(steps_of(profile))][:6] == order


def test_a_copy_in_any_order_writes_every_byte_once() -> None:
    offsets = [step.offset for step in appended(steps_of("nfs-writeback"))]
    assert offsets != sorted(offsets)
    assert sorted(offsets) == list(range(0, SIZE_BYTES, 262_144))


def test_a_hole_stays_empty(tmp_path: Path) -> None:
    (file,) = play(tmp_path, a_run("hole")).files().values()
    data = file.read_bytes()
    assert bytes(1_000_000) in data
    assert not data.endswith(bytes(100))


# Names and times


def test_rsync_writes_under_a_hidden_name_sets_times_and_renames(tmp_path: Path) -> None:
    names: set[str] = set()
    played = play(tmp_path, a_run("rsync"), lambda _: names.update(os.listdir(tmp_path)))
    hidden = next(name for name in names if name != "clip.mov")
    assert hidden.startswith(".clip.mov.")
    assert len(hidden) == len(".clip.mov.") + 6
    assert played.ops()[-3:] == ["Stamp", "Close", "Rename"]
    assert list(played.files()) == ["clip.mov"]


def test_a_file_renamed_over_an_older_one_is_another_inode(tmp_path: Path) -> None:
    inodes: list[int] = []

    def note(_: WriteStep) -> None:
        if (tmp_path / "clip.mov").exists():
            inodes.append((tmp_path / "clip.mov").stat().st_ino)

    play(tmp_path, a_run("rename-over"), note)
    assert len(set(inodes)) == 2


def test_old_times_are_set(tmp_path: Path) -> None:
    ages: dict[str, list[float]] = {}
    for profile in ("cp-preserve", "smb-eof-first", "times-while-writing", "cp"):
        folder = tmp_path / profile
        folder.mkdir()
        age_of: list[float] = []
        play(folder, a_run(profile), lambda s, f=folder, a=age_of: a.append(age(f / s.path)))  # type: ignore[misc]
        ages[profile] = age_of
    assert ages["cp-preserve"][-1] == pytest.approx(2 * DAY_S, abs=60)
    assert max(ages["cp-preserve"][:-2]) < 60
    assert (ages["smb-eof-first"][2] > DAY_S, ages["smb-eof-first"][3] > DAY_S) == (True, False)
    assert ages["smb-eof-first"][-1] > DAY_S
    assert min(ages["times-while-writing"][2::2]) > DAY_S
    assert max(ages["cp"]) < 60


def age(path: Path) -> float:
    return time.time() - path.stat().st_mtime


def test_files_are_numbered_and_begin_one_after_the_other() -> None:
    made = only(steps_of("mov", count=3, every_s=10, name="day 1/clip"), Create)
    assert [(step.path, step.at_s) for step in made] == [
        ("day 1/clip-0001.mov", 0),
        ("day 1/clip-0002.mov", 10),
        ("day 1/clip-0003.mov", 20),
    ]


def test_the_members_of_a_group_close_one_after_the_other() -> None:
    closed = only(steps_of("opatom-group"), Close)
    assert [step.path for step in closed] == ["clip_v1.mxf", "clip_a1.mxf", "clip_a2.mxf"]
    assert [b.at_s - a.at_s for a, b in pairwise(closed)] == pytest.approx([0.3, 0.3])


def test_a_sidecar_comes_last(tmp_path: Path) -> None:
    played = play(tmp_path, a_run("xdcam-group"))
    assert played.steps[-1].path == "clipM01.XML"
    assert b'<Clip name="clip"/>' in (tmp_path / "clipM01.XML").read_bytes()


# Accidents


def test_a_crash_leaves_what_was_written_and_nothing_closed() -> None:
    steps = steps_of("crash")
    last = steps[-1]
    assert isinstance(last, Close)
    assert last.crashed
    assert sum(step.content.size_bytes for step in appended(steps)) == pytest.approx(0.6 * SIZE_BYTES, abs=1)
    assert list(rewrites(steps)) == []


def test_a_crash_at_the_very_end_has_all_bytes_and_no_rewrite() -> None:
    steps = steps_of("wav", "crash-at=100%")
    assert sum(step.content.size_bytes for step in appended(steps)) == SIZE_BYTES
    assert list(rewrites(steps)) == []


def test_a_file_can_shrink_and_go_on_with_other_bytes(tmp_path: Path) -> None:
    sizes: list[int] = []
    played = play(tmp_path, a_run("shrink"), lambda s: sizes.append((tmp_path / s.path).stat().st_size))
    cut = next(index for index, step in enumerate(played.steps) if isinstance(step, Truncate))
    assert sizes[cut - 1 : cut + 1] == [3_600_000, 1_500_000]
    assert sizes[-1] == SIZE_BYTES
    whole = (tmp_path / "clip.bin").read_bytes()
    first = next(iter(a_run("append").files())).recording.stream.read()
    assert whole[:1_500_000] == first[:1_500_000]
    assert whole[1_500_000:3_600_000] != first[1_500_000:3_600_000]


@pytest.mark.parametrize(
    ("profile", "ops"), [("restart", [Truncate]), ("restart-new", [Close, Remove, Create])]
)
def test_a_recorder_can_begin_again(profile: str, ops: list[type[WriteStep]], tmp_path: Path) -> None:
    played = play(tmp_path, a_run(profile))
    assert [type(step) for step in played.steps if not isinstance(step, Write)] == [Create, *ops, Close]
    second = next(iter(a_run(profile).files())).second.finished()
    assert played.expected == {"clip.mov": second.sha256()}


def test_edits_of_the_second_recording_are_made_behind_a_cut(tmp_path: Path) -> None:
    run = a_run("gstreamer-matroska")
    cut = evolve(run, options=with_settings(run.options, ["shrink-at=80%", "shrink-to=10%"]))
    played = play(tmp_path, cut)
    assert played.sizes == {"clip.mkv": SIZE_BYTES}


def test_a_finished_file_can_be_changed_once_more() -> None:
    *_, closed, opened, touched, _ = steps_of("touch-later")
    assert opened.at_s - closed.at_s == pytest.approx(15)
    assert isinstance(touched, Write)
    assert (touched.offset, touched.content.size_bytes) == (SIZE_BYTES // 2, 4096)
    *_, grown, _ = steps_of("touch-later", "touch-grows=yes", "touch=9kB")
    assert isinstance(grown, Write)
    assert (grown.offset, grown.content.size_bytes) == (SIZE_BYTES, 9000)


def test_a_mapped_file_is_never_written_to_but_changes(tmp_path: Path) -> None:
    steps = steps_of("mmap")
    assert all(step.mapped for step in appended(steps))
    assert isinstance(steps[1], Allocate)
    run = a_run("mmap")
    synced = evolve(run, options=evolve(run.options, sync=True))
    assert play(tmp_path, synced).expected == play_again(tmp_path / "again", run)


def play_again(folder: Path, run: Run) -> dict[str, str]:
    folder.mkdir()
    return play(folder, run).expected


def test_temporary_names_differ_by_seed_and_only_by_seed() -> None:
    first, again, other = (only(steps_of("rsync", seed=seed), Create)[0].path for seed in (1, 1, 2))
    assert first == again != other


# Refused options


@pytest.mark.parametrize(
    ("settings", "container", "way_out"),
    [
        (["order=random"], "mov", "copies=yes"),
        (["order=random", "copies=yes", "shrink-at=50%"], "mov", "order=forward"),
        (["restart-at=50%", "shrink-at=50%"], "mov", "leave one out"),
        (["shrink-at=20%", "shrink-to=50%"], "mov", "not be more than"),
        (["mapped=yes"], "mov", "allocate=truncate"),
        (["replaces=yes"], "mov", "temp-name"),
        (["patch-every=1MB"], "mov", "--container raw"),
        (["write=0"], "mov", "1 at least"),
    ],
)
def test_options_that_contradict_each_other_are_refused_with_the_way_out(
    settings: list[str], container: str, way_out: str
) -> None:
    run = a_run("mov", container=container, options=with_settings(WriterOptions(), settings))
    with pytest.raises(IncompatibleOptions, match=way_out):
        run.steps()


@pytest.mark.parametrize(
    ("container", "size_bytes", "way_out"), [("mxf-as11", 4_000_000, "raise"), ("wav", 1 << 33, "lower")]
)
def test_a_size_that_a_container_cannot_have_is_refused(
    container: str, size_bytes: int, way_out: str
) -> None:
    with pytest.raises(IncompatibleOptions, match=f"{way_out} --size"):
        a_run("append", container=container, size_bytes=size_bytes).steps()


def test_times_are_set_in_steps_that_say_how_old() -> None:
    (stamped,) = only(steps_of("cp-preserve", "mtime-age=1h"), Stamp)
    assert isinstance(stamped, Stamp)
    assert stamped.age_s == 3600


def test_a_rename_is_the_last_step_of_a_temporary_name() -> None:
    *_, renamed = steps_of("rename-at-end")
    assert isinstance(renamed, Rename)
    assert (renamed.path, renamed.to) == ("clip.mxf.part", "clip.mxf")
