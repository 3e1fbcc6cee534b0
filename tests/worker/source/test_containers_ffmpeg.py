import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from agent.model.source_file import ContainerState
from agent.worker.source.containers import judge
from tests.worker.source.containers_corpus import Memory, said_of

PICTURE = "-f lavfi -i testsrc=size=320x240:rate=25"
SOUND = "-f lavfi -i sine=sample_rate=48000"
BOTH = f"{PICTURE} {SOUND} -t 1"
MPEG4 = f"{BOTH} -c:v mpeg4 -c:a aac"
D10 = (
    f"-f lavfi -i testsrc=size=720x576:rate=25 {SOUND} -t 0.2 -vf setfield=tff"
    " -c:v mpeg2video -pix_fmt yuv422p -b:v 30000k -minrate 30000k -maxrate 30000k -bufsize 1200000"
    " -rc_init_occupancy 1200000 -rc_max_vbv_use 1 -rc_min_vbv_use 1 -g 1 -qmin 1 -qmax 12"
    " -intra_vlc 1 -non_linear_quant 1 -ps 1 -dc 10 -top 1"
    " -flags +ildct+low_delay -c:a pcm_s16le -ac 2 -f mxf_d10"
)

# Name: (what is said of the finished file, how it is made). Live MKV and TS never say that they are finished.
RECIPES = {
    "op1a.mxf": (ContainerState.CLOSED, f"{BOTH} -c:v mpeg2video -c:a pcm_s16le"),
    "d10.mxf": (ContainerState.CLOSED, D10),
    "opatom.mxf": (ContainerState.CLOSED, f"{SOUND} -t 1 -c:a pcm_s16le -f mxf_opatom"),
    "plain.mov": (ContainerState.CLOSED, MPEG4),
    "plain.mp4": (ContainerState.CLOSED, MPEG4),
    "faststart.mp4": (ContainerState.CLOSED, f"{MPEG4} -movflags +faststart"),
    "fragmented.mp4": (ContainerState.CLOSED, f"{MPEG4} -movflags +frag_keyframe"),
    "no_first_moov.mp4": (ContainerState.CLOSED, f"{MPEG4} -movflags +frag_keyframe+empty_moov"),
    "dash.mp4": (ContainerState.UNKNOWN, f"{MPEG4} -movflags +frag_keyframe+empty_moov+skip_trailer"),
    "sound.wav": (ContainerState.CLOSED, f"{SOUND} -t 1"),
    "broadcast.wav": (ContainerState.CLOSED, f"{SOUND} -t 1 -write_bext 1 -metadata description=slate"),
    "large.wav": (ContainerState.CLOSED, f"{SOUND} -t 1 -rf64 always"),
    "plain.avi": (ContainerState.CLOSED, f"{BOTH} -c:v mpeg4 -c:a pcm_s16le"),
    "plain.mkv": (ContainerState.CLOSED, MPEG4),
    "cues_first.mkv": (ContainerState.CLOSED, f"{MPEG4} -cues_to_front 1"),
    "sound.webm": (ContainerState.CLOSED, f"{SOUND} -t 1 -c:a libopus"),
    "live.mkv": (ContainerState.UNKNOWN, f"{MPEG4} -live 1"),
    "plain.ts": (ContainerState.UNKNOWN, f"{BOTH} -c:v mpeg2video -c:a mp2"),
}
KILLED = {
    "killed.mxf": (ContainerState.OPEN, "-c:v mpeg2video -b:v 4M -c:a pcm_s16le"),
    "killed.mov": (ContainerState.OPEN, "-c:v mpeg4 -b:v 4M -c:a aac"),
    "killed.mp4": (ContainerState.OPEN, "-c:v mpeg4 -b:v 4M -c:a aac"),
    "killed.avi": (ContainerState.OPEN, "-c:v mpeg4 -b:v 4M -c:a pcm_s16le"),
    "killed.wav": (ContainerState.OPEN, "-map 1 -c:a pcm_s16le"),
    "killed.mkv": (ContainerState.UNKNOWN, "-c:v mpeg4 -b:v 4M -c:a aac"),
}
KILLED_BYTES = 50_000
PATIENCE_S = 60.0


@pytest.fixture(scope="session")
def ffmpeg() -> list[str]:
    program = shutil.which("ffmpeg")
    if program is None:
        if os.environ.get("CI"):
            pytest.fail("ffmpeg is missing")
        pytest.skip("ffmpeg is missing: real files cannot be made")
    return [program, "-nostdin", "-hide_banner", "-loglevel", "error"]


@pytest.fixture(scope="session")
def finished(ffmpeg: list[str], tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    folder = tmp_path_factory.mktemp("finished")
    for name, (_, recipe) in RECIPES.items():
        subprocess.run([*ffmpeg, *recipe.split(), folder / name], check=True)
    return {name: (folder / name).read_bytes() for name in RECIPES}


@pytest.fixture(scope="session")
def killed(ffmpeg: list[str], tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """What recorders, recording at the pace of life, leave behind when they are killed."""
    folder = tmp_path_factory.mktemp("killed")
    source = f"-re {PICTURE} -re {SOUND}".split()
    recorders = [
        subprocess.Popen([*ffmpeg, *source, *recipe.split(), "-flush_packets", "1", folder / name])
        for name, (_, recipe) in KILLED.items()
    ]
    try:
        for name in KILLED:
            _wait_for_bytes(folder / name)
    finally:
        for recorder in recorders:
            recorder.kill()
            recorder.wait()
    return {name: (folder / name).read_bytes() for name in KILLED}


def _wait_for_bytes(path: Path) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not path.exists() or path.stat().st_size < KILLED_BYTES:
        assert time.monotonic() < deadline, f"{path.name} does not grow"
        time.sleep(0.05)


def _cuts(size_bytes: int) -> Iterator[int]:
    yield from range(max(0, size_bytes - 300), size_bytes)
    yield from (size_bytes - missing for missing in (1000, 1024, 4096, 65536) if missing < size_bytes)
    for percent in range(100):
        around = size_bytes * percent // 100
        yield from range(max(0, around - 2), min(around + 3, size_bytes))


@pytest.mark.parametrize("name", RECIPES)
def test_a_real_finished_file_is_judged_by_a_few_small_reads(name: str, finished: dict[str, bytes]) -> None:
    file = Memory(finished[name])
    assert judge(file).container is RECIPES[name][0]
    assert file.reads <= 16
    assert file.read_bytes <= 64 * 1024


@pytest.mark.parametrize("name", RECIPES)
def test_no_cut_of_a_real_file_is_closed(name: str, finished: dict[str, bytes]) -> None:
    whole = finished[name]
    closed = {
        size for size in _cuts(len(whole)) if judge(Memory(whole, size)).container is ContainerState.CLOSED
    }
    assert closed <= _cut_before_the_random_index(name, whole)


def _cut_before_the_random_index(name: str, whole: bytes) -> set[int]:
    """The one cut that leaves a valid file: the random index pack is optional (SMPTE ST 377-1 §12)."""
    return {len(whole) - int.from_bytes(whole[-4:])} if name.endswith(".mxf") else set()


HALVES_SHOW = sorted(set(RECIPES) - {"dash.mp4", "live.mkv", "plain.ts"})


@pytest.mark.parametrize("name", HALVES_SHOW)
def test_half_of_a_real_file_is_not_taken_for_possibly_whole(name: str, finished: dict[str, bytes]) -> None:
    whole = finished[name]
    assert said_of(whole[: len(whole) // 2]) in {ContainerState.OPEN, ContainerState.TRUNCATED}


@pytest.mark.parametrize("name", sorted({name for name in RECIPES if name.endswith(".mxf")} | {"plain.mov"}))
def test_a_real_file_that_had_its_size_from_the_start_is_not_closed_while_half_of_it_is_missing(
    name: str, finished: dict[str, bytes]
) -> None:
    whole = finished[name]
    half = len(whole) // 2
    assert said_of(whole[:half] + bytes(len(whole) - half)) is not ContainerState.CLOSED


@pytest.mark.parametrize("name", KILLED)
def test_what_a_killed_recorder_leaves_is_never_closed(name: str, killed: dict[str, bytes]) -> None:
    assert said_of(killed[name]) is KILLED[name][0]
